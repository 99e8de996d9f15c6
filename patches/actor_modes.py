"""Five ways to train the actor.

Claim: the reference trains its policy in one of five modes: sac, awac, residual (TD-M(PC)^2), bc_sac and bc.
Code: the tree has newt's loss and perhaps its own constrained variants.
Change: `actor_mode` chooses the loss, default residual; an unknown mode is an error before training starts. With rho_t
the tree's temporal weights, T[x] the mean over the horizon of rho_t times the batch mean of x_t, S the running scale
of Q, and G(eps, log_std) = A (sum_i(-eps_i^2 / 2 - log_std_i) - log(2 pi) / 2), the reference's log-probability over
the task's A action dimensions:

- sac: T[entropy_coef log pi - Q/S]
- residual: sac + prior_coef T[-P], P = G((pi - mu)/s, log s)/S once S has passed scale_threshold, else 0, with s =
  max(std, min_std)
- bc_sac: sac + prior_coef T[sum_i (pi_i - a_i)^2]
- bc: T[-clamp(G((pi - mu)/s, log s), -50000, 0)/S]
- awac: T[-w log p(a)], w = clamp(exp((Q(pi) - Q(a))/S/awac_lambda), exp_adv_min, exp_adv_max), not differentiated

Effect: the policy follows the planner as the reference's does. G is A times too large for a density, its constant
counted once: at the mean of a policy with log_std = -1 in each of A=21 dimensions it is 421.7, where the Gaussian
log-density is 1.7. The prior counts nothing up to S = 2, and awac weights stay between 0.1 and 10.
Evidence: reference, `update_pi` in `tdmpc_square.py`, `pi` and `log_pi_action` in `common/world_model.py`.
Corrections: the reference's AWAC weight has the opposite sign of the AWAC paper's; it is the default here
(`awac_advantage=reference`), `paper` turns it round. Its log p(a) uses the raw log-std head, not the bounded one that
actions are sampled with: kept. Its bc mode updates a second running scale that nothing reads: not ported.
Leave it off: when the policy shall be trained by newt's own loss, or by the tree's own constrained variants, which
this patch replaces. No mode stands for that loss: newt's entropy is not -log pi in the reference's sense, so sac is
not it.
"""

from textwrap import indent

from newtfix.model import Add, Edit, Fact, Numbers, Patch, Severity, Shape, Where, rewrite

SETTINGS = """
actor_mode: str = "residual"  # actor loss, one of ["sac", "awac", "residual", "bc_sac", "bc"]
awac_lambda: float = 0.3333  # awac: temperature of the advantage weights
exp_adv_min: float = 0.1  # awac: smallest advantage weight
exp_adv_max: float = 10.0  # awac: largest advantage weight
awac_advantage: str = "reference"  # awac: sign of the advantage, one of ["reference", "paper"]
"""

LOGPROB = '''
def reference_logprob(eps, log_std, dims):
    """TD-M(PC)^2's log-probability [..., 1] of standardised noise eps, [..., A], over `dims` dimensions, [..., 1].

    Not the Gaussian log-density: its constant is counted once, and the whole is multiplied by `dims`.
    """
    return dims * ((-0.5 * eps.pow(2) - log_std).sum(-1, keepdim=True) - 0.9189385332046727)
'''

LOG_PI_ACTION = '''
def log_pi_action(self, z, a, task):
    """Log-probability [..., 1] of actions a, [..., A], at latents z, [..., Z], in TD-M(PC)^2's sense.

    As there, mean and log standard deviation are the raw outputs of the policy head.
    """
    mean, log_std = self._pi(self.task_emb(z, task)).chunk(2, dim=-1)
    mask = self.action_mask(task, mean)
    eps = (a - mean) / (log_std.exp() + 1e-8)
    return math.reference_logprob(eps * mask, log_std * mask, mask.sum(-1, keepdim=True))
'''

ACTION_MASK = '''
def action_mask(self, task, x):
    """Which action dimensions of x, [..., A], belong to `task`: 1 or 0, broadcastable to x."""
    mask = self._action_masks[task.long()]
    while mask.ndim < x.ndim:
        mask = mask.unsqueeze(-2)
    return mask
'''

