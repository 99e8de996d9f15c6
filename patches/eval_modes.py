"""Evaluation of the policy without planner, and of the value function.

Claim: the reference also evaluates its policy alone, and compares what that policy earns with what Q predicts.
Code: newt evaluates with the planner only.
Change: two settings, `eval_pi` and `eval_value`. Beside each evaluation, `eval_episodes` episodes per environment are
run with the policy's mean action and without planner, in all environments at once. Logged are episode_reward_pi and
episode_success_pi, and mc_value, the discounted return of these episodes, beside q_value, the average Q at their first
observations.
Effect: on the learning curve, the gap between episode_reward and episode_reward_pi shows what the planner adds, the
gap between q_value and mc_value the overestimation of Q. Evaluations take twice the environment steps, at the policy's
speed.
Evidence: reference, `eval` and `eval_value` in trainer/online_trainer.py.
Leave it off: where evaluation episodes are expensive, or set eval_pi=false and eval_value=false, which gives the same
numbers as a tree without the patch.
"""

from newtfix.model import Add, Edit, Fact, Numbers, Patch, Severity, Shape, Where, show
from newtfix.newt.conditions import WITHOUT_PLANNER

SETTINGS = """
eval_pi: bool = True  # also evaluate the policy without planner
eval_value: bool = True  # also compare the policy's discounted return with Q
"""

METHODS = '''
@torch.no_grad()
def eval_policy(self):
    """Run `eval_episodes` episodes per environment with the policy alone, in all N environments at once.

    Returns means over these episodes: with `eval_pi` episode_reward_pi and episode_success_pi, with `eval_value`
    mc_value (discounted return) and q_value (average Q at the first observations); nothing where both are off.
    """
    if not (self.cfg.eval_pi or self.cfg.eval_value):
        return {}
    device = self.agent.device
    tasks = self._tasks.to(device)
    discount = self.agent.discount[tasks].flatten().cpu()
    results = {name: [] for name in ("episode_reward_pi", "episode_success_pi", "mc_value", "q_value")}
    logged = list(results)[0 if self.cfg.eval_pi else 2 : 4 if self.cfg.eval_value else 2]
    obs, _ = self.env.reset()
    steps, reward_sum, discounted_sum = torch.zeros(3, self.cfg.num_envs)
    finished = torch.zeros(self.cfg.num_envs, dtype=torch.int32)
    first_q = torch.zeros(self.cfg.num_envs)
    while (finished < self.cfg.eval_episodes).any():
        first = steps == 0
        torch.compiler.cudagraph_mark_step_begin()
        action = self.agent(obs, t0=first, step=self._step, eval_mode=True, task=self._tasks, mpc=False)
        action = action[0] if isinstance(action, tuple) else action
        if self.cfg.eval_value and first.any():
            first_q = torch.where(first, self._q_value(obs, action, tasks), first_q)
        obs, reward, terminated, truncated, info = self.env.step(action.cpu())
        reward_sum += reward
        discounted_sum += discount**steps * reward
        steps += 1
        done = terminated | truncated
        for i in done.nonzero().flatten().tolist():
            if finished[i] < self.cfg.eval_episodes:
                final = info["final_info"]
                success = final["success"][i] if "success" in final else float("nan")
                ended = (reward_sum[i], success, discounted_sum[i], first_q[i])
                for values, value in zip(results.values(), ended, strict=True):
                    values.append(float(value))
        finished += done
        for counter in (steps, reward_sum, discounted_sum):
            counter[done] = 0.0
    return {name: self._mean_over_ranks(results[name]) for name in logged}

def _q_value(self, obs, action, tasks):
    """Average Q [N] of actions [N, A] at observations [N, O]."""
    obs = TensorDict(obs) if isinstance(obs, dict) else obs
    z = self.agent.model.encode(obs.to(self.agent.device), tasks)
    return self.agent.model.Q(z, action.to(self.agent.device), tasks, return_type="avg").flatten().cpu()

def _mean_over_ranks(self, values):
    """Mean of numbers on all ranks; NaN (no success defined, say) does not count."""
    values = torch.tensor(values, device=self.agent.device)
    total = torch.stack([values.nansum(), (~values.isnan()).sum().float()])
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(total)
    return (total[0] / total[1]).item()
'''

