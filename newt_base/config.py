"""Settings of a run: the dataclass, the command line, presets, and the values derived from the tasks."""

import dataclasses
import difflib
import hashlib
import math
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union, get_args, get_origin

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

MAX_TITLE_TASKS = 3  # tasks that are named one by one in titles
MAX_FOLDER = 64  # characters of a list of tasks that still make a folder's name


@dataclass
class Config:
    """All settings of a run; on the command line each is `name=value`."""

    # environment
    task: str = "walker-walk"  # a task, several (walker-walk,cup-catch), or a set: dmcontrol, mujoco
    action_repeat: Optional[int] = None  # simulator steps per action; none: the task's own (2 for DMControl)
    episode_length: Optional[int] = None  # agent steps per episode; none: each task's own (500 for DMControl)
    env_mode: str = "async"  # async: one process per environment; sync: all in this process
    num_envs: int = 10  # environments of each process; not given: one per task where there are several
    obs: str = "state"  # observations: state
    pad: bool = False  # give one task the widths of several: 128 observations, 16 actions, or its own if larger

    # run
    preset: Optional[str] = None  # a named set of settings, applied before the others
    steps: int = 1_000_000  # environment steps in all
    seed: int = 1  # seed of the agent and of the first environment
    device: str = "auto"  # auto, cpu, cuda, cuda:N or mps
    buffer_device: str = "auto"  # where replay is kept: auto, cpu, pinned, mmap (a file), cuda, cuda:N or mps
    compile: Union[bool, str] = False  # compile the planner and the update: true, false, or auto: where it pays
    tf32: bool = True  # CUDA: round what float32 matrix products multiply to TF32
    bf16: bool = False  # matrix products of the networks in bfloat16; weights, losses and actions stay in float32
    threads: Optional[int] = None  # CPU threads of torch; none: torch's own choice
    dist_timeout: float = 600.0  # seconds that a process waits for the others where torchrun starts several
    checkpoint: Optional[str] = None  # path of an agent to start from
    finetune: bool = False  # start from a checkpoint trained on something else
    resume: bool = False  # go on where the run in this folder stopped

    # evaluation
    eval_freq: Optional[int] = None  # environment steps between evaluations; none: 20 * 500 * num_envs
    eval_episodes: int = 2  # evaluation episodes per environment
    random_baseline: bool = False  # measure a policy of uniform random actions before training

    # replay and updates
    seeding_coef: int = 5  # episodes per environment before the first update
    buffer_size: int = 1_000_000  # replay capacity in steps
    batch_size: int = 1024  # replayed slices per update
    utd: float = 0.075  # model updates per environment step
    use_demos: bool = False  # learn from demonstrations: pretraining, then half of each batch
    demo_steps: int = 200_000  # updates of pretraining on demonstrations
    data_dir: str = "data"  # folder of demonstrations, one file TASK.pt per task

    # world model losses
    consistency_coef: float = 20.0  # weight of the latent consistency loss
    value_coef: float = 0.1  # weight of the value loss
    reward_coef: float = 0.1  # weight of the reward loss
    rho: float = 0.5  # decay of the loss weights along the horizon

    # optimisation
    lr: float = 3e-4  # learning rate
    enc_lr_scale: float = 0.3  # the encoder's learning rate as a fraction of lr
    lr_schedule: Optional[str] = None  # none or warmup; not given: warmup where demonstrations come first
    warmup_steps: int = 5_000  # updates until the full learning rate with lr_schedule=warmup
    grad_clip_norm: float = 20.0  # largest gradient norm

    # critic
    num_q: int = 5  # Q-functions in the ensemble
    tau: float = 0.01  # rate at which the target Q-functions follow
    num_bins: int = 101  # bins of the discrete regression
    vmin: float = -10.0  # lowest bin, in symlog space
    vmax: float = 10.0  # highest bin, in symlog space

    # discount
    discount_max: float = 0.995  # largest discount
    discount_min: float = 0.95  # smallest discount
    discount_denom: int = 5  # episode length is divided by this in the discount heuristic

    # actor
    entropy_coef: float = 1e-4  # weight of the entropy bonus
    prior_coef: float = 10.0  # weight of the policy's prior term
    scale_threshold: float = 2.0  # the prior term is off while the Q scale is below this
    log_std_min: float = -10.0  # smallest log deviation of the policy
    log_std_max: float = 2.0  # largest log deviation of the policy

    # planning
    mpc: bool = True  # plan; otherwise act with the policy
    horizon: int = 3  # planning horizon, and length of the training slices
    iterations: int = 6  # planner iterations
    num_samples: int = 512  # action sequences per iteration
    num_pi_trajs: int = 24  # sequences proposed by the policy
    num_elites: int = 64  # sequences that the next distribution is fitted to
    temperature: float = 0.5  # temperature of the elites' weights
    min_std: float = 0.05  # smallest sampling deviation
    max_std: float = 2.0  # largest sampling deviation

    # policy constraint
    constrained_planning: int = 2  # 0: off, 1: alternate, 2: TD-M(PC)^2
    constraint_start_step: int = 2_000_000  # the planner's mix with the policy starts to change here
    constraint_final_step: int = 10_000_000  # and has changed over here

    # architecture
    model_size: Optional[str] = None  # T, S, B, L or XL; none: B; widths given by name win over it
    latent_dim: int = 512  # latent size
    simnorm_dim: int = 8  # entries per simplex of the latent
    enc_dim: int = 1024  # encoder width
    num_enc_layers: int = 3  # encoder layers
    mlp_dim: int = 1024  # width of all other networks
    task_dim: Optional[int] = None  # task embedding size; none: 0 for one task, 512 for several (size T: 64)

    # output
    out_dir: str = "logs"  # the run's folder is out_dir/task/seed/exp_name; a long list of tasks is shortened
    exp_name: str = "default"  # name of the experiment, part of the run's folder
    save_agent: bool = True  # write checkpoints
    save_freq: Optional[int] = None  # environment steps between checkpoints; none: eval_freq
    save_buffer: bool = False  # write the replay buffer with each checkpoint
    plot: bool = True  # draw the learning curve at the end
    tensorboard: bool = True  # write TensorBoard events where it is installed

    # filled in by parse_cfg and the program; "per task" means: with one task, as many equal entries as environments
    work_dir: Optional[Path] = None  # folder of the run
    task_title: Optional[str] = None  # the tasks' name for people
    num_tasks: Optional[int] = None  # different tasks here
    num_global_tasks: Optional[int] = None  # different tasks over all processes
    tasks: Any = None  # names, per task
    global_tasks: Any = None  # the same over all processes
    obs_shape: Any = None  # observation name -> shape
    obs_shapes: Any = None  # observation shape before padding, per task
    action_dim: Optional[int] = None  # action dimensions of the agent
    action_dims: Any = None  # action dimensions before padding, per task
    discounts: Any = None  # discount, per task
    episode_lengths: Any = None  # episode length, per task
    bin_size: Optional[float] = None  # distance between two bins
    world_size: int = 1  # processes that train together
    rank: int = 0  # number of this process
    child_env: bool = False  # one of several environments of a batch
    explicit: Any = None  # names of the settings that the user gave

    def get(self, name: str, default: Any = None) -> Any:
        """The setting `name`, or `default` where there is none."""
        return getattr(self, name, default)


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