AGENT_METHODS = '''
def _check_actor_settings(self):
    """Raise ValueError for an unknown actor mode and for AWAC settings that make no sense."""
    for name, valid in (
        ("actor_mode", ("sac", "awac", "residual", "bc_sac", "bc")),
        ("awac_advantage", ("reference", "paper")),
    ):
        if getattr(self.cfg, name) not in valid:
            raise ValueError(f"{name}={getattr(self.cfg, name)!r} is none of {', '.join(valid)}")
    if self.cfg.awac_lambda <= 0:
        raise ValueError(f"awac_lambda={self.cfg.awac_lambda} is not above 0")
    if self.cfg.exp_adv_min > self.cfg.exp_adv_max:
        raise ValueError(f"exp_adv_min={self.cfg.exp_adv_min} is above exp_adv_max={self.cfg.exp_adv_max}")

def _step_mean(self, x):
    """Mean over time of rho_t times the batch mean of x_t, for x of shape [T, B, 1]."""
    return (self.rho[: x.shape[0]] * x.flatten(1).mean(1)).mean()

def _planner_logprob(self, pi_action, mu, std, task):
    """Log-probability [T, B, 1], in TD-M(PC)^2's sense, of actions under the planner's (mu, std), [T, B, A]."""
    mask = self.model.action_mask(task, pi_action)
    std = torch.clamp(std, min=self.cfg.min_std)
    eps = (pi_action - mu) / std
    return math.reference_logprob(eps * mask, std.log() * mask, mask.sum(-1, keepdim=True))

def _residual_loss(self, q_loss, pi_action, mu, std, task):
    """q_loss plus the planner's prior, which counts once the running scale has passed `scale_threshold`."""
    log_prior = self.scale(self._planner_logprob(pi_action, mu, std, task))
    log_prior = torch.where(self.scale.value > self.cfg.scale_threshold, log_prior, torch.zeros_like(log_prior))
    prior_loss = self._step_mean(-log_prior)
    pi_loss = q_loss + self.cfg.prior_coef * prior_loss
    return pi_loss, prior_loss

def _bc_sac_loss(self, q_loss, pi_action, action, task):
    """q_loss plus the squared distance to the stored actions."""
    error = (pi_action - action).pow(2) * self.model.action_mask(task, pi_action)
    bc_loss = self._step_mean(error.sum(-1, keepdim=True))
    return q_loss + self.cfg.prior_coef * bc_loss, bc_loss

def _bc_loss(self, pi_action, mu, std, task):
    """Behaviour cloning of the planner's distribution."""
    log_prior = self._planner_logprob(pi_action, mu, std, task).clamp(-50000.0, 0.0)
    return self._step_mean(-self.scale(log_prior))

def _awac_loss(self, zs, qs, action, task):
    """Log-likelihood of the stored actions, weighted by the advantage of the policy's over them."""
    with torch.no_grad():
        data_qs = self.scale(self.model.Q(zs, action, task, return_type="avg"))
        advantage = self.scale(qs) - data_qs
        if self.cfg.awac_advantage == "paper":
            advantage = -advantage
        weights = (advantage / self.cfg.awac_lambda).exp().clamp(self.cfg.exp_adv_min, self.cfg.exp_adv_max)
    return self._step_mean(-weights * self.model.log_pi_action(zs, action, task))
'''

PI_LOSS = '''
def _pi_loss(self, zs, action, mu, std, task):
    """Policy loss of the `actor_mode` that is set, over the first T latents of zs, [T+1, B, Z].

    Args:
        action, mu, std: [T, B, A], stored for those latents. task: indices, broadcastable to [T, B].

    Returns:
        The loss, the Q values [B, 1] at the first latents (for the running scale), and metrics.
    """
    zs = zs[: action.shape[0]]
    pi_action, info = self.model.pi(zs, task)
    qs = self.model.Q(zs, pi_action, task, return_type="avg")
    q_loss = self._step_mean(self.cfg.entropy_coef * info["log_pi"] - self.scale(qs))
    unused = torch.zeros_like(q_loss)
    if self.cfg.actor_mode == "residual":
        pi_loss, prior_loss = self._residual_loss(q_loss, pi_action, mu, std, task)
    elif self.cfg.actor_mode == "bc_sac":
        pi_loss, prior_loss = self._bc_sac_loss(q_loss, pi_action, action, task)
    elif self.cfg.actor_mode == "bc":
        pi_loss, q_loss = self._bc_loss(pi_action, mu, std, task), unused
        prior_loss = pi_loss
    elif self.cfg.actor_mode == "awac":
        pi_loss, q_loss, prior_loss = self._awac_loss(zs, qs, action, task), unused, unused
    else:
        pi_loss, prior_loss = q_loss, unused
    metrics = type(info)({
        "pi_loss": pi_loss,
        "pi_q_loss": q_loss,
        "pi_prior_loss": prior_loss,
        "pi_entropy": info["entropy"].mean(),
        "pi_scaled_entropy": info["scaled_entropy"].mean(),
        "pi_std": info["log_std"].exp().mean(),
        "pi_max_std": info["log_std"].exp().max(),
    })
    return pi_loss, qs[0].detach(), metrics
'''