# Q gives the average where it is asked for it by that name.
RETURN_TYPE = tuple(f"def Q(self, $_, $_, $_, return_type=$_{more}):\n    $$_" for more in ("", ", $*_"))
# Observations and actions go as they are.
CALLS = ("self.agent({}, $*_)", "self.env.step({})")
MADE = ("self.$_($*_)", "$variable($*_)", "$variable.$_($*_)", "$_ * $_", "$_ / $_", "torch.$_($*_)")
RAW = tuple(call.format(made) for call in CALLS for made in MADE)
ON_CPU = "self.env.step($variable.cpu())"
# Rewards that are learned from, and the discount per step, are those of the environment.
SCALED = (
    *tuple(
        f"self.to_td({before}$_ {operator} $_, $*_)"
        for before in ("$_, $_, ", "$_, $_, reward=", "$_, $_, $_, $_, ")
        for operator in ("*", "/", "+", "-")
    ),
    "self.to_td($_, $_, $_.$_($*_), $*_)",
    "self.to_td($_, $_, $_.$_.$_($*_), $*_)",
)
MANY_STEPS = (
    "self.discount = $_ ** $_",
    "self.discount **= $_",
    "self.discount = torch.pow($*_)",
    "self.discount.pow_($_)",
)
REPEATS = ("for $_ in range($*_):\n    $$_\n    $_, $_, $_, $_, $_ = self.env.step($_)\n    $$_",)
EVALUATIONS = ("eval", "evaluate")  # what trees call the method
# How the metrics of an evaluation are used, and how those of the policy join them.
USES = (
    (
        "$metrics = self.{0}()",
        """
        $metrics = self.{0}()
        $metrics.update(self.eval_policy())
        """,
        "$metrics.update(self.eval_policy())",
    ),
    ("{{**self.{0}(), **$more}}", "{{**self.{0}(), **self.eval_policy(), **$more}}", None),
    ("self.{0}() | $more", "self.{0}() | self.eval_policy() | $more", None),
)
STEPPED = "$_, $paid, $_, $_, $_ = self.env.step($_)\n$$_\n"
CHANGED = tuple(
    f"{STEPPED}{changed}"
    for changed in (
        *("$paid = $_", "$paid *= $_", "$paid.$_($*_)"),
        *("$_ = $_($paid)", "$_ = $_($paid) if $_ else $paid", "$_ = $paid * $_", "$_ = $paid / $_"),
    )
)
ENCODES = tuple(f"def encode(self, $_, $_{more}):\n    $$_" for more in ("", "=$_", ", $_=$_", "=$_, $_=$_"))
# The agent sees what it is given, and learns from what the environment paid.
SEEN = tuple(
    Where("agent", f"self.{method}($_, $*_)", "TDMPC2.forward", absent=True, outside=(f"self.{method}(obs, $*_)",))
    for method in ("plan", "pi", "_pi")
)
AS_GIVEN = ("obs = obs.to($*_)", "obs = TensorDict($*_)", "obs = torch.as_tensor($*_)", "obs = {*$*_}")
PREPARED = (
    *SEEN,
    Where("agent", "obs = $_", "TDMPC2.forward", absent=True, outside=AS_GIVEN),
    Where(
        "agent",
        "self.model.encode($_, $*_)",
        "TDMPC2",
        absent=True,
        outside=("self.model.encode($variable, $*_)", "self.model.encode($variable[$*_], $*_)"),
    ),
    *(
        Where("agent", ("reward = $_", "reward *= $_", "reward * $_", "$_ * reward"), f"TDMPC2.{method}", absent=True)
        for method in ("update", "_loss_fn", "_td_target")
    ),
)


def _as_the_tree_evaluates(name: str) -> tuple[tuple[Where, ...], ...]:
    """What the method does, step by step; some only show an action."""
    scope = f"Trainer.{name}"
    made = ("$_($*_)", "$_ / $_", "$_ * $_", "$_ - $_")
    begins = (
        Where("trainer", "$obs, $_ = self.env.reset()", scope),
        Where("trainer", ("$variable = self.agent($obs, $*_)", "$variable, $*_ = self.agent($obs, $*_)"), scope),
        Where("trainer", tuple(f"$obs = {one}" for one in made), scope, absent=True),
    )
    steps = "$_, $_, $_, $_, $_ = self.env.step($_)"
    return (
        (
            *begins,
            Where("trainer", steps, scope),
            Where("trainer", "self.env.step($_)", scope, absent=True, outside=("self.env.step($variable)", ON_CPU)),
            Where("trainer", '"final_info"', scope),
            Where("trainer", '"success"', scope),
        ),
        (
            *begins,
            Where("trainer", steps, scope, absent=True),
            Where("trainer", ("while $_:\n    $$_", "for $_ in $_:\n    $$_"), scope, absent=True),
        ),
    )


