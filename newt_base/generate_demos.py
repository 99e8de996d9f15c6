"""Record demonstrations: `python -m newt_base.generate_demos task=walker-walk checkpoint=FILE num_demos=20`.

The agent in the checkpoint plans in evaluation mode; every episode is kept. Each task gets a file DATA_DIR/TASK.pt in
newt's layout, with the planner's statistics beside the actions. Its other settings are those of training, and the
agent's size must be the one it was trained with.
"""

if not __package__:
    import as_package  # noqa: F401

import sys
from pathlib import Path
from typing import Optional

import torch
from tensordict import TensorDict

from .acting import agent_of, settings
from .common import env_tasks, padded_widths, set_seed
from .common.demos import demo_path, save_demos
from .common.files import words
from .common.progress import Progress
from .config import Config, ConfigError
from .envs import EnvironmentFailed, VecEnv, make_env
from .tdmpc2 import TDMPC2

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
NUM_DEMOS = 20  # episodes per task unless given


def main(argv: Optional[list[str]] = None) -> int:
    """Run the command line and return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if {"-h", "--help", "help"} & set(argv):
        package = __package__ or Path(__file__).parent.name
        sys.stdout.write(
            f"usage: python -m {package}.generate_demos task=TASK checkpoint=FILE [num_demos={NUM_DEMOS}] "
            f"[data_dir=data] [name=value ...]\n       all settings: python -m {package}.train --help\n"
        )
        return 0
    try:
        num_demos, rest = _take_num_demos(argv)
        cfg = settings(rest, "recording demonstrations")
        generate_demos(cfg, num_demos)
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_USAGE
    except (EnvironmentFailed, OSError) as error:
        sys.stderr.write(f"Nothing was written: {words(error)}\n")
        return EXIT_FAILED
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted; nothing was written.\n")
        return EXIT_INTERRUPTED
    return 0


def _take_num_demos(argv: list[str]) -> tuple[int, list[str]]:
    """The number of demonstrations per task, and the other arguments; newt writes +num_demos."""
    given = [argument for argument in argv if argument.lstrip("+").startswith("num_demos=")]
    text = given[-1].partition("=")[2] if given else str(NUM_DEMOS)
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError("num_demos", text, f"num_demos={text} is not available", "a whole number, at least 1")
    return int(text), [argument for argument in argv if argument not in given]


def generate_demos(cfg: Config, num_demos: int) -> list[Path]:
    """Record `num_demos` episodes of each task of `cfg` and write them. Returns the files."""
    set_seed(cfg.seed)
    agent, progress = agent_of(cfg)
    with make_env(cfg) as env:
        episodes = record(cfg, env, agent, num_demos, progress.get("step"))
    paths = []
    for task, recorded in episodes.items():
        name = cfg.global_tasks[task]
        paths.append(demo_path(cfg, name))
        save_demos(paths[-1], recorded)
        mean = torch.stack([episode["reward"].nansum() for episode in recorded]).mean()
        print(f"{len(recorded)} demonstrations of {name}, mean return {mean:.1f}: {paths[-1]}")
    return paths


@torch.no_grad()
def record(
    cfg: Config, env: VecEnv, agent: TDMPC2, num_demos: int, step: Optional[int] = None
) -> dict[int, list[TensorDict]]:
    """`num_demos` episodes [T+1] for each task number, the first that end, as the agent plans at `step`."""
    tasks = env_tasks(cfg)
    episodes: dict[int, list[TensorDict]] = {task: [] for task in tasks}
    index = torch.tensor(tasks, dtype=torch.int32)
    obs, _ = env.reset()
    running = [[_row(cfg, task, obs[i])] for i, task in enumerate(tasks)]
    done = torch.ones(cfg.num_envs, dtype=torch.bool)
    with Progress(num_demos * len(episodes), rank=cfg.rank) as progress:
        while any(len(recorded) < num_demos for recorded in episodes.values()):
            torch.compiler.cudagraph_mark_step_begin()
            action, mu, std = agent(obs, t0=done, step=step, eval_mode=True, task=index, mpc=cfg.mpc)
            obs, reward, terminated, truncated, info = env.step(action)
            done = terminated | truncated
            reached = obs.clone()
            if done.any():
                reached[done] = info["final_observation"]
            for i, task in enumerate(tasks):
                running[i].append(_row(cfg, task, reached[i], action[i], mu[i], std[i], reward[i], terminated[i]))
                if done[i]:
                    if len(episodes[task]) < num_demos:
                        episodes[task].append(torch.stack(running[i]))
                    running[i] = [_row(cfg, task, obs[i])]
            progress.update(sum(map(len, episodes.values())), "recording")
    return episodes


def _row(cfg, task, obs, action=None, mu=None, std=None, reward=None, terminated=None) -> TensorDict:
    """One time step of one environment with newt's padding; what is not given is NaN."""
    (own_obs,), own_action = cfg.obs_shapes[task], cfg.action_dims[task]
    obs_dim, action_dim = padded_widths(own_obs, own_action)
    actions = {"action": action, "mu": mu, "std": std}
    return TensorDict(
        {"obs": _fit(obs, own_obs, obs_dim)}
        | {
            name: torch.full((action_dim,), torch.nan) if x is None else _fit(x, own_action, action_dim)
            for name, x in actions.items()
        }
        | {
            "reward": torch.tensor(torch.nan) if reward is None else reward,
            "terminated": torch.tensor(False) if terminated is None else terminated,
        }
    )


def _fit(x: torch.Tensor, own: int, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(x[:own], (0, width - own))


if __name__ == "__main__":
    sys.exit(main())