PATCHED_LOSS = "self._residual_loss(q_loss, $*a)"
LOSS = "def _pi_loss(self, $zs, $action, $mu, $std, $*task):\n    $$body"
CALLED = Where(
    "agent", ("$_, $values, $_ = self.pi_loss($*_)", "$_, $values, $_ = self._pi_loss($*_)"), "TDMPC2.update_pi"
)
# Newt's own temperature, which the modes use too; the libraries by newt's names.
FIXED_TEMPERATURE = (
    Where("agent", "self.cfg.entropy_coef", "TDMPC2._pi_loss"),
    Where("agent", ("import math", "self.model.module"), absent=True),
)
# What the loss asks the model for is there by these names; weights are one number per step.
INTERFACES = (
    Where("agent", 'self.model.Q($*_, return_type="avg")', "TDMPC2"),
    Where("world_model", '"scaled_entropy"', "WorldModel.pi"),
    Where(
        "agent",
        (*(f"self.rho = $_.{name}($*_)" for name in ("view", "reshape", "unsqueeze")), "self.rho = $_[$*_]"),
        "TDMPC2.__init__",
        absent=True,
    ),
    Where("world_model", ("$z = self.$_($z)", "$z = F.$_($z, $*_)"), "WorldModel.pi", absent=True),
)
# The loss that is replaced keeps nothing of its own, and has no term that the modes do not have.
KEEPS = Where(
    "agent",
    (
        *("self.$_ = $_", "self.$_ += $_", "self.$_[$_] = $_", "self.$_[$_] += $_"),
        *(f"self.$_.{name}($*_)" for name in ("lerp_", "mul_", "add_", "copy_", "fill_", "append")),
        *("$_ + $number * $_", "$_ - $number * $_"),
        *("$variable = $variable + $_", "$variable += $_", "$_ = ($_ + $_).mean() + $_", "$_ = $_.sum() / $_"),
        "with torch.autocast($*_):\n    $$_",
    ),
    "TDMPC2._pi_loss",
    absent=True,
)
MASKS = Where("world_model", ("self._action_masks", 'self.register_buffer("_action_masks", $*_)'), "WorldModel")
OPTIONAL = ("=$_", ", $_=$_", "=$_, $_=$_", ", $_=$_, $_=$_", "=$_, $_=$_, $_=$_")
POLICY = tuple(f"def pi(self, $z, $task{rest}):\n    $$_" for rest in ("", *OPTIONAL))


def _checks(settings: str, fallback: bool = False, where: tuple[Where, ...] = ()) -> Shape:
    checked = "self._check_actor_settings()"
    return Shape(settings, f"{settings}\n{checked}", present=checked, fallback=fallback, where=where)


CHECKS = (
    _checks("self.cfg = deepcopy($cfg)"),
    _checks("self.cfg = $cfg", fallback=True),
    _checks("super().__init__($*arguments)", where=(Where("agent", "self.cfg = $_", "TDMPC2.__init__", absent=True),)),
)

# One network gives mean and standard deviation.
HALVES = ("$_.chunk(2, $*_)", "torch.chunk($_, 2, $*_)", "$_.split($*_)", "torch.split($*_)", "$_[..., :$_]")
DICTS = ("$variable = TensorDict($*_)", "$variable = dict($*_)", "$variable = {*$*_}", "$variable[$_] = $_")
HERE = (
    Where(
        "agent",
        tuple(f"def update_pi(self, $_, $action, $mu, $std, $task{more}):\n    $$_" for more in ("", "=$_")),
        "TDMPC2.update_pi",
    ),
    Where("agent", "self._pi_loss", "TDMPC2", absent=True),
)
# A loss that is made where it is used: what is used of it afterwards, the policy's statistics say, stays.
COMPUTED = """
- $pi_action, $info = self.model.pi($zs, $_)
- $$between
- $qs = self.model.Q($zs, $pi_action, $_, return_type="avg")
- $$computing
- $loss = $value
"""
INLINE = (
    rewrite(
        COMPUTED
        + "+ $loss, values, metrics = self._pi_loss($zs, $action, $mu, $std, $task)\n"
        + "+ with torch.no_grad():\n"
        + "+     $pi_action, $info = self.model.pi($zs, $task)\n"
        + "+     $qs = values.unsqueeze(0)\n"
        + "  $loss.backward()",
        present="$loss, values, metrics = self._pi_loss($*_)",
        where=HERE,
    ),
    *(
        rewrite(
            COMPUTED
            + f"- $kept = {made}\n"
            + "+ $loss, values, $kept = self._pi_loss($zs, $action, $mu, $std, $task)\n"
            + "+ $qs = values.unsqueeze(0)\n"
            + "  $loss.backward()",
            present="$loss, values, $_ = self._pi_loss($*_)\n$qs = values.unsqueeze(0)",
            where=HERE,
        )
        for made in ("TensorDict($*_)", "dict($*_)", "{*$*_}")
    ),
)


