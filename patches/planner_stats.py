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

from textwrap import indent

from newtfix.model import Carry, Edit, Fact, Numbers, Patch, Severity, Shape, Where, rewrite, show
from newtfix.newt.conditions import ACTS_AT_RANDOM, WITHOUT_PLANNER

NAN = 'float("nan")'
ROW_STATS = tuple(
    f"torch.full_like($action, {NAN}) if {name} is None else {name}" for name in ("mu", "std")
)  # what `to_td` stores

# Rows have no entries of these names for something else.
NO_OTHERS = (
    Where(
        "trainer",
        tuple(f"$_({own}=$_, $*_)" for own in ("mu", "std"))
        + tuple(f'{{*$*_, "{own}": $_, *$*_}}' for own in ("mu", "std")),
        "Trainer.to_td",
        absent=True,
    ),
)
GIVEN_STD = ("$any_std", "$any_std if $_ else $_", "$_ if $_ else $any_std")  # what it may be in trees that have it


def _takes_statistics(edit: str, method: str, unless: tuple[Where, ...] = ()) -> Edit:
    """The method of the agent takes mu and std behind the action."""
    before = f"def {method}(self, $zs, $action, $*task):\n    $$body"
    after = f"def {method}(self, $zs, $action, mu, std, $*task):\n    $$body"
    return Edit(
        edit,
        "agent",
        "TDMPC2",
        (Shape(before, after),),
        present=(
            f"def {method}(self, $zs, $action, $like_mu, $like_std, $*_):\n    $$_",
            f"def {method}(self, $zs, $action, $mu, $std, $task):\n    $$_",
        ),
        unless=unless,
    )


def _hands_statistics(edit: str, *methods: str, unless: tuple[Where, ...] = (), where: tuple[Where, ...] = ()) -> Edit:
    """Calls of the method hand mu and std on."""
    return Edit(
        edit,
        "agent",
        "TDMPC2",
        tuple(
            rewrite(
                f"""
                - self.{method}($zs, $action, $*task)
                + self.{method}($zs, $action, mu, std, $*task)
                """,
                count=None,
                where=where,
            )
            for method in methods
        )
        + tuple(
            rewrite(
                f"""
                - self.{method}($first=$zs, action=$action, $*task)
                + self.{method}($first=$zs, action=$action, mu=mu, std=std, $*task)
                """,
                count=None,
                where=where,
            )
            for method in methods
        ),
        present=tuple(
            f"self.{method}({stats})"
            for method in methods
            for stats in (
                "$_, $_, $like_mu, $like_std, $*_",
                "$_, $_, $_, $any_mu, $any_std",
                "$*_, mu=$any_mu, std=$any_std, $*_",
            )
        ),
        unless=unless,
    )


# Statistics that come in a dict beside the action: under which names, and that they are the planner's.
IN_A_DICT = (
    Where("agent", "$elite, $_, $spread = self.mppi($*_)", "TDMPC2.plan"),
    Where("agent", "return $_, {$key_mu: $elite, $key_std: $spread}", "TDMPC2.plan"),
)
ALREADY_RETURNED = (*IN_A_DICT, Where("agent", "return $_, $_", "TDMPC2.forward"))
INLINE_LOSS = (
    Where("agent", "def _pi_loss(self, $*_):\n    $$_", "TDMPC2", absent=True),
    Where("agent", "self.model.pi($*_)", "TDMPC2.update_pi"),
)
# The update draws a batch and learns from it in one method.
AT_ONCE = (Where("agent", "def _update(self, $*_):\n    $$_", "TDMPC2", absent=True),)

FORWARD = "def forward(self, $*parameters):"
FORWARD_STATS = "def forward(self, $*parameters, return_stats=False):"


# What the planner gives beside the action stays; the statistics come behind it.
PLANS = {"$action": "$action, mu, std", "$action, $extra": "$action, $extra, mu, std"}


def _gives(context: str, about: str, depth: int) -> str:
    """How the action is given away; the statistics are moved and cast as it is."""
    result = f"$@{context}[$action]{about}"
    ends = f"+ if return_stats:\n+     return {result}, $@{context}[mu], $@{context}[std]\n  return {result}"
    return "\n".join(f"{line[:2]}{'    ' * depth}{line[2:]}" for line in ends.splitlines())


