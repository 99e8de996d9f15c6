"""Terms of the policy's loss, its inputs, and what the planner gives."""

from __future__ import annotations

from textwrap import indent

from relations.table import Table, method
from relations.trees import AGENT, TRAINER

MODEL = """
=== common/world_model.py
class WorldModel:
    METHODS
"""
CHOICE = (
    "def update_pi(self, t):\n    if {}:\n        y = self._pi_loss(t)\n    else:\n        y = self._other_pi_loss(t)"
)

TABLES = {
    "not_accumulated": [
        Table(
            ("agent", "pi_loss", "loss"),
            AGENT,
            (
                "def _pi_loss(self, q_loss):\n    loss = q_loss\n    return loss",
                "def _pi_loss(self, q_loss):\n    q_loss /= 2\n    return q_loss",
                "def other(self, loss):\n    loss += 1",
                "def _pi_loss(self, loss, x):\n    on = (x > 1).float()\n    loss = loss * on",
                "def _pi_loss(self, loss, x):\n    loss = (x > 1) * loss",
            ),
            (
                "def _pi_loss(self, q_loss):\n    q_loss = q_loss + 1",
                "def _pi_loss(self, q_loss):\n    q_loss += 1",
                "def _pi_loss_too(self, q_loss):\n    q_loss = 1 + q_loss",
                "def _pi_loss(self, q_loss, x):\n    q_loss = q_loss * x",
            ),
        ),
    ],
    "not_rebound": [
        Table(
            ("agent", "update_pi"),
            AGENT,
            ("def update_pi(self, zs):\n    zs = zs.detach()", "def update_pi(self, zs):\n    y = zs + 1"),
            ("def update_pi(self, zs):\n    zs = zs + 1", "def update_pi(self, zs):\n    zs = torch.cat([zs, zs])"),
        ),
    ],
    "not_replaced": [
        Table(
            ("agent", "update_pi", "self.pi_loss"),
            AGENT,
            tuple(
                f"def update_pi(self, t):\n    loss = None\n    {indent(code, '    ')[4:]}"
                for code in (
                    "loss, qs, info = self.pi_loss(t)\nt(loss)",
                    "loss, qs, info = self.pi_loss(t)\nloss = loss + t",
                    "loss, qs, info = self.pi_loss(t)\nqs = qs[0]",
                    "if t:\n    loss, qs, info = self.pi_loss(t)\nelse:\n    loss, qs, info = self.other(t)",
                    "loss = self.other(t)\nloss = t",
                )
            ),
            tuple(
                f"def update_pi(self, t):\n    {indent(code, '    ')[4:]}"
                for code in (
                    "loss, qs, info = self.pi_loss(t)\nloss = -qs.mean()",
                    "loss, qs, info = self.pi_loss(t)\nif t:\n    loss = t",
                    "loss, qs, info = self.pi_loss(t)\nloss, norm = t, 1",
                    "loss = self.pi_loss(t)\nloss = t",
                )
            ),
        ),
    ],
    "only_replaced": [
        Table(
            ("agent", "mu"),
            AGENT,
            ("mu = t\nmu = torch.where(torch.isnan(mu), t, mu)", "y = torch.isnan(t)"),
            ("mu = t\nplanned = ~torch.isnan(mu)", "mu = t\nif mu.isnan().any():\n    t()"),
        ),
    ],
    "ordered": [
        Table(
            ("start", "final"),
            "=== config.py\nclass Config:\n    HERE\n",
            ("start: int = 1\nfinal: int = 2", "start: int = 1", "final = 2\nstart = None"),
            ("start: int = 3\nfinal: int = 2", "start: int = 2\nfinal: int = 2"),
        ),
    ],
    "told_as_step": [
        Table(
            ("final",),
            "=== config.py\nclass Config:\n    HERE\n",
            (
                "final: int = 2",
                "final: int = 2  # and is over here",
                "# how long a run takes\nsteps: int = 3\nfinal: int = 2",
                "final: int = 2  # no more from this step on\nlength: int = 3  # how long a slice is",
            ),
            (
                "final: int = 2  # steps until it is over: as many as that",
                "final: int = 2  # how long it takes",
                "# this many steps later it is over\nfinal: int = 2",
                "final: int = field(default=2, help='duration of the annealing')",
                "final: int = field(\n    default=2)  # its length",
            ),
        ),
    ],
    "scales_noise": [
        Table(
            ("agent", "plan", "self.mppi"),
            AGENT,
            tuple(
                f"def plan(self, t):\n    a, m, s = self.mppi(t)\n    {indent(code, '    ')[4:]}\n    return a"
                for code in (
                    "a = a + s * torch.randn_like(a)",
                    "a += torch.randn(3) * s",
                    "noise = torch.randn_like(a)\na = a + s * noise",
                    "noise = torch.randn(3).to(t)\na.add_(s * noise)",
                    "a = torch.addcmul(a, s, torch.randn_like(a))",
                    "noise = torch.randn_like(a)\nnoise.mul_(s)\na = a + noise",
                    "a = torch.normal(a, s)",
                    "a = torch.normal(mean=a, std=s)",
                    "a = a + 0.5 * s * torch.randn_like(a)",
                    "wider = s * self.more\na = a + wider * torch.randn_like(a)",
                    "if t:\n    a = a + s * torch.randn_like(a)",
                )
            ),
            tuple(
                f"def plan(self, t):\n    a, m, s = self.mppi(t)\n    {indent(code, '    ')[4:]}\n    return a"
                for code in (
                    "a = a + 0.1 * torch.randn_like(a)",
                    "a = a + torch.randn_like(a)",
                    "noise = torch.randn_like(a)\na = a + self.width * noise",
                    "a = a + m * torch.randn_like(a)",
                    "a = torch.normal(a, 0.1)",
                    "a = torch.addcmul(a, m, torch.randn_like(a))",
                    "a = a + s * torch.randn_like(a)\na = a + 0.1 * torch.randn_like(a)",
                    "t(s)",
                )
            ),
        ),
    ],
    "drawn_from_no_noise": [
        Table(
            ("agent", "mppi"),
            AGENT,
            (
                "def mppi(self, t):\n    a = t.gather(1)\n    return a, t",
                "def mppi(self, t):\n    noise = torch.randn(3)\n    a = t.gather(1)\n    return a, noise",
            ),
            ("def mppi(self, t):\n    a = t.gather(1)\n    a = a + 0.1 * torch.randn_like(a)\n    return a, t",),
        ),
    ],
    "no_number_scales": [
        Table(
            ("agent", "pi_loss", "prior"),
            AGENT,
            (
                "def _pi_loss(self, log_prior):\n    log_prior = log_prior * self.x",
                "def other(self, prior):\n    prior = prior / 2",
            ),
            (
                "def _pi_loss(self, log_prior):\n    log_prior = log_prior / 10",
                "def _pi_loss(self, t):\n    prior = 3 * t",
                "def _log_prior(self, t):\n    return t / self.cfg.temperature",
            ),
        ),
    ],
    "not_remade": [
        Table(
            ("agent", "prior loss", "scale where"),
            AGENT,
            (
                "prior = t(flag)",
                "prior = self.scale(prior)",
                "loss = torch.where(t, loss, prior)",
                "loss = loss.float()",
                "y = t(prior)",
            ),
            ("prior = t(prior)", "loss = self.balanced(flag, loss)", "prior, y = t(3 * prior), flag"),
        ),
    ],
    "not_mixed": [
        Table(
            ("trainer", "self.to_td", "mu", "std"),
            TRAINER,
            method(
                "train(self, obs, mu, std, reward)",
                "self.to_td(obs, mu, std, reward)",
                "self.log(std.mean())\nself.to_td(obs, mu=mu, std=std, reward=reward)",
                "reward = reward * 2\nself.to_td(obs, mu, std, reward)",
            ),
            method(
                "train(self, obs, mu, std, reward)",
                "reward = reward + std.mean()\nself.to_td(obs, mu=mu, std=std, reward=reward)",
                "obs = obs - mu\nself.to_td(obs=obs, mu=mu, std=std, reward=reward)",
            ),
        ),
    ],
    "not_filled": [
        Table(
            ("world_model", "_masks"),
            MODEL,
            (
                "masks = torch.zeros(3)\nmasks[0] = 1\nself.register_buffer('_masks', masks)",
                "y = t.fill_(1)",
                "self.register_buffer('_masks', torch.ones(1, 3))",
                "self.register_buffer('_masks', torch.zeros(3))\nself._masks[0] = 1",
            ),
            (
                "row = torch.zeros(3)\nrow[:2] = 1.0\nrow[1] = 0.5\nself.register_buffer('_masks', t)",
                "masks = torch.zeros(3)\nmasks.fill_(1)\nself.register_buffer('_masks', masks)",
                "self._masks.fill_(1)",
                "self.register_buffer('_masks', torch.zeros(3))",
                "self.register_buffer('_masks', torch.ones(len(t), 3))",
                "masks = torch.ones(len(t), 3)\nself.register_buffer('_masks', masks)",
            ),
        ),
    ],
    "chosen_by": [
        Table(
            ("agent", "update_pi", "pi_loss", "mode"),
            AGENT,
            (CHOICE.format("self.cfg.mode == 2"), "def update_pi(self, t):\n    return self._pi_loss(t)"),
            (CHOICE.format("self.cfg.imagine"), CHOICE.format("self.cfg.get('imagine', False)")),
        ),
    ],
}
