"""Settings of a run: the dataclass, presets, and the values derived from the tasks."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Optional, Union

from .common import MODEL_SIZE, demos, folder, machine, split_by_rank
from .common.settings import ConfigError as ConfigError
from .common.settings import Count, Derived, Fraction, Natural, Positive, Weight, checked, read, settable, text_of
from .common.tracker import check_installed
from .common.widths import agent_widths, apply_model_size

PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {
        "num_envs": 4,
        "env_mode": "sync",
        "episode_length": 250,
        "eval_episodes": 1,
        "eval_freq": 2_000,
        "random_baseline": True,
        "steps": 6_000,
        "batch_size": 128,
        "utd": 0.5,
        "buffer_size": 100_000,
        "iterations": 4,
        "num_samples": 64,
        "num_elites": 8,
        "num_pi_trajs": 8,
        "model_size": "T",
        "threads": 1,  # networks this small gain nothing from a second one, and lose much on a busy machine
    },
    "newt": {"steps": 100_000_000, "buffer_size": 10_000_000, "compile": True},
    # The reference plans with two more iterations where the task has 20 action dimensions or more: iterations=8.
    # Its planner never starts from the policy's statistics: annealed away after the first step.
    "tdmpc-square": {
        "num_envs": 1,
        "batch_size": 256,
        "utd": 1.0,
        "model_size": "B",
        "prior_coef": 1.0,
        "constraint_start_step": 0,
        "constraint_final_step": 1,
    },
}
PRESET_HELP = {
    "cpu": "a small agent and a short run, minutes on two cores",
    "newt": "newt's own defaults",
    "tdmpc-square": "one environment, one update per step; add iterations=8 for 20 action dimensions or more",
}

Device = text_of(r"auto|cpu|mps|cuda(:\d+)?", "auto, cpu, cuda, cuda:N, mps")
Place = text_of(r"auto|cpu|pinned|mmap|mps|cuda(:\d+)?", "auto, cpu, pinned, mmap, cuda, cuda:N, mps")
Name = text_of(r"[\w.+=,@-]*[\w+=,@-][\w.+=,@-]*", "a folder name: letters, digits, and . _ - + = , @")


@dataclass
class Config:
    """All settings of a run; on the command line each is `name=value`."""

    # environment
    task: str = "walker-walk"  # a task, several (walker-walk,cup-catch), a set (dmcontrol, mujoco), or your own: gym:ID
    action_repeat: Optional[Count] = None  # simulator steps per action; none: the task's own (2 for DMControl)
    episode_length: Optional[Count] = None  # agent steps per episode; none: each task's own (500 for DMControl)
    env_mode: Literal["async", "sync"] = "async"  # async: one process per environment; sync: all in this process
    episodic: Optional[bool] = None  # episodes may end before their time; none: true where a task is gym:ID
    env_timeout: Positive = 300.0  # seconds that an environment may take to be made, for a step or a reset
    num_envs: Count = 10  # environments of each process; not given: one per task where there are several
    obs: Literal["state"] = "state"  # observations: state
    pad: bool = False  # give one task the widths of several: 128 observations, 16 actions, or its own if larger

    # run
    preset: Optional[Literal[*PRESETS]] = None  # a named set of settings, applied before the others
    steps: Count = 1_000_000  # environment steps in all
    seed: Natural = 1  # seed of the agent and of the first environment
    device: Device = "auto"  # auto, cpu, cuda, cuda:N or mps
    buffer_device: Place = "auto"  # where replay is kept: auto, cpu, pinned, mmap (a file), cuda, cuda:N or mps
    compile: Union[bool, Literal["auto"]] = False  # compile planner and update: true, false, or auto: where it pays
    tf32: bool = True  # CUDA: round what float32 matrix products multiply to TF32
    bf16: bool = False  # matrix products of the networks in bfloat16; weights, losses and actions stay in float32
    threads: Optional[Count] = None  # CPU threads of torch; none: torch's own choice
    dist_timeout: Positive = 600.0  # seconds that a process waits for the others where torchrun starts several
    checkpoint: Optional[str] = None  # path of an agent to start from
    finetune: bool = False  # start from a checkpoint trained on something else
    resume: Union[bool, Literal["auto"]] = False  # go on where the run in this folder stopped; auto: if there is one

    # evaluation
    eval_freq: Optional[Count] = None  # environment steps between evaluations; none: 20 * 500 * num_envs
    eval_episodes: Count = 2  # evaluation episodes per environment
    random_baseline: bool = False  # measure a policy of uniform random actions before training

    # replay and updates
    seeding_coef: Natural = 5  # episodes per environment before the first update
    buffer_size: Count = 1_000_000  # replay capacity in steps
    batch_size: Count = 1024  # replayed slices per update
    utd: Weight = 0.075  # model updates per environment step
    use_demos: bool = False  # learn from demonstrations: pretraining, then half of each batch
    demo_steps: Natural = 200_000  # updates of pretraining on demonstrations
    data_dir: str = "data"  # folder of demonstrations, one file TASK.pt per task

    # world model losses
    consistency_coef: Weight = 20.0  # weight of the latent consistency loss
    value_coef: Weight = 0.1  # weight of the value loss
    reward_coef: Weight = 0.1  # weight of the reward loss
    rho: Fraction = 0.5  # decay of the loss weights along the horizon

    # optimisation
    lr: Positive = 3e-4  # learning rate
    enc_lr_scale: Positive = 0.3  # the encoder's learning rate as a fraction of lr
    lr_schedule: Optional[Literal["warmup"]] = None  # none or warmup; not given: warmup where demonstrations come first
    warmup_steps: Count = 5_000  # updates until the full learning rate with lr_schedule=warmup
    grad_clip_norm: Positive = 20.0  # largest gradient norm

    # critic
    num_q: Count = 5  # Q-functions in the ensemble
    tau: Fraction = 0.01  # rate at which the target Q-functions follow
    num_bins: Count = 101  # bins of the discrete regression
    vmin: float = -10.0  # lowest bin, in symlog space
    vmax: float = 10.0  # highest bin, in symlog space

    # discount
    discount_max: Fraction = 0.995  # largest discount
    discount_min: Fraction = 0.95  # smallest discount
    discount_denom: Count = 5  # episode length is divided by this in the discount heuristic

    # actor
    entropy_coef: Weight = 1e-4  # weight of the entropy bonus
    prior_coef: Weight = 10.0  # weight of the policy's prior term
    scale_threshold: Weight = 2.0  # the prior term is off while the Q scale is below this
    log_std_min: float = -10.0  # smallest log deviation of the policy
    log_std_max: float = 2.0  # largest log deviation of the policy

    # planning
    mpc: bool = True  # plan; otherwise act with the policy
    horizon: Count = 3  # planning horizon, and length of the training slices
    iterations: Count = 6  # planner iterations
    num_samples: Count = 512  # action sequences per iteration
    num_pi_trajs: Natural = 24  # sequences proposed by the policy
    num_elites: Count = 64  # sequences that the next distribution is fitted to
    temperature: Positive = 0.5  # temperature of the elites' weights
    min_std: Positive = 0.05  # smallest sampling deviation
    max_std: Positive = 2.0  # largest sampling deviation

    # policy constraint
    constrained_planning: Literal[0, 1, 2] = 2  # 0: off, 1: alternate, 2: TD-M(PC)^2
    constraint_start_step: Natural = 2_000_000  # the planner's mix with the policy starts to change here
    constraint_final_step: Natural = 10_000_000  # and has changed over here

    # architecture
    model_size: Optional[Literal[*MODEL_SIZE]] = None  # T, S, B, L or XL; none: B; widths given by name win over it
    latent_dim: Count = 512  # latent size
    simnorm_dim: Count = 8  # entries per simplex of the latent
    enc_dim: Count = 1024  # encoder width
    num_enc_layers: Count = 3  # encoder layers
    mlp_dim: Count = 1024  # width of all other networks
    task_dim: Optional[Natural] = None  # task embedding size; none: 0 for one task, 512 for several (size T: 64)

    # output
    out_dir: str = "logs"  # the run's folder is out_dir/task/seed/exp_name; a long list of tasks is shortened
    exp_name: Name = "default"  # name of the experiment, part of the run's folder
    save_agent: bool = True  # write checkpoints
    save_freq: Optional[Count] = None  # steps between checkpoints, rounded up to a multiple of eval_freq; none: that
    save_buffer: bool = False  # write the replay buffer with each checkpoint, so that the run can be resumed
    keep: Optional[Count] = 3  # newest checkpoints that are kept, beside the best one; none: all
    plot: bool = True  # draw the learning curve at the end
    tracker: Literal["none", "tensorboard", "wandb", "trackio"] = "none"  # where metrics go too; wandb also offline
    save_video: bool = False  # a video of the first episode of each evaluation, as videos/STEP.gif

    # filled in by parse_cfg and the program; "per task" means: with one task, as many equal entries as environments
    work_dir: Derived = None  # folder of the run
    task_title: Derived = None  # the tasks' name for people
    num_tasks: Derived = None  # different tasks here
    num_global_tasks: Derived = None  # different tasks over all processes
    tasks: Derived = None  # names, per task
    global_tasks: Derived = None  # the same over all processes
    obs_shape: Derived = None  # observation name -> shape
    obs_shapes: Derived = None  # observation shape before padding, per task
    action_dim: Derived = None  # action dimensions of the agent
    action_dims: Derived = None  # action dimensions before padding, per task
    discounts: Derived = None  # discount, per task
    episode_lengths: Derived = None  # episode length, per task
    bin_size: Derived = None  # distance between two bins
    world_size: Derived = 1  # processes that train together
    rank: Derived = 0  # number of this process
    child_env: Derived = False  # one of several environments of a batch
    explicit: Derived = None  # names of the settings that the user gave

    def get(self, name: str, default: Any = None) -> Any:
        """The setting `name`, or `default` where there is none."""
        return getattr(self, name, default)


# The first may not be larger than the second.
_ORDERED = {
    **{"num_elites": "num_samples", "num_pi_trajs": "num_samples", "horizon": "episode_length"},
    **{"discount_min": "discount_max", "min_std": "max_std", "log_std_min": "log_std_max"},
    **{"constraint_start_step": "constraint_final_step"},
}


def load_cfg(argv: list[str]) -> Config:
    """Settings from `name=value` arguments: defaults, then the preset, then what was given by name."""
    given = read(Config, argv)
    cfg = Config(**(_preset(given.get("preset")) | given))
    cfg.explicit = sorted(given)
    validate(cfg)
    return cfg


def _preset(name: Optional[str]) -> dict[str, Any]:
    return {key: value for key, value in PRESETS.get(name, {}).items() if key in settable(Config)}


def validate(cfg: Config) -> None:
    """Check every setting by itself and against the others; nothing is built. Raises ConfigError."""
    from .envs import spelled

    for name, field in settable(Config).items():
        setattr(cfg, name, checked(name, field.type, getattr(cfg, name)))
    for low, high in _ORDERED.items():
        first, second = cfg.get(low), cfg.get(high)
        if first is not None and second is not None and first > second:
            raise ConfigError(low, first, f"{low}={first} is larger than {high}={second}", f"at most {high}")
    if cfg.vmin >= cfg.vmax:
        raise ConfigError("vmin", cfg.vmin, f"vmin={cfg.vmin} is not below vmax={cfg.vmax}", "below vmax")
    cfg.task = spelled(cfg.task)
    _check_checkpoint(cfg)
    check_installed(cfg.tracker)


def _check_checkpoint(cfg: Config) -> None:
    if cfg.checkpoint is not None and not Path(cfg.checkpoint).is_file():
        raise ConfigError("checkpoint", cfg.checkpoint, f"checkpoint={cfg.checkpoint} is not a file")
    if cfg.finetune and cfg.checkpoint is None:
        raise ConfigError("finetune", True, "finetune=true needs an agent to start from", "add checkpoint=FILE")


# ------------------------------------------------------------- derived settings


def parse_cfg(cfg: Config) -> Config:
    """A copy of `cfg` with everything filled in that follows from the task and the other settings."""
    cfg = dataclasses.replace(cfg)
    validate(cfg)
    if cfg.work_dir is None:
        cfg.explicit = _given(cfg)
    apply_model_size(cfg, [*cfg.explicit, *_preset(cfg.preset)])
    _fill_task(cfg)
    _fill_schedule(cfg)
    _fill_demos(cfg)
    cfg.compile = machine.compiles(cfg)
    cfg.work_dir = Path(cfg.out_dir) / folder.name_of(cfg.task) / str(cfg.seed) / cfg.exp_name
    cfg.bin_size = (cfg.vmax - cfg.vmin) / max(cfg.num_bins - 1, 1)
    validate(cfg)
    return cfg


def _given(cfg: Config) -> list[str]:
    """The settings that were given by name, or set in code to something that is not the default or the preset's."""
    preset = _preset(cfg.preset)
    changed = [
        name
        for name, field in settable(Config).items()
        if getattr(cfg, name) not in (field.default, preset.get(name, field.default))
    ]
    return sorted({*(cfg.explicit or []), *changed})