_LONG_RUN = 50_000  # updates; on a CPU compiling takes as long as 5,000 to 30,000 of them gain (docs/performance.md)
_INTERNAL = [
    "work_dir",
    "task_title",
    "tasks",
    "global_tasks",
    "num_tasks",
    "num_global_tasks",
    "obs_shape",
    "action_dim",
    "obs_shapes",
    "action_dims",
    "episode_lengths",
    "discounts",
    "bin_size",
    "rank",
    "world_size",
    "child_env",
    "explicit",
]
_CHOICES: dict[str, tuple[Any, ...]] = {
    "compile": (False, True, "auto"),
    "obs": ("state",),
    "env_mode": ("async", "sync"),
    "lr_schedule": (None, "warmup"),
    "constrained_planning": (0, 1, 2),
}
_PATTERNS = {
    "device": (r"auto|cpu|mps|cuda(:\d+)?", "auto, cpu, cuda, cuda:N, mps"),
    "buffer_device": (r"auto|cpu|pinned|mmap|mps|cuda(:\d+)?", "auto, cpu, pinned, mmap, cuda, cuda:N, mps"),
    "exp_name": (r"[\w.+=,@-]*[\w+=,@-][\w.+=,@-]*", "a folder name: letters, digits, and . _ - + = , @"),
}
_MINIMUM = dict.fromkeys(
    [
        "num_envs",
        "action_repeat",
        "episode_length",
        "eval_episodes",
        "eval_freq",
        "steps",
        "batch_size",
        "discount_denom",
        "buffer_size",
        "warmup_steps",
        "iterations",
        "num_samples",
        "num_elites",
        "horizon",
        "num_bins",
        "num_enc_layers",
        "enc_dim",
        "mlp_dim",
        "latent_dim",
        "num_q",
        "simnorm_dim",
        "save_freq",
        "threads",
    ],
    1,
) | dict.fromkeys(
    [
        "utd",
        "reward_coef",
        "value_coef",
        "consistency_coef",
        "prior_coef",
        "seeding_coef",
        "num_pi_trajs",
        "constraint_start_step",
        "constraint_final_step",
        "scale_threshold",
        "entropy_coef",
        "task_dim",
        "demo_steps",
        "seed",
    ],
    0,
)
_ABOVE_ZERO = [
    "dist_timeout",
    "rho",
    "lr",
    "enc_lr_scale",
    "grad_clip_norm",
    "tau",
    "discount_min",
    "min_std",
    "max_std",
    "temperature",
]
_MAXIMUM = {"rho": 1, "tau": 1, "discount_min": 1, "discount_max": 1}
_ORDERED = [  # the first may not be larger than the second
    ("num_elites", "num_samples"),
    ("num_pi_trajs", "num_samples"),
    ("discount_min", "discount_max"),
    ("min_std", "max_std"),
    ("log_std_min", "log_std_max"),
    ("constraint_start_step", "constraint_final_step"),
    ("horizon", "episode_length"),
]