def _returns(planned: str, about: str = "", special: bool = False) -> Shape:
    """How the agent's forward pass ends, for some settings in a way of its own."""
    ends = (f"      if $special:\n{_gives('other', about, 2)}\n" if special else "") + _gives("given", about, 1)
    return rewrite(
        f"""
- {FORWARD}
+ {FORWARD_STATS}
      $$head
      if $mpc:
          $$device
-         {planned} = self.plan($*plan)
+         {PLANS[planned]} = self.plan($*plan)
          $$planned
      else:
          $action, $info = $prior
+         mu, std = $info["mean"], $info["log_std"].exp()
          $$rest
      $$tail
{ends}
""",
        present=f"return $@given[$action]{about}, $@given[mu], $@given[std]",
        untouched=("tail:action", "head:return", "device:return", "planned:return", "rest:return", "tail:return"),
    )


# How one of the two gives its action away, where each returns for itself.
PLAN_GIVEN = ("return $@given[self.plan($*plan)]", "$action = self.plan($*plan)\nreturn $@given[$action]")
PRIOR_GIVEN = {
    "return $@given[$action]": "",
    "return $@given[$yes if $chosen else $no]": "$action = $yes if $chosen else $no\n",
}


def _guarded(planned: str, given: str, not_mpc: bool = False) -> Shape:
    """One of planner and policy returns first; then they meet, as both have statistics."""
    prior = f"$action, $info = $prior\n$$rest\n{given}\n"
    plan = f"$$device\n{planned}\n"
    first, second = (prior, plan) if not_mpc else (plan, prior)
    before = f"$$head\nif {'not ' * not_mpc}$mpc:\n{indent(first, '    ')}{second}"
    after = (
        "$$head\n"
        "if $mpc:\n"
        "    $$device\n"
        "    $action, mu, std = self.plan($*plan)\n"
        "else:\n"
        "    $action, $info = $prior\n"
        '    mu, std = $info["mean"], $info["log_std"].exp()\n'
        "    $$rest\n"
        f"{indent(PRIOR_GIVEN[given], '    ')}"
        "if return_stats:\n"
        "    return $@given[$action], $@given[mu], $@given[std]\n"
        "return $@given[$action]\n"
    )
    return Shape(
        f"{FORWARD}\n{indent(before, '    ')}",
        f"{FORWARD_STATS}\n{indent(after, '    ')}",
        present="return $@given[$action], $@given[mu], $@given[std]",
        untouched=("head:return", "device:return", "rest:return"),
    )


# A plan is made for every step.
ALWAYS_PLANS = Where(
    "agent",
    "return $_",
    "TDMPC2.plan",
    absent=True,
    outside=tuple(f"$_, $_, $_, $*_ = self.{method}($*_)\n$$_\nreturn $_" for method in ("mppi", "_mppi")),
)
BATCH = Where(
    "agent",
    ("$_, $action, $*_ = $_.sample($*_)", "$batch = $_.sample($*_)\n$$_\n$_, $action, $*_ = $batch"),
    "TDMPC2.update",
)
# Under whatever names, a batch has statistics that go from the buffer to the policy.
SAMPLED = (
    Where("agent", "$_, $_, $mu, $std, $*_ = $_.sample($*_)", "TDMPC2.update"),
    Where("agent", "self.update_pi($_, $_, $mu, $std, $*_)", "TDMPC2.update"),
)

# The trainer takes statistics from the agent, by whatever way they come there.
TAKEN = (Where("trainer", "$_, $like_mu, $like_std, $*_ = self.agent($*_)", "Trainer", near=ACTS_AT_RANDOM),)