def _dispatch(*tests: str) -> Shape:
    """Losses that are chosen in `update_pi`: the mode chooses now."""
    calls = [f"$loss, $values, $metrics = self.${name}($*_)" for name in "abc"[: len(tests)]]
    last = "$loss, $values, $metrics = self.$last($*arguments)"
    branches = "".join(
        f"{'elif' if number else 'if'} {test}:\n    $$_\n    {call}\n"
        for number, (test, call) in enumerate(zip(tests, calls, strict=True))
    )
    return Shape(
        f"{branches}else:\n    $$_\n    {last}",
        "$loss, $values, $metrics = self.pi_loss($*arguments)",
        present="",
        where=(Where("agent", "self.pi_loss = $_", "TDMPC2.__init__"),),
    )


Q_VALUES = '    qs = self.model.Q(zs, pi_action, task, return_type="avg")\n'
UPDATES = ("self.scale.update($_[0])", "self.scale.update($_[0].detach())")
SCALE_FIRST = """with torch.no_grad():
    self.scale.update(qs[0])
    $$others
"""

# What a policy's loss is made of, in whatever way it is written down.
LOSS_SETTINGS = tuple(
    "entropy_coef prior_coef constrained_planning scale_threshold horizon rho action_dim min_std log_std_max".split()
)
LOSS_CALLS = (
    *"pi Q scale sum mean exp log pow square abs clamp clip min max where zeros_like ones_like unsqueeze".split(),
    *"squeeze view reshape expand flatten size dim detach item float update get items no_grad len range type".split(),
    *"dict append stack cat gaussian_logprob gaussian_logprob_constrained masked_bc mse_loss action_mask zip".split(),
    *"enumerate clone to long copy".split(),
)