class ConfigError(ValueError):
    """A setting that cannot be used: which one, its value, what would be valid, and the likely intention."""

    def __init__(self, key: str, value: Any, problem: str, valid: str = "", suggestion: Optional[str] = None):
        self.key = key
        self.value = value
        self.problem = problem
        self.valid = valid
        self.suggestion = suggestion
        parts = [problem]
        if suggestion:
            parts.append(f"did you mean {suggestion}?")
        if valid:
            parts.append(f"valid: {valid}")
        super().__init__("\n  ".join(parts))


# ---------------------------------------------------------------- command line


def load_cfg(argv: list[str]) -> Config:
    """Settings from `name=value` arguments: defaults, then the preset, then what was given by name."""
    given = dict(_split(argument) for argument in argv)
    for key in given:
        if key not in _settable():
            raise _unknown_key(key, given[key])
    values = {key: _parse(key, text) for key, text in given.items()}
    cfg = Config(**(_preset(values.get("preset")) | values))
    cfg.explicit = sorted(values)
    validate(cfg)
    return cfg


def settable() -> list[dataclasses.Field]:
    """The fields that a user may set, in order."""
    return [field for field in dataclasses.fields(Config) if field.name not in _INTERNAL]


def _settable() -> dict[str, dataclasses.Field]:
    return {field.name: field for field in settable()}


def _split(argument: str) -> tuple[str, str]:
    key, equals, text = argument.partition("=")
    if not equals:
        raise ConfigError(key, None, f"'{argument}' is not of the form name=value", suggestion=_nearest_key(key))
    return key.strip(), text.strip()


