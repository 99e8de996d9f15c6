"""Planner statistics travel from the planner to the policy loss.

Claim: TD-M(PC)^2 keeps the policy close to the distribution that the planner acted from; it needs that distribution's
mean and standard deviation for every stored action.
Code: upstream newt's agent returns the action alone; trainer, buffer and update have no place for anything else.
Change: the agent returns (action, mu, std) where asked to (`return_stats=True`; callers that take the action alone
keep working); mu is the elite action that was picked, before exploration noise, std the planner's last one. The
trainer stores both, the buffer samples them, the update hands them to the policy loss. What has no statistics, such as
demonstrations, counts as mu = action, std = exp(log_std_max).
Effect: none on the losses by itself; `mu-std` and `actor-modes` build on it. Each stored transition grows by 2 A
numbers of 4 bytes: by 168 bytes for humanoid (A=21), or 168 MB for a million of them.
Evidence: reference, `act` and `plan` in `tdmpc_square.py`, `to_td` in `trainer/online_trainer.py`; newt,
`TDMPC2.forward`.
Leave it off: when the policy shall be trained without the planner's distribution, as in newt: nothing else reads the
statistics, and replay is smaller without them. `mu-std` and `actor-modes` cannot do without it.
"""

from newtfix.model import Edit, Patch, Severity, Shape


def _takes_statistics(edit: str, method: str) -> Edit:
    """The method of the agent takes mu and std behind the action."""
    before = f"def {method}(self, zs, action, task):\n    $$body"
    after = f"def {method}(self, zs, action, mu, std, task):\n    $$body"
    return Edit(edit, "agent", "TDMPC2", (Shape(before, after),))


AGENT = (
    Edit(
        "return",
        "agent",
        "TDMPC2",
        (
            Shape(
                """
                def forward(self, obs, t0, step=None, eval_mode=False, task=None, mpc=None):
                    $$head
                    if mpc:
                        $$device
                        action = self.plan($*plan)
                    else:
                        action, info = self.pi($*pi)
                        $$rest
                    return action.cpu()
                """,
                """
                def forward(self, obs, t0, step=None, eval_mode=False, task=None, mpc=None, return_stats=False):
                    $$head
                    if mpc:
                        $$device
                        action, mu, std = self.plan($*plan)
                    else:
                        action, info = self.pi($*pi)
                        mu, std = info["mean"], info["log_std"].exp()
                        $$rest
                    if return_stats:
                        return action.cpu(), mu.cpu(), std.cpu()
                    return action.cpu()
                """,
                present="return action.cpu(), mu.cpu(), std.cpu()",
            ),
        ),
        present=("return $action.cpu(), $mu.cpu(), $std.cpu()",),
    ),
    Edit(
        "plan",
        "agent",
        "TDMPC2",
        (
            Shape(
                """
                action, $mean, $std = self.mppi($*arguments)
                $$rest
                return action
                """,
                """
                action, $mean, $std = self.mppi($*arguments)
                mu = action
                $$rest
                return action, mu, $std
                """,
                present="return action, mu, $std",
            ),
        ),
        present=("return $action, mu, $std", "return $action.clamp(-1, 1), mu, $std"),
    ),
    _takes_statistics("loss-arguments", "_pi_loss"),
    _takes_statistics("update-pi-arguments", "update_pi"),
    Edit(
        "loss-call",
        "agent",
        "TDMPC2",
        (
            Shape(
                "self.pi_loss($zs, action, $task)",
                "self.pi_loss($zs, action, mu, std, $task)",
            ),
        ),
    ),
    Edit(
        "update-pi-call",
        "agent",
        "TDMPC2",
        (Shape("self.update_pi($zs, action, $task)", "self.update_pi($zs, action, mu, std, $task)"),),
    ),
    Edit(
        "sample",
        "agent",
        "TDMPC2",
        (
            Shape(
                "obs, action, reward, task = buffer.sample($*arguments)",
                """
                obs, action, mu, std, reward, task = buffer.sample($*arguments)
                mu = torch.where(mu.isnan(), action, mu)
                std = torch.where(std.isnan(), torch.full_like(std, self.cfg.log_std_max).exp(), std)
                """,
                present="obs, action, mu, std, reward, task = buffer.sample($*arguments)",
            ),
        ),
    ),
)