def _fill_task(cfg: Config) -> None:
    from .common.math import discount_heuristic
    from .envs import own, task_info, task_names

    names = task_names(cfg.task)
    if "episode_length" not in cfg.explicit:
        cfg.episode_length = None
    if cfg.episodic is None:
        cfg.episodic = any(own.is_own(name) for name in names)
    infos = [task_info(cfg, name) for name in names]
    if cfg.episode_length is None and (longest := _preset(cfg.preset).get("episode_length")):
        infos = [dataclasses.replace(info, episode_length=min(info.episode_length, longest)) for info in infos]
    cfg.num_tasks = _tasks_here(cfg, len(names))
    if len(names) > 1:
        _fill_num_envs(cfg, cfg.num_tasks)
    cfg.task_title = folder.title_of(cfg.task, names)
    cfg.num_global_tasks = len(names)
    cfg.episode_length = max(info.episode_length for info in infos)
    widest = max(info.obs_dim for info in infos), max(info.action_dim for info in infos)
    obs_dim, cfg.action_dim, cfg.task_dim = agent_widths(cfg, *widest)
    cfg.obs_shape = {cfg.obs: (obs_dim,)}
    if len(names) == 1:
        names, infos = names * cfg.num_envs, infos * cfg.num_envs
    cfg.tasks = names if cfg.num_global_tasks == 1 else split_by_rank(names, cfg.rank, cfg.world_size)
    cfg.global_tasks = list(names)
    cfg.obs_shapes = [(info.obs_dim,) for info in infos]
    cfg.action_dims = [info.action_dim for info in infos]
    cfg.episode_lengths = [info.episode_length for info in infos]
    cfg.discounts = [discount_heuristic(cfg, info.episode_length) for info in infos]


