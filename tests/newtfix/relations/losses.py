"""What is done with losses, values and rows that a patch computes anew."""

from __future__ import annotations

from relations.table import BINDS, DIVIDES, SETS, Table, forms, method
from relations.trees import AGENT, TRAINER

TABLES = {
    "summed_only": [
        Table(
            ("agent", "gaussian_logprob"),
            AGENT,
            (
                *tuple(
                    f"p = math.gaussian_logprob(t)\n{code}"
                    for code in (
                        "return p",
                        "return p.sum(-1)",
                        "return p.mean()",
                        "return p / 2",
                        "return t / flag + p",
                        "return p * mask",
                        "return torch.mean(p)",
                    )
                ),
                "return math.gaussian_logprob(t)",
                "return math.gaussian_logprob(t) * mask",
                "return t / flag",
            ),
            (
                *(f"p = math.gaussian_logprob(t)\n{code}\nt(y, z)" for code in forms(DIVIDES, "p")),
                "p = math.gaussian_logprob(t)\nt(p.mean(-1))",
                "p = math.gaussian_logprob(t)\nt(p.mean(dim=-1))",
                "p = math.gaussian_logprob(t)\nt(torch.mean(p, -1))",
                "p = math.gaussian_logprob(t)\nt(torch.nanmean(p, dim=-1))",
                "p = math.gaussian_logprob(t)\np /= flag\nt(p)",
                "t(math.gaussian_logprob(t) / flag)",
                "t(math.gaussian_logprob(t) * flag)",
                "p, y = math.gaussian_logprob(t), t\nt(p / flag)",
                "p: object = math.gaussian_logprob(t)\nt(p / flag)",
                "if (p := math.gaussian_logprob(t)) is not None:\n    t(p / flag)",
                "t([p / flag for p in (math.gaussian_logprob(t),)])",
                "p = math.gaussian_logprob(t)\nq = p\nt(q.mean(-1))",
            ),
        ),
    ],
    "taken_together": [
        Table(
            ("_Qs", "QEnsemble"),
            (
                "=== common/layers.py\nclass QEnsemble:\n    def f(self):\n"
                "        return [q.parameters() for q in self._Qs]\n=== other.py\nHERE\n"
            ),
            (
                "pass",
                "x = m._Qs.parameters()",
                "x = [q(1) for q in m._Qs]",
                "x = m._Qs.online.parameters()",
                "for q in m.others:\n    x = q.parameters()",
                "x = m._Qs[0](1)",
            ),
            (
                "x = m._Qs[0].parameters()",
                "for q in m._Qs:\n    x = q.parameters()",
                "for i, q in enumerate(m._Qs):\n    x = q.parameters()",
                "for q, y in zip(m._Qs, z):\n    x = q.state_dict()",
                "x = [q.parameters() for q in m._Qs]",
                "q = m._Qs[0]\nx = q.parameters()",
                "qs = m._Qs\nx = qs[0].parameters()",
                "q, y = m._Qs[0], 1\nx = q.parameters()",
                "m._Qs[0] = x",
                "m._Qs[0], y = x, 1",
                "qs = m._Qs\nqs[0] = x",
                "m._Qs[0][1].load_state_dict(x)",
                "f = m._Qs[0].parameters\nx = f()",
                "x = getattr(m, '_Qs')[0].parameters()",
                "for m._Qs[0] in x:\n    x()",
                "with x as m._Qs[0]:\n    x()",
                "del m._Qs[0]",
            ),
        ),
    ],
    "divided_only_by": [
        Table(
            ("agent", "loss", "y_loss", "z_loss", "horizon"),
            AGENT,
            (
                "pass",
                "loss = t",
                "loss = t / self.cfg.horizon",
                "loss /= self.cfg.horizon",
                "other = t / 2",
                "loss = t.mean(0)",
                "loss = t * flag",
                "return t / 2",
            ),
            (
                "loss = t / 2",
                "loss /= 2",
                "loss *= 1 / t",
                "loss, y = t / flag, 1",
                "loss: object = t / flag",
                "loss = torch.div(t, flag)",
                "loss = t.div(flag)",
                "loss.div_(flag)",
                "loss = t * (1 / flag)",
                "loss += t / flag",
                "if (loss := t / flag) > 0:\n    t(loss)",
                "y = loss / flag",
                "x = loss\ny = x / flag",
                "y_loss = sum(x / flag for x in t)",
                "t(z_loss.div(flag))",
                "return {'loss': loss / flag}",
            ),
        ),
    ],
    "only_checks": [
        Table(
            ("trainer", "_check"),
            TRAINER,
            (
                "pass",
                *method(
                    "_check(self, t)",
                    "if t:\n    raise ValueError",
                    "'''Words.'''\nif t.any():\n    raise ValueError(t)",
                ),
            ),
            method(
                "_check(self, t)",
                "t()",
                "if t:\n    raise ValueError\nt()",
                "if t:\n    t()\n    raise ValueError",
                "if t:\n    raise ValueError\nelse:\n    t()",
                "for x in t:\n    raise ValueError",
                "with t:\n    raise ValueError",
                "if t:\n    raise ValueError\nif t:\n    raise TypeError",
                "return t",
                "if (y := t.pop()):\n    raise ValueError",
                "if t.zero_():\n    raise ValueError",
            ),
        ),
    ],
    "not_asserted": [
        Table(
            ("agent", "rho"),
            AGENT,
            (
                "pass",
                "assert t",
                "if self.rho > 1:\n    t()",
                "if t:\n    raise ValueError(self.rho)",
                "assert self.other > 0",
            ),
            (
                "assert self.rho.sum() == 1",
                "if self.rho > 1:\n    raise ValueError",
                "if self.rho > 1:\n    t()\n    raise ValueError",
                "if self.rho < 1:\n    pass\nelse:\n    raise ValueError",
                "r = self.rho\nassert r > 0",
                "r, y = self.rho, t\nassert r > 0",
                "r: object = self.rho.sum()\nassert r > 0",
                "assert (r := self.rho) > 0",
                "torch.testing.assert_close(self.rho, t)",
                "np.testing.assert_allclose(actual=self.rho, desired=t)",
                "if self.rho > 1:\n    sys.exit(1)",
                "match self.rho:\n    case 1:\n        raise ValueError",
                "assert getattr(self, 'rho') > 0",
                "for r in self.rho:\n    assert r > 0",
                "while self.rho > 1:\n    raise ValueError",
            ),
        ),
    ],
    "adds_nothing": [
        Table(
            ("agent", "_td_target", "self.model.Q"),
            AGENT,
            method(
                "_td_target(self, t, flag)",
                "return self.model.Q(t)",
                "q = self.model.Q(t)\nreturn t + flag * q",
                "q = t + 1\nreturn self.model.Q(q)",
                "q = self.other(t)\nreturn q + 1",
            ),
            method(
                "_td_target(self, t, flag)",
                "q = self.model.Q(t)\nreturn q + t",
                "return self.model.Q(t) - t",
                "return t + self.model.Q(t)",
                "q = self.model.Q(t)\nq += t\nreturn q",
                "q = self.model.Q(t)\nq.add_(t)\nreturn q",
                "q = self.model.Q(t)\nreturn q.sub(t)",
                "q = self.model.Q(t)\nreturn torch.add(t, q)",
                "q = self.model.Q(t)\nreturn torch.add(input=q, other=t)",
                "q, y = self.model.Q(t), flag\nreturn q + y",
                "q: object = self.model.Q(t)\nreturn q + t",
                "if (q := self.model.Q(t)) is not None:\n    return q + t",
                "f = self.model.Q\nq = f(t)\nreturn q + t",
                "m = self.model\nreturn m.Q(t) + t",
                "q = self.model.Q(t)\np = q\nreturn p + t",
                "return [q + t for q in (self.model.Q(t),)]",
            ),
        ),
    ],
    "split_at_once": [
        Table(
            ("world_model", "self._pi"),
            "=== common/world_model.py\nclass WorldModel:\n    METHODS\n",
            (
                "pass",
                "a, b = self._pi(t).chunk(2)",
                "p = self._pi(t)\na, b = p.chunk(2)",
                "p: object = self._pi(t)\na, b = p.chunk(2)",
                "a, b = torch.chunk(self._pi(t), 2)",
                "a, b = self._pi(t).float().split(3)",
                "a, b = (p := self._pi(t)).chunk(2)",
            ),
            (
                "t(self._pi(t))",
                "p = self._pi(t)\na, b = p.chunk(2)\nt(p)",
                "p = self._pi(t)\nt(p[0])",
                "a, b = self._pi(t)",
                "f = self._pi\nt(f(t))",
                "p, y = self._pi(t), t\na, b = p.chunk(2)\nt(p)",
                "t(getattr(self, '_pi')(t))",
                "for p in self._pi(t):\n    t(p)",
                "t([p for p in self._pi(t)])",
                "t(*self._pi(t))",
                "a, b = (self._pi(t) * 2).chunk(2)",
                "p = self._pi(t)\np *= 2\na, b = p.chunk(2)",
            ),
        ),
    ],
    "paid_in": [
        Table(
            ("trainer", "self._update_tokens", "self.agent.update"),
            TRAINER,
            (
                *tuple(
                    f"self.agent.update(t)\n{code}"
                    for code in (
                        "pass",
                        "self._update_tokens += t",
                        "self._update_tokens -= 1",
                        "self._update_tokens = self._update_tokens - 1",
                        "self._update_tokens = 0",
                        "self._update_tokens %= 1",
                    )
                ),
                "self._update_tokens = t",
            ),
            (
                *tuple(
                    f"self.agent.update(t)\n{code}"
                    for code in (
                        *forms((*BINDS, *SETS), "self._update_tokens"),
                        "self._update_tokens *= 0.5",
                        "self._update_tokens /= 2",
                    )
                ),
                "f = self.agent.update\nf(t)\nself._update_tokens = t",
            ),
        ),
    ],
}