TRAINER = (
    Edit(
        "act",
        "trainer",
        "Trainer.train",
        (
            Shape(
                """
                if use_agent:
                    $$before
                    action = self.agent($*arguments)
                else:
                    action = self.env.rand_act()
                """,
                """
                if use_agent:
                    $$before
                    action, mu, std = self.agent($*arguments, return_stats=True)
                else:
                    action = self.env.rand_act()
                    mu, std = None, None
                """,
                present="action, mu, std = self.agent($*arguments)",
            ),
        ),
    ),
    Edit(
        "store",
        "trainer",
        "Trainer",
        (
            Shape(
                "self.to_td($obs, action, reward, $*rest)",
                "self.to_td($obs, action, reward, $*rest, mu=mu, std=std)",
                present="self.to_td($obs, action, reward, $terminated, mu=mu, std=std)",
            ),
        ),
        present=("self.to_td($obs, action, mu, std, $*rest)",),
    ),
    Edit(
        "row-arguments",
        "trainer",
        "Trainer",
        (
            Shape(
                """
                def to_td(self, obs, action=None, reward=None, terminated=None):
                    $$body
                """,
                """
                def to_td(self, obs, action=None, reward=None, terminated=None, mu=None, std=None):
                    $$body
                """,
                present="""
                def to_td(self, obs, action=None, reward=None, terminated=None, mu=None, std=None):
                    $$_
                """,
            ),
        ),
        present=(
            """
            def to_td(self, obs, action=None, mu=None, std=None, reward=None, terminated=None):
                $$_
            """,
        ),
    ),
    Edit(
        "row",
        "trainer",
        "Trainer.to_td",
        (
            Shape(
                """
                td = TensorDict(
                    obs=$obs,
                    action=action,
                    $*rest)
                """,
                """
                td = TensorDict(
                    obs=$obs,
                    action=action,
                    mu=torch.full_like(action, float("nan")) if mu is None else mu,
                    std=torch.full_like(action, float("nan")) if std is None else std,
                    $*rest)
                """,
                present="torch.full_like(action, float('nan')) if std is None else std",
            ),
        ),
        present=("$unknown if std is None else std",),
    ),
)

BUFFER = (
    Edit(
        "slices",
        "buffer",
        "",
        (
            Shape(
                """
                td = td.select("obs", "action", "reward", "task", strict=False)
                $$reshape
                action = td.get("action")[1:].contiguous()
                $$rest
                return obs, action, reward, task
                """,
                """
                td = td.select("obs", "action", "mu", "std", "reward", "task", strict=False)
                $$reshape
                action = td.get("action")[1:].contiguous()
                mu, std = td.get("mu", None), td.get("std", None)
                mu = torch.full_like(action, float("nan")) if mu is None else mu[1:].contiguous()
                std = torch.full_like(action, float("nan")) if std is None else std[1:].contiguous()
                $$rest
                return obs, action, mu, std, reward, task
                """,
                present="""
                td = td.select("obs", "action", "mu", "std", "reward", "task", strict=False)
                """,
            ),
        ),
        present=('KEYS = ("obs", "action", "mu", "std", "reward", "task")',),
    ),
    Edit(
        "stored-demos",
        "buffer",
        "Buffer.load_demos",
        (
            Shape(
                "self._buffer.extend($demos)",
                """
                # Storage fills what its first rows lack with zeros, which would count as statistics.
                for name in {"mu", "std"} - set($demos.keys()):
                    $demos[name] = torch.full_like($demos["action"], float("nan"))
                self._buffer.extend($demos)
                """,
                present='$demos[name] = torch.full_like($demos["action"], float("nan"))',
            ),
        ),
        optional=True,
    ),
    Edit(
        "sample-device",
        "buffer",
        "Buffer.sample",
        (
            Shape(
                """
                obs, action, reward, task = self._buffer.sample()
                if obs.device != device:
                    $$move
                return obs, action, reward, task
                """,
                """
                obs, action, mu, std, reward, task = self._buffer.sample()
                if obs.device != device:
                    mu = mu.to(device, non_blocking=True)
                    std = std.to(device, non_blocking=True)
                    $$move
                return obs, action, mu, std, reward, task
                """,
                present="return obs, action, mu, std, reward, task",
            ),
        ),
    ),
    Edit(
        "demos",
        "buffer",
        "EnsembleBuffer.sample",
        (
            Shape(
                """
                obs0, action0, reward0, task0 = self._offline.sample(device)
                try:
                    obs1, action1, reward1, task1 = super().sample(device)
                except Exception as $error:
                    $$handler
                $$rest
                return self._out_obs, self._out_action, self._out_reward, self._out_task
                """,
                """
                obs0, action0, mu0, std0, reward0, task0 = self._offline.sample(device)
                try:
                    obs1, action1, mu1, std1, reward1, task1 = super().sample(device)
                except Exception as $error:
                    $$handler
                mu, std = torch.cat([mu0, mu1], dim=1), torch.cat([std0, std1], dim=1)
                $$rest
                return self._out_obs, self._out_action, mu, std, self._out_reward, self._out_task
                """,
                present="obs0, action0, mu0, std0, reward0, task0 = self._offline.sample(device)",
            ),
        ),
        optional=True,
    ),
)

PATCH = Patch(
    title="Planner statistics in agent, trainer, buffer and update",
    severity=Severity.PREREQUISITE,
    changes="the agent returns (action, mu, std); both are stored, sampled and handed to the policy loss",
    edits=(*AGENT, *TRAINER, *BUFFER),
)