def _tasks_here(cfg: Config, tasks: int) -> int:
    """How many of all tasks this process trains: as many as every other one; a single task is everyone's."""
    if tasks > 1 and tasks % cfg.world_size:
        problem = f"{tasks} tasks cannot be shared evenly by {cfg.world_size} processes"
        raise ConfigError("task", cfg.task, problem, f"a multiple of {cfg.world_size} tasks, or a single one")
    return max(1, tasks // cfg.world_size)


def _fill_num_envs(cfg: Config, tasks: int) -> None:
    """The same number of environments for each task; a preset's number, unlike the user's, is rounded up to that."""
    if "num_envs" not in cfg.explicit:
        cfg.num_envs = _round_up(_preset(cfg.preset).get("num_envs", tasks), tasks)
    if cfg.num_envs % tasks:
        problem = f"num_envs={cfg.num_envs} cannot be shared evenly by {tasks} tasks"
        valid = f"a multiple of {tasks}: {', '.join(str(tasks * k) for k in (1, 2, 3))}, ..."
        raise ConfigError("num_envs", cfg.num_envs, problem, valid)


def _fill_schedule(cfg: Config) -> None:
    """Evaluate and save only where the longest episodes have just ended, so that none of them is cut off."""
    episodes = cfg.num_envs * cfg.episode_length * cfg.world_size
    rows = episodes + cfg.num_envs * cfg.world_size
    if cfg.buffer_size < rows:
        problem = f"buffer_size={cfg.buffer_size} does not hold one episode of each environment"
        raise ConfigError("buffer_size", cfg.buffer_size, problem, f"at least {rows}")
    cfg.eval_freq = _round_up(cfg.eval_freq or 20 * 500 * cfg.num_envs, episodes)
    cfg.save_freq = _round_up(cfg.save_freq or cfg.eval_freq, cfg.eval_freq)


def _fill_demos(cfg: Config) -> None:
    """A run that starts with demonstrations warms its learning rate up; there must be some for one of the tasks."""
    if not cfg.use_demos:
        return
    if (cfg.checkpoint is None or cfg.resume) and "lr_schedule" not in cfg.explicit:
        cfg.lr_schedule = "warmup"
    demos.check_there_are(cfg)


def _round_up(value: int, multiple: int) -> int:
    return math.ceil(value / multiple) * multiple