AGENT = (
    Edit(
        "return",
        "agent",
        "TDMPC2.forward",
        (
            *(
                _returns(planned, about, special)
                for planned in PLANS
                for about in ("", ", $about")
                for special in (False, True)
            ),
            *(_guarded(planned, chosen) for planned in PLAN_GIVEN for chosen in PRIOR_GIVEN),
            *(_guarded(planned, chosen, not_mpc=True) for planned in PLAN_GIVEN for chosen in PRIOR_GIVEN),
        ),
        present=("return $action.cpu(), $mu.cpu(), $std.cpu(), $*_", "return $action, $like_mu, $like_std, $*_"),
        unless=ALREADY_RETURNED,
        or_unless=(TAKEN,),
    ),
    Edit(
        "plan",
        "agent",
        "TDMPC2.plan",
        tuple(
            rewrite(
                f"""
                  $action, $mean, $std, $*more = self.{method}($*arguments)
                + mu = $action.clone()
                  $$rest
                - return {result}
                + return {result}, mu, $std
                """,
                present=f"return {result}, mu, $any_std",
                where=(ALWAYS_PLANS, Where("trainer", "self.agent.plan($*_)", "Trainer", absent=True)),
                untouched=("rest:std", "rest:return"),
            )
            for method in ("mppi", "_mppi")
            for action in ("$variable", "$explored.clamp($*limits)")
            for result in (action, f"{action}, $extra")
        ),
        present=(
            "return $action, mu, $std, $*_",
            "return $action.clamp($*_), mu, $std, $*_",
            "return $_, $like_mu, $like_std, $*_",
            *(
                f"$elite, $_, $spread = self.{method}($*_)\n$$_\nreturn {result}, $elite, $spread, $*_"
                for method in ("mppi", "_mppi")
                for result in ("$_", "$_.clamp($*_)")
            ),
            *(
                f"$_, $elite, $_, $spread = self.{method}($*_)\n$$_\nreturn $_, $elite, $spread, $*_"
                for method in ("mppi", "_mppi")
            ),
        ),
        unless=ALREADY_RETURNED,
    ),
    WITHOUT_PLANNER,
    _takes_statistics("loss-arguments", "_pi_loss", unless=INLINE_LOSS),
    _takes_statistics("update-pi-arguments", "update_pi"),
    _hands_statistics("loss-call", "pi_loss", "_pi_loss", unless=INLINE_LOSS),
    _takes_statistics("step-arguments", "_update", unless=AT_ONCE),
    _hands_statistics("step-call", "_update", unless=AT_ONCE),
    _hands_statistics("update-pi-call", "update_pi", where=(BATCH,)),
    Edit(
        "sample",
        "agent",
        "TDMPC2.update",
        (
            rewrite(
                """
                  $batch = $buffer.sample($*arguments)
                  $$gap
                - $obs, $action, $*rest = $batch
                + $obs, $action, mu, std, $*rest = $batch
                + mu = torch.where(mu.isnan(), $action, mu)
                + std = torch.where(std.isnan(), torch.full_like(std, self.cfg.log_std_max).exp(), std)
                  $$using
                """,
                present="$obs, $action, mu, std, $*rest = $batch",
                untouched=("using:action", "gap:batch"),
            ),
            rewrite(
                """
                - $obs, $action, $*rest = $buffer.sample($*arguments)
                + $obs, $action, mu, std, $*rest = $buffer.sample($*arguments)
                + mu = torch.where(mu.isnan(), $action, mu)
                + std = torch.where(std.isnan(), torch.full_like(std, self.cfg.log_std_max).exp(), std)
                  $$using
                """,
                present="$obs, $action, mu, std, $*rest = $buffer.sample($*arguments)",
                where=(Where("trainer", "$_, $_, $*_ = self.buffer.sample($*_)", "Trainer", absent=True),),
                untouched=("using:action",),
            ),
        ),
        present=(
            "$_, $_, $like_mu, $like_std, $*_ = $_.sample($*_)",
            "$_, $_, $_, $_, $like_mu, $like_std = $_.sample($*_)",
        ),
        unless=SAMPLED,
    ),
    Edit(
        "missing-statistics",
        "agent",
        "TDMPC2.update",
        tuple(
            rewrite(
                f"""
                  $obs, $action, {rest} = $buffer.sample($*arguments)
                + $like_mu = torch.where($like_mu.isnan(), $action, $like_mu)
                + $like_std = torch.where(
                +     $like_std.isnan(), torch.full_like($like_std, self.cfg.log_std_max).exp(), $like_std
                + )
                """,
                present="torch.where($like_mu.isnan(), $*_)",
            )
            for rest in ("$like_mu, $like_std, $*rest", "$reward, $task, $like_mu, $like_std")
        ),
        present=("$_.isnan()", "torch.isnan($_)", "$_.nan_to_num($*_)", "torch.nan_to_num($*_)"),
        unless=(Where("buffer", "self._buffer.extend($_)", "Buffer.load_demos", absent=True),),
        optional=True,
        supplement=True,
    ),
)