PATCH = Patch(
    title="Five actor modes",
    severity=Severity.MODERATE,
    changes="actor_mode ∈ sac, awac, residual, bc_sac, bc (default residual), with log_pi_action and the AWAC settings",
    requires=("planner-stats",),
    after=("burst",),
    only_where=(
        Fact("split_at_once", ("world_model", "self._pi")),
        Fact("reaches", ("world_model", "latents", "given to the policy's network")),
        Fact("plain", ("world_model", "pi", "gaussian_logprob", "randn_like", "randn")),
        Fact("uses_only", ("agent", "_pi_loss", *LOSS_CALLS)),
        Fact("unchanged", ("world_model", "latents", "given to the policy's network")),
        Fact("unchanged", ("world_model", "means", "squashed")),
        Fact("unchanged", ("world_model", "squashed actions", "given by the policy")),
        Fact("function_calls", ("math", "squash", "tanh")),
        Fact("subtracted", ("agent", "pi_loss", "entropy_coef")),
        Fact("plain_value", ("RunningScale", "self.value")),
        Fact("computes_plainly", ("world_model", "Q")),
        Fact("independent", ("agent", "update_pi", "_pi_loss", "pi_loss")),
        Fact("only_called", ("world_model", "self._pi")),
        Fact("set_plainly", ("constrained_planning",)),
        Fact("asked_once", ("agent", "pi_loss", "self.model.Q", "self.model.pi")),
        Fact("reads_attributes", ("agent", "pi_loss", "cfg", "model", "scale", "rho", "device")),
        Fact("reads_only", ("agent", "pi_loss", *LOSS_SETTINGS)),
        Fact("not_accumulated", ("agent", "pi_loss", "loss")),
        Fact("none_derived", ("agent", "pi_loss")),
        Fact("none_derived", ("agent", "_log_prior")),
        Fact("not_rebound", ("agent", "update_pi")),
        Fact("not_replaced", ("agent", "update_pi", "self.pi_loss", "self._pi_loss")),
        Fact("unchanged", ("agent", "sampled actions", "handed to the policy")),
        Fact("handed_as_sampled", ("agent", "mu", "std")),
        Fact("no_logarithm", ("agent", "forward", "plan")),
        Fact("chosen_by", ("agent", "update_pi", "pi_loss", "constrained_planning")),
    ),
    edits=(
        Add("settings", "config", "Config", SETTINGS, after="entropy_coef"),
        Add(
            "scale-threshold",
            "config",
            "Config",
            "scale_threshold: float = 2.0  # residual: the planner's prior counts once the Q scale is above this",
            after="exp_adv_max",
            optional=True,
        ),
        Add("logprob", "math", "", LOGPROB, after="gaussian_logprob"),
        Edit(
            "log-pi",
            "world_model",
            "WorldModel.pi",
            (
                rewrite(
                    """
                      $mean, $action, $log_prob = math.squash($mean, $action, $log_prob)
                      $$between
                    + valid_dims = self.action_mask($task, $action)
                    + volume = (torch.relu(1 - $action.pow(2)) + 1e-6).log() * valid_dims
                    + $variable["log_pi"] = (
                    +     math.reference_logprob(
                    +         $eps * valid_dims, $log_std * valid_dims, valid_dims.sum(-1, keepdim=True)
                    +     )
                    +     - volume.sum(-1, keepdim=True)
                    + )
                      return $action, $variable
                    """,
                    present='$variable["log_pi"] = $value',
                    where=(
                        Where("world_model", POLICY, "WorldModel"),
                        Where("world_model", "math.gaussian_logprob($eps, $log_std)", "WorldModel.pi"),
                        Where("world_model", DICTS, "WorldModel.pi"),
                        Where("world_model", HALVES, "WorldModel", near=("self._pi($*_)",)),
                    ),
                ),
            ),
        ),
        Add("action-mask", "world_model", "WorldModel", ACTION_MASK, after="pi", optional=True, where=(MASKS,)),
        Add("log-pi-action", "world_model", "WorldModel", LOG_PI_ACTION, after="pi"),
        Edit(
            "check",
            "agent",
            "TDMPC2.__init__",
            CHECKS,
        ),
        Edit(
            "choice",
            "agent",
            "TDMPC2.update_pi",
            (_dispatch("$_"), _dispatch("$_", "$_"), _dispatch("$_", "$_", "$_"), *INLINE),
            unless=(Where("agent", "$_, $_, $_ = self.$loss($*_)", "TDMPC2.update_pi"),),
        ),
        Add("own-loss", "agent", "TDMPC2", PI_LOSS, after="_td_target", optional=True),
        Edit(
            "loss",
            "agent",
            "TDMPC2",
            present=(PATCHED_LOSS,),
            unless=(Where("agent", "def _pi_loss(self, $*_):\n    $$_", "TDMPC2", absent=True),),
            shapes=(
                Shape(
                    LOSS,
                    PI_LOSS,
                    present=PATCHED_LOSS,
                    where=(
                        CALLED,
                        *FIXED_TEMPERATURE,
                        Where("agent", "self.scale.update($values)", "TDMPC2.update_pi"),
                        Where("agent", "self.scale.update($*_)", "TDMPC2._pi_loss", absent=True),
                        *INTERFACES,
                        KEEPS,
                    ),
                ),
                Shape(
                    LOSS,
                    PI_LOSS.replace(Q_VALUES, Q_VALUES + indent(SCALE_FIRST, "    ")),
                    present=PATCHED_LOSS,
                    where=(
                        CALLED,
                        Where(
                            "agent",
                            tuple(f"with torch.no_grad():\n    {update}\n    $$others" for update in UPDATES),
                            "TDMPC2._pi_loss",
                        ),
                        *INTERFACES,
                        KEEPS,
                    ),
                ),
            ),
        ),
        Edit(
            "superseded-prior",
            "agent",
            "TDMPC2",
            (
                rewrite(
                    """
                    - def _log_prior(self, pi_action, mu, std, task):
                    -     $$body
                    """,
                    where=(Where("agent", "self._log_prior($*arguments)", "TDMPC2", absent=True),),
                ),
            ),
            optional=True,
        ),
        Add("losses", "agent", "TDMPC2", AGENT_METHODS, after="_pi_loss", where=(Where("agent", "math.$_($*_)"),)),
    ),
)


def consequence(numbers: Numbers) -> str:
    return (
        "The policy is trained by the tree's own loss; the reference's five (sac, awac, residual, bc_sac, bc), of "
        "which it uses residual, are not there."
    )