# Tasks and counters are those of the tree's own evaluation.
AS_EVALUATED = tuple(
    where
    for name in EVALUATIONS
    for where in (
        Where(
            "trainer",
            "self.agent($*_, task=$_, $*_)",
            f"Trainer.{name}",
            absent=True,
            outside=("self.agent($*_, task=$@_[self._tasks], $*_)",),
        ),
        Where(
            "trainer",
            "torch.zeros($*_, device=$_)",
            f"Trainer.{name}",
            absent=True,
            outside=tuple(f"torch.zeros($*_, device={cpu})" for cpu in ('"cpu"', 'torch.device("cpu")')),
        ),
    )
)

# How the methods call the environments and the agent is how the tree does.
INTERFACES = (
    *AS_EVALUATED,
    Where("trainer", "$_, $_, $_, $_, $_ = self.env.step($_)", "Trainer"),
    Where("trainer", "self.agent($*_, t0=$_, $*_)", "Trainer"),
    Where("trainer", "self.agent($*_, eval_mode=$_, $*_)", "Trainer"),
    Where("agent", "self.discount[$_]", "TDMPC2"),
    *(Where("trainer", "$variable = self.$_($variable)", f"Trainer.{name}", absent=True) for name in EVALUATIONS),
    Where("trainer", ("self.eval_env", '"is_success"', '$_["final_info"][$variable]'), "Trainer", absent=True),
    Where("trainer", RAW, "Trainer", absent=True, outside=(ON_CPU,)),
    Where("trainer", (*SCALED, *CHANGED), "Trainer", absent=True),
    *PREPARED,
    Where("world_model", ENCODES, "WorldModel"),
    Where("agent", MANY_STEPS, "TDMPC2", absent=True),
    Where("trainer", REPEATS, "Trainer", absent=True),
    Where(
        "trainer", ("self.$_.env.step($_)", "self.test_env", "self.env_eval", "self.eval_envs"), "Trainer", absent=True
    ),
    Where("world_model", RETURN_TYPE, "WorldModel"),
)

PATCH = Patch(
    title="Evaluation of the policy without planner, and of Q",
    severity=Severity.MINOR,
    changes="eval_pi (the policy without planner) and eval_value (its discounted return against Q)",
    after=("q-ensemble",),
    by_hand=(
        Where("trainer", '"episode_reward_pi"', "Trainer"),
        Where("trainer", "def eval_policy(self):\n    $$_", "Trainer", absent=True),
    ),
    only_where=(
        Fact("unchanged", ("trainer", "evaluated actions", "taken by environments")),
        Fact("adds_nothing", ("agent", "_td_target", "self.model.Q")),
        Fact("unchanged", ("trainer", "rewards", "put into rows")),
        Fact("unchanged", ("trainer", "rewards of rows", "put into a row as reward")),
        Fact("unchanged", ("buffer", "rewards of batches", "handed to the agent")),
        Fact("unchanged", ("agent", "sampled rewards", "handed to TD targets")),
        Fact("decided_by", ("agent", "forward", "mpc", "self.cfg.mpc")),
        Fact("only_of", ("agent", "forward", "pi", "self", "self.model")),
        Fact("only_of", ("agent", "forward", "encode", "self.model")),
        Fact("never_under", ("agent", ".discount", "Pow")),
        Fact("never_under", ("agent", ".discount", "Sub")),
        Fact("asks_only", ("trainer", "self.env", "eval_mode", "reset", "step", "rand_act")),
        Fact("matters", ("agent", "forward", "mpc")),
        Fact("taken_as_stored", ("buffer", "reward")),
        Fact("unchanged", ("agent", "rewards of targets", "added to")),
        Fact("asks_for_none", ("agent", "forward", "plan", "self.model.Q")),
        Fact("not_selected", ("episode_reward_pi", "episode_success_pi", "mc_value", "q_value")),
        Fact("reads", ("agent", "_td_target", "self.discount")),
        Fact("undecorated", ("trainer", "eval")),
    ),
    edits=(
        Add("settings", "config", "Config", SETTINGS, after="eval_episodes"),
        Edit(
            "beside-the-planner",
            "trainer",
            "Trainer",
            tuple(
                Shape(
                    before.format(name),
                    after.format(name),
                    present=present,
                    count=None,
                    where=(*INTERFACES, *evaluates),
                )
                for before, after, present in USES
                for name in EVALUATIONS
                for evaluates in _as_the_tree_evaluates(name)
            ),
        ),
        Add("methods", "trainer", "Trainer", METHODS, after="eval"),
        WITHOUT_PLANNER,
    ),
)


def consequence(numbers: Numbers) -> str:
    count = numbers.setting("eval_episodes")
    episodes = f"{show(count)} episodes per environment" if count is not None else "episodes"
    return (
        f"An evaluation runs {episodes} with the planner; the policy alone, and Q against its return, are not measured."
    )