# Where one method acts and another one stores, the statistics go from one to the other as attributes.
SAME_METHOD = (Where("trainer", ("self.env.rand_act()", "self.to_td($_, $_, $_, $*_)"), "Trainer", together=True),)
OTHER_METHOD = (
    Where("trainer", ("self.env.rand_act()", "self.to_td($_, $_, $_, $*_)"), "Trainer", together=True, absent=True),
)


def _acting(mu_std: str, where: tuple[Where, ...]) -> Shape:
    return rewrite(
        f"""
        - $variable = self.agent($*arguments)
        + $variable, {mu_std} = self.agent($*arguments, return_stats=True)
        """,
        present=f"$variable, {mu_std} = self.agent($*arguments)",
        where=where,
        count=None,
        without="self.agent($*_, eval_mode=$_, $*_)",
    )


def _storing(mu_std: tuple[str, str], where: tuple[Where, ...]) -> tuple[Shape, ...]:
    given = "mu={}, std={}".format(*mu_std)
    return tuple(
        rewrite(
            f"""
            - self.to_td($obs, {action}, {reward}, $*rest)
            + self.to_td($obs, {action}, {reward}, $*rest, {given})
            """,
            where=where,
        )
        for action, reward in (("$action", "$reward"), ("action=$action", "reward=$reward"))
    )


MEANS, SPREADS = ("mu", "mean", "loc", "action_mean"), ("std", "spread", "sigma", "action_std")
ACTED = Where("trainer", "$action, $mu, $std, $*_ = self.agent($*_)", "Trainer", near=ACTS_AT_RANDOM)
STORES_THEM = (
    ACTED,
    Where(
        "trainer",
        (
            "self.to_td($_, $_, $mu, $std, $*_)",
            "self.to_td($_, $_, $_, $_, $mu, $std, $*_)",
            *(f"self.to_td($*_, {mu}=$mu, {std}=$std, $*_)" for mu in MEANS for std in SPREADS),
        ),
        "Trainer",
    ),
)


def _acting_with_more(mu_std: str, where: tuple[Where, ...]) -> Shape:
    """The agent returns something else beside the action."""
    return rewrite(
        f"""
        - $action, $about = self.agent($*arguments)
        + $action, $about, {mu_std} = self.agent($*arguments, return_stats=True)
        """,
        present=f"$action, $about, {mu_std} = self.agent($*arguments)",
        where=where,
        count=None,
        without="self.agent($*_, eval_mode=$_, $*_)",
        fallback=True,
    )


def _acting_with_dict(where: tuple[Where, ...]) -> Shape:
    """The agent returns a dict beside the action."""
    return rewrite(
        """
          $action, $about = self.agent($*arguments)
        + mu, std = $about[$key_mu], $about[$key_std]
        """,
        where=(*IN_A_DICT, *where),
        count=None,
        without="self.agent($*_, eval_mode=$_, $*_)",
    )