def _unknown_key(key: str, value: Any) -> ConfigError:
    if key in _INTERNAL:
        return ConfigError(key, value, f"'{key}' is derived from other settings and cannot be set")
    return ConfigError(key, value, f"unknown setting '{key}' (={value})", ", ".join(_settable()), _nearest_key(key))


def _nearest_key(key: str) -> Optional[str]:
    match = difflib.get_close_matches(key.lstrip("-+").replace("-", "_").lower(), _settable(), n=1, cutoff=0.5)
    return f"{match[0]}=..." if match else None


def _preset(name: Optional[str]) -> dict[str, Any]:
    if name is None:
        return {}
    if name not in PRESETS:
        raise _bad_choice("preset", name, tuple(PRESETS))
    return {key: value for key, value in PRESETS[name].items() if key in _settable()}


def _bad_choice(key: str, value: Any, choices: tuple[Any, ...]) -> ConfigError:
    words = [str(choice).lower() if choice is None or isinstance(choice, bool) else str(choice) for choice in choices]
    match = difflib.get_close_matches(str(value), words, n=1, cutoff=0.5)
    suggestion = f"{key}={match[0]}" if match else None
    return ConfigError(key, value, f"{key}={value} is not available", ", ".join(words), suggestion)


def _parse(key: str, text: str) -> Any:
    """The value of one setting from its text on the command line."""
    kinds, optional = _kinds(_settable()[key].type)
    if optional and text.lower() in ("", "none", "null", "~"):
        return None
    if kinds == (str,):
        return text
    try:
        value = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]), resolve=True)["value"]
    except (OmegaConfBaseException, ValueError, KeyError):
        value = text
    return _coerce(key, value)


# ------------------------------------------------------------------ validation


def _kinds(annotation: Any) -> tuple[tuple[type, ...], bool]:
    """The plain types an annotation allows, and whether it allows None."""
    options = get_args(annotation) if get_origin(annotation) is Union else (annotation,)
    plain = tuple(option for option in options if option in (int, float, bool, str))
    return plain, type(None) in options


def _coerce(key: str, value: Any) -> Any:
    """`value` as the type of setting `key`; an int may be written as 1e6, a float without a point."""
    kinds, optional = _kinds(_settable()[key].type)
    if not kinds or (value is None and optional) or (type(value) in kinds and _finite(value)):
        return value
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and _finite(value)
    if number and float in kinds:
        return float(value)
    if number and int in kinds and float(value).is_integer():
        return int(value)
    if key in _CHOICES and len(kinds) > 1:
        raise _bad_choice(key, value, _CHOICES[key])
    names = [
        {"int": "a whole number", "float": "a number", "bool": "true or false"}.get(k.__name__, "text") for k in kinds
    ]
    valid = " or ".join([*names, "none"] if optional else names)
    raise ConfigError(key, value, f"{key}={value} has the wrong type", valid)


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def validate(cfg: Config) -> None:
    """Check every setting by itself and against the others; nothing is built. Raises ConfigError."""
    for key in _settable():
        setattr(cfg, key, _coerce(key, getattr(cfg, key)))
        _check_value(key, getattr(cfg, key))
    for low, high in _ORDERED:
        first, second = cfg.get(low), cfg.get(high)
        if first is not None and second is not None and first > second:
            raise ConfigError(low, first, f"{low}={first} is larger than {high}={second}", f"at most {high}")
    if cfg.vmin >= cfg.vmax:
        raise ConfigError("vmin", cfg.vmin, f"vmin={cfg.vmin} is not below vmax={cfg.vmax}", "below vmax")
    if cfg.preset is not None and cfg.preset not in PRESETS:
        raise _bad_choice("preset", cfg.preset, tuple(PRESETS))
    _check_task(cfg)
    _check_model_size(cfg)
    _check_checkpoint(cfg)


def _check_value(key: str, value: Any) -> None:
    if key in _CHOICES and value not in _CHOICES[key]:
        raise _bad_choice(key, value, _CHOICES[key])
    if value is None:
        return
    if key in _PATTERNS and not re.fullmatch(_PATTERNS[key][0], value):
        raise ConfigError(key, value, f"{key}={value} is not available", _PATTERNS[key][1])
    if key in _MINIMUM and value < _MINIMUM[key]:
        raise ConfigError(key, value, f"{key}={value} is too small", f"at least {_MINIMUM[key]}")
    if key in _ABOVE_ZERO and value <= 0:
        raise ConfigError(key, value, f"{key}={value} is too small", "above 0")
    if key in _MAXIMUM and value > _MAXIMUM[key]:
        raise ConfigError(key, value, f"{key}={value} is too large", f"at most {_MAXIMUM[key]}")


def _check_task(cfg: Config) -> None:
    from .common import TASK_SET
    from .envs import TaskListError, UnknownTaskError, all_tasks, spelled, task_names

    try:
        task_names(cfg.task)
    except UnknownTaskError as error:
        hint = " or ".join(f"task={name}" for name in error.suggestions) or None
        valid = ", ".join([*TASK_SET, *all_tasks()])
        raise ConfigError("task", cfg.task, f"unknown task '{error.task}'", valid, hint) from error
    except TaskListError as error:
        raise ConfigError("task", cfg.task, error.problem, error.valid) from error
    cfg.task = spelled(cfg.task)


def _check_model_size(cfg: Config) -> None:
    from .common import MODEL_SIZE

    if cfg.model_size is not None and cfg.model_size not in MODEL_SIZE:
        raise _bad_choice("model_size", cfg.model_size, tuple(MODEL_SIZE))


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
    _apply_model_size(cfg)
    _fill_task(cfg)
    _fill_schedule(cfg)
    _fill_demos(cfg)
    _fill_compile(cfg)
    cfg.work_dir = Path(cfg.out_dir) / _folder(cfg.task) / str(cfg.seed) / cfg.exp_name
    cfg.bin_size = (cfg.vmax - cfg.vmin) / max(cfg.num_bins - 1, 1)
    validate(cfg)
    return cfg


def _given(cfg: Config) -> list[str]:
    """The settings that were given by name, or set in code to something that is not the default or the preset's."""
    preset = _preset(cfg.preset)
    changed = [
        name
        for name, field in _settable().items()
        if getattr(cfg, name) not in (field.default, preset.get(name, field.default))
    ]
    return sorted({*(cfg.explicit or []), *changed})


def _apply_model_size(cfg: Config) -> None:
    from .common import MODEL_SIZE

    explicit = [*cfg.explicit, *_preset(cfg.preset)]
    cfg.model_size = cfg.model_size or "B"
    for name, value in MODEL_SIZE[cfg.model_size].items():
        if name not in explicit:
            setattr(cfg, name, value)
    if cfg.latent_dim % cfg.simnorm_dim:
        problem = f"latent_dim={cfg.latent_dim} cannot be split into groups of simnorm_dim={cfg.simnorm_dim}"
        raise ConfigError("latent_dim", cfg.latent_dim, problem, f"a multiple of {cfg.simnorm_dim}")


def _fill_task(cfg: Config) -> None:
    from .common import split_by_rank
    from .common.math import discount_heuristic
    from .envs import task_info, task_names

    names = task_names(cfg.task)
    if "episode_length" not in cfg.explicit:
        cfg.episode_length = _preset(cfg.preset).get("episode_length") if len(names) == 1 else None
    infos = [task_info(cfg, name) for name in names]
    if cfg.episode_length is None and (longest := _preset(cfg.preset).get("episode_length")):
        infos = [dataclasses.replace(info, episode_length=min(info.episode_length, longest)) for info in infos]
    cfg.num_tasks = _tasks_here(cfg, len(names))
    if len(names) > 1:
        _fill_num_envs(cfg, cfg.num_tasks)
    cfg.task_title = _title(cfg.task, names)
    cfg.num_global_tasks = len(names)
    cfg.episode_length = max(info.episode_length for info in infos)
    _fill_widths(cfg, infos)
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