TRAINER = (
    Edit(
        "row-arguments",
        "trainer",
        "Trainer",
        (
            rewrite(
                """
                - def to_td(self, $*parameters):
                + def to_td(self, $*parameters, mu=None, std=None):
                      $$body
                """,
                present="""
                def to_td(self, $obs, $action=$_, $reward=$_, $terminated=$_, mu=None, std=None):
                    $$_
                """,
            ),
        ),
        present=(
            "def to_td(self, $_, $_=$_, $like_mu=$_, $like_std=$_, $*_):\n    $$_",
            "def to_td(self, $_, $_=$_, $_=$_, $like_mu=$_, $like_std=$_, $*_):\n    $$_",
            "def to_td(self, $_, $_=$_, $_=$_, $_=$_, $like_mu=$_, $like_std=$_, $*_):\n    $$_",
            "def to_td(self, $_, $_=$_, $_=$_, $_=$_, $_=$_, $like_mu=$_, $like_std=$_, $*_):\n    $$_",
        ),
        unless=STORES_THEM,
    ),
    Edit(
        "row",
        "trainer",
        "Trainer.to_td",
        (
            rewrite(
                f"""
                - $made(obs=$obs, action=$action, $*rest)
                + $made(obs=$obs, action=$action, mu={ROW_STATS[0]}, std={ROW_STATS[1]}, $*rest)
                """,
                where=NO_OTHERS,
            ),
            rewrite(
                f"""
                - {{"obs": $obs, "action": $action, *$*rest}}
                + {{"obs": $obs, "action": $action, "mu": {ROW_STATS[0]}, "std": {ROW_STATS[1]}, *$*rest}}
                """,
                where=NO_OTHERS,
            ),
        ),
        present=(
            "$unknown if std is None else std",
            *(f"TensorDict($*_, std={std}, $*_)" for std in GIVEN_STD),
            *(f'TensorDict({{*$*_, "std": {std}, *$*_}}, $*_)' for std in GIVEN_STD),
            "$_['std'] = $_",
            '("std", $_)',
        ),
    ),
    Edit(
        "random",
        "trainer",
        "Trainer",
        tuple(
            rewrite(f"  {drawn}\n+ {mu_std} = None, None", where=where, count=None)
            for drawn in ("$action = self.env.rand_act()", "$action, $other = self.env.rand_act(), $value")
            for mu_std, where in (("mu, std", SAME_METHOD), ("self._mu, self._std", OTHER_METHOD))
        ),
        present=(
            "$like_mu, $like_std = None, None",
            *(f"{drawn}\n$$_\n$like_std = $_" for drawn in ACTS_AT_RANDOM[:2]),
            *(f"{drawn}\n$like_mu, $like_std = $_" for drawn in ACTS_AT_RANDOM[:2]),
            "self._std = torch.full_like($*_).exp()",
        ),
        unless=(Where("trainer", "$_, $_, $_ = self.agent($*_)", "Trainer", near=ACTS_AT_RANDOM),),
        or_unless=(TAKEN,),
    ),
    Edit(
        "act",
        "trainer",
        "Trainer",
        (
            _acting("mu, std", SAME_METHOD),
            _acting("self._mu, self._std", OTHER_METHOD),
            _acting_with_dict(SAME_METHOD),
            _acting_with_more("mu, std", SAME_METHOD),
            _acting_with_more("self._mu, self._std", OTHER_METHOD),
        ),
        present=("$_, $like_mu, $like_std, $*_ = self.agent($*_)",),
        unless=STORES_THEM,
    ),
    Edit(
        "store",
        "trainer",
        "Trainer",
        (*_storing(("mu", "std"), SAME_METHOD), *_storing(("self._mu", "self._std"), OTHER_METHOD)),
        present=(
            "self.to_td($*_, mu=$any_mu, std=$any_std, $*_)",
            "self.to_td($_, $_, $like_mu, $like_std, $*_)",
            "self.to_td($_, $_, $_, $_, $like_mu, $like_std, $*_)",
        ),
        unless=STORES_THEM,
    ),
)


def _slices(action: str, own: str, cut: str) -> Shape:
    """How the rows of slices, which may be cut already, become actions, and the statistics that go with them."""
    return rewrite(
        f"""
          $action = $@given[{action}{cut}]
        + mu, std = {own.format("mu")}, {own.format("std")}
        + mu = torch.full_like($action, float("nan")) if mu is None else $@given[mu{cut}]
        + std = torch.full_like($action, float("nan")) if std is None else $@given[std{cut}]
          $$rest
        - return $obs, $action, $*more
        + return $obs, $action, mu, std, $*more
        """,
        present="return $obs, $action, mu, std, $*more",
        untouched=("rest:action",),
    )


def _carried(edit: str, scope: str, *taken: str) -> Carry:
    """What becomes of the actions of a batch becomes of their statistics."""
    return Carry(edit, "buffer", scope, taken, value="action", names=("mu", "std"), at=1)


ACTION_KEY, STATS_KEYS = '"action"', '"action", "mu", "std"'
SELECTED = ("$_.select(*$keys, $*_)", "$_.select(*$keys)")
BUFFER = (
    Edit(
        "select",
        "buffer",
        "",
        (
            rewrite("""
                - $td.select($*front, "action", $*keys)
                + $td.select($*front, "action", "mu", "std", $*keys)
                """),
            *(
                rewrite(
                    f"""
                    - $keys = {keys}
                    + $keys = {keys.replace(ACTION_KEY, STATS_KEYS)}
                    """,
                    where=(Where("buffer", SELECTED),),
                    fallback=keys.startswith("("),
                )
                for keys in ('($*front, "action", $*behind)', '[$*front, "action", $*behind]')
            ),
        ),
        present=(
            '$_.select($*_, "std", $*_)',
            *(f"$keys = {keys}" for keys in ('($*_, "std", $*_)', '[$*_, "std", $*_]')),
        ),
        unless=(Where("buffer", "$_.select($*_)", absent=True),),
    ),
    Edit(
        "slices",
        "buffer",
        "",
        tuple(
            _slices(*entry, cut)
            for entry in (
                ('$td.get("action")', '$td.get("{}", None)'),
                ('$td["action"]', '$td["{0}"] if "{0}" in $td.keys() else None'),
            )
            for cut in ("[1:]", "")
        ),
        present=(
            '$_ = ("obs", "action", "mu", "std", "reward", "task")',
            '$_["std"][$*_]',
            '$_.get("std", $*_)',
        ),
    ),
    Edit(
        "stored-demos",
        "buffer",
        "Buffer.load_demos",
        (
            rewrite(
                """
                + # Storage fills what its first rows lack with zeros, which would count as statistics.
                + for name in {"mu", "std"} - set($demos.keys()):
                +     $demos[name] = torch.full_like($demos["action"], float("nan"))
                  self._buffer.extend($demos)
                """,
                present='$demos[name] = torch.full_like($demos["action"], float("nan"))',
            ),
        ),
        optional=True,
        supplement=True,
    ),
    _carried("batch", "Buffer.sample", "self._buffer.sample($*_)"),
    _carried("both-halves", "EnsembleBuffer.sample", "self.$offline.sample($*_)", "super().sample($*_)"),
)

ROW = ("action", "mu", "std")
# What the statistics are of, before and afterwards.
OF_THE_PLANNER = (
    Fact("unchanged", ("agent", "elite actions", "explored from")),
    Fact("unchanged", ("agent", "planned actions", "given away")),
    Fact("unchanged", ("trainer", "the agent's actions", "stored")),
    Fact("keeps_first", ("world_model", "squash")),
    Fact("scales_noise", ("agent", "plan", "self.mppi", "self._mppi")),
    Fact("drawn_from_no_noise", ("agent", "mppi", "_mppi")),
)
PATCH = Patch(
    title="Planner statistics in agent, trainer, buffer and update",
    severity=Severity.PREREQUISITE,
    changes="the agent returns (action, mu, std); both are stored, sampled and handed to the policy loss",
    there_only_where=(
        *OF_THE_PLANNER,
        Fact("unchanged", ("agent", "elite actions", "given beside actions")),
        Fact("hands_on", ("agent", "forward", "self.plan")),
        Fact("selects_all", ("buffer", *ROW)),
    ),
    only_where=(
        *OF_THE_PLANNER,
        Fact("only_called_by", ("agent", "forward", "plan")),
        Fact("unchanged", ("trainer", "actions", "put into a row")),
        Fact("unchanged", ("trainer", "rows", "kept"), keys=ROW),
        Fact("unchanged", ("trainer", "episodes", "added to the buffer"), keys=ROW),
        Fact("taken_as_given", ("buffer", "add"), keys=ROW),
        Fact("unchanged", ("agent", "sampled actions", "handed to the policy")),
        Fact("takes_bare", ("trainer", "self.agent", "agent")),
        Fact("not_spread", ("sample", "agent", "buffer", "trainer")),
    ),
    edits=(*AGENT, *TRAINER, *BUFFER),
)


def consequence(numbers: Numbers) -> str:
    a = numbers.action_dims[0] if len(numbers.action_dims) == 1 else None
    size = f"; storing them takes {show(8 * a)} bytes a step for A={a}" if a else ""
    return (
        f"The mean and deviation that the planner acted from do not reach the policy loss{size}. mu-std and "
        "actor-modes build on them."
    )