def _fill_widths(cfg: Config, infos: list[Any]) -> None:
    """Widths of observations, actions and task embedding; an agent that is finetuned has them already."""
    from .common import DEFAULT_TASK_DIM, TASK_DIM, padded_widths

    obs_dim, action_dim = max(info.obs_dim for info in infos), max(info.action_dim for info in infos)
    if cfg.finetune:
        obs_dim, action_dim, cfg.task_dim = _checkpoint_widths(cfg, obs_dim, action_dim)
    else:
        if len(infos) > 1 or cfg.pad:
            obs_dim, action_dim = padded_widths(obs_dim, action_dim)
        if "task_dim" not in cfg.explicit or cfg.task_dim is None:
            cfg.task_dim = TASK_DIM.get(cfg.model_size, DEFAULT_TASK_DIM) if len(infos) > 1 else 0
    cfg.obs_shape = {cfg.obs: (obs_dim,)}
    cfg.action_dim = action_dim


def _checkpoint_widths(cfg: Config, obs_dim: int, action_dim: int) -> tuple[int, int, int]:
    """Observations, actions and embedding size of the checkpoint's agent, which must be enough for the task."""
    from .common.checkpoint import read, widths

    try:
        found = widths(read(cfg.checkpoint)[0], cfg.checkpoint)
    except ValueError as error:
        raise ConfigError("checkpoint", cfg.checkpoint, str(error)) from error
    if obs_dim > found[0] or action_dim > found[1]:
        problem = (
            f"task={cfg.task} has {obs_dim} observations and {action_dim} actions, "
            f"the agent in {cfg.checkpoint} takes at most {found[0]} and {found[1]}"
        )
        raise ConfigError("finetune", True, problem, "a checkpoint trained on tasks as wide, or with pad=true")
    if "task_dim" in cfg.explicit and cfg.task_dim not in (None, found[2]):
        problem = f"task_dim={cfg.task_dim} is not that of the agent in {cfg.checkpoint}"
        raise ConfigError("task_dim", cfg.task_dim, problem, str(found[2]))
    return found


def _title(task: str, names: list[str]) -> str:
    """The tasks for people: their names, or how many there are of them."""
    if len(names) > MAX_TITLE_TASKS:
        return f"{task if ',' not in task else names[0] + ' and others'} ({len(names)} tasks)"
    return ", ".join(name.replace("-", " ").title() for name in names)


def _folder(task: str) -> str:
    """A folder's name for `task`: itself, or for a long list its first task, how many more, and a hash of them all."""
    if len(task) <= MAX_FOLDER:
        return task.replace(",", "+")
    items = task.split(",")
    return f"{items[0]}+{len(items) - 1}-more-{hashlib.sha256(task.encode()).hexdigest()[:8]}"


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
    from .common.demos import demo_path

    if (cfg.checkpoint is None or cfg.resume) and "lr_schedule" not in cfg.explicit:
        cfg.lr_schedule = "warmup"
    paths = [demo_path(cfg, name) for name in dict.fromkeys(cfg.global_tasks)]
    if not any(path.is_file() for path in paths):
        problem = f"use_demos=true finds no demonstrations: there is no {' and no '.join(map(str, paths[:3]))}"
        raise ConfigError("use_demos", True, problem, "record some with generate_demos, or set data_dir=FOLDER")


def _fill_compile(cfg: Config) -> None:
    """compile=auto: on CUDA, as newt does; on a CPU in runs that are long enough to make up for compiling."""
    import torch

    if cfg.compile != "auto":
        return
    on_cuda = cfg.device.startswith("cuda") or (cfg.device == "auto" and torch.cuda.is_available())
    on_cpu = cfg.device == "cpu" or (cfg.device == "auto" and not on_cuda)
    can_compile = shutil.which(os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")) is not None
    cfg.compile = on_cuda or (on_cpu and can_compile and cfg.steps * cfg.utd >= _LONG_RUN)


def _round_up(value: int, multiple: int) -> int:
    return math.ceil(value / multiple) * multiple
