"""Train an agent: `python -m newt_base.train task=cartpole-swingup preset=cpu seed=1`."""

if not __package__:
    import as_package  # noqa: F401

import dataclasses
import os
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Optional

import torch
from tqdm import tqdm

from . import config
from .common import barrier, distributed, resolve_device, resume, set_matmul_precision, set_seed
from .common.buffer import NothingToSample
from .common.files import words
from .common.folder import held
from .common.interrupt import Interrupted, Requests
from .common.logger import Logger
from .common.machine import check_compiler, keep_compiled, no_room, with_devices
from .common.replay import make_replay
from .common.summary import report
from .common.usage import usage
from .common.world_model import WorldModel
from .config import Config, ConfigError, load_cfg, parse_cfg
from .envs import EnvironmentFailed, VecEnv, make_env
from .tdmpc2 import TDMPC2
from .trainer import Trainer, TrainingDiverged

EXIT_FAILED = 1
EXIT_USAGE, EXIT_INTERRUPTED = 2, 130


def main(argv: Optional[list[str]] = None) -> int:
    """Run the command line and return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if {"-h", "--help", "help"} & set(argv):
        sys.stdout.write(usage(__package__ or Path(__file__).parent.name, config))
        return 0
    rank, world_size, local_rank = distributed.places()
    try:
        cfg = resolve(argv, rank, world_size, local_rank)
        with Requests(active=world_size == 1) as requests, held(cfg.work_dir, rank):
            cfg = resume.resolved(cfg, tqdm.write if rank == 0 else lambda words: None)
            return run_rank(cfg) if world_size > 1 else run(cfg, requests)
    except resume.Finished as finished:
        if local_rank == 0:
            sys.stdout.write(f"{finished}\n")
        return 0
    except ConfigError as error:
        if local_rank == 0:
            sys.stderr.write(f"error: {error}\n")
        return EXIT_USAGE
    except OSError as error:
        sys.stderr.write(f"error: {words(error)}\n")
        return EXIT_FAILED
    except Interrupted as error:
        sys.stderr.write("\nInterrupted before training began.\n")
        return error.status


def resolve(argv: list[str], rank: int = 0, world_size: int = 1, local_rank: int = 0) -> Config:
    """The settings of this process, as they stay. Raises ConfigError."""
    given = _absolute(load_cfg(argv))
    cfg = parse_cfg(dataclasses.replace(given, rank=rank, world_size=world_size))
    if rank == 0:
        _say_what_is_rounded(given, cfg)
    _check_batch_size(cfg)
    check_compiler(cfg)
    return with_devices(cfg, local_rank)


def _absolute(cfg: Config) -> Config:
    """The settings with the whole paths of files and folders: an environment may leave the folder where this began."""
    paths = {name: getattr(cfg, name) for name in ("out_dir", "data_dir", "checkpoint")}
    return dataclasses.replace(cfg, **{name: os.path.abspath(path) for name, path in paths.items() if path})


def _say_what_is_rounded(given: Config, cfg: Config) -> None:
    for name, multiple in (("eval_freq", "whole episodes of each"), ("save_freq", "a multiple of eval_freq")):
        if name in given.explicit and getattr(given, name) not in (None, getattr(cfg, name)):
            tqdm.write(f"{name}={getattr(given, name)} becomes {name}={getattr(cfg, name)}: {multiple}")


def run(cfg: Config, requests: Optional[Requests] = None) -> int:
    """Train under resolved settings, say how it went, and return the exit status."""
    try:
        trainer = build(cfg)
    except ValueError as error:  # a part of the agent refuses its settings
        sys.stderr.write(f"{_whose(cfg)}error: {error}\n")
        return EXIT_USAGE
    except (EnvironmentFailed, OSError) as error:
        return _ended(cfg, f"Training cannot begin: {words(error)}.")
    logger = trainer.logger
    started = time.monotonic()
    try:
        if cfg.random_baseline and distributed.from_first(logger.random_reward is None):
            logger.random_reward = fmean(distributed.gather(random_return(trainer.env)))
        if requests is not None:
            trainer.requests = requests
        with trainer.requests.while_training(cfg.world_size == 1):
            trainer.train()
        logger.finish()
    except KeyboardInterrupt as error:
        _ended(cfg, f"Interrupted.{_checkpoint_words(cfg, logger)}", logger)
        return getattr(error, "status", EXIT_INTERRUPTED)
    except TrainingDiverged as error:
        where = f"at step {error.step:,}: {error.quantity} is no longer finite"
        return _ended(cfg, f"Training diverged {where}.{_checkpoint_words(cfg, logger)}", logger)
    except EnvironmentFailed as error:
        with suppress(OSError):
            trainer.save_without_environments()
        return _ended(
            cfg, f"Training ended at step {trainer._step:,}: {error}.{_checkpoint_words(cfg, logger)}", logger
        )
    except NothingToSample as error:
        problem = f"{error}; give seeding more steps, or a smaller horizon"
        return _ended(
            cfg, f"Training ended at step {trainer._step:,}: {problem}.{_checkpoint_words(cfg, logger)}", logger
        )
    except OSError as error:
        return _ended(cfg, f"Training ended at step {trainer._step:,}: {words(error)}.{_checkpoint_words(cfg, logger)}")
    finally:
        trainer.env.close()
    if cfg.rank == 0:
        if trainer.agent.optim.state:
            keep_compiled(cfg)
        try:
            report(cfg, logger, time.monotonic() - started)
        except OSError as error:
            return _ended(cfg, f"Training is over; what it achieved cannot be written: {words(error)}.")
        if cfg.steps and not trainer.agent.optim.state:
            sys.stderr.write(f"Nothing was learnt: seeding takes longer than steps={cfg.steps:,}. Give more steps.\n")
    return 0


def _ended(cfg: Config, message: str, logger: Optional[Logger] = None) -> int:
    """Say how a run ended before its time, and draw what there is."""
    if logger is not None:
        with suppress(OSError):
            logger.finish()
    sys.stderr.write(f"\n{_whose(cfg)}{message}\n")
    return EXIT_FAILED


def run_rank(cfg: Config) -> int:
    """Train as one of several ranks, and return the exit status.

    What goes wrong on one rank is said by that rank. The others wait for torchrun, which ends them when it has seen
    that one has failed.
    """
    status = EXIT_FAILED
    try:
        status = run(cfg)
        if status == 0:
            distributed.leave()
    except KeyboardInterrupt as error:
        status = getattr(error, "status", EXIT_INTERRUPTED)
    except Exception as error:
        if distributed.lost_another(error):
            distributed.await_end()
            sys.stderr.write(f"{_whose(cfg)}lost the other ranks: {error}\n")
        else:
            sys.stderr.write(f"{_whose(cfg)}{traceback.format_exc()}")
    return status


def build(cfg: Config) -> Trainer:
    """The trainer with its environments, agent, replay buffer and logger; settings are resolved if they are not yet."""
    if cfg.work_dir is None:
        cfg = parse_cfg(cfg)
    set_seed(cfg.seed + cfg.rank)
    set_matmul_precision(cfg.tf32)
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    device = resolve_device(cfg.device, cfg.rank)
    env = make_env(cfg, render=cfg.save_video)
    try:
        if cfg.world_size > 1:  # only now: processes that were started for environments hold no connection
            distributed.join(device, cfg.dist_timeout)
        agent = TDMPC2(WorldModel(cfg).to(device), cfg)
        # A checkpoint that is refused leaves an earlier run's folder where it is.
        progress = _loaded(agent, cfg) if cfg.checkpoint is not None else {}
        distributed.share(agent.model, agent.scale)
        buffer = make_replay(cfg, device)
        trainer = Trainer(cfg=cfg, env=env, agent=agent, buffer=buffer, logger=None)
        if cfg.resume:
            trainer.resume()
        barrier()
        trainer.logger = Logger(cfg, progress["log"] if cfg.resume else None)
        barrier()  # the folder is ready
        return trainer
    except BaseException as error:
        env.close()
        if isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error):
            raise no_room(error, cfg) from error
        raise


def _loaded(agent: TDMPC2, cfg: Config) -> dict:
    """What else the checkpoint of the settings holds, once the agent has taken its part. Raises ValueError."""
    try:
        return agent.load(cfg.checkpoint, resume=bool(cfg.resume))
    except (AttributeError, LookupError, TypeError) as error:  # optimisers of another program
        problem = f"{cfg.checkpoint} does not fit this agent: {type(error).__name__}: {error}"
        raise resume.CheckpointError("checkpoint", problem, "the tree that wrote it") from error


def random_return(env: VecEnv, episodes: int = 5) -> float:
    """Mean return of uniform random actions over `episodes` episodes of each environment."""
    env.reset()
    total, finished = torch.zeros(env.num_envs), torch.zeros(env.num_envs, dtype=torch.int32)
    while (finished < episodes).any():
        _, reward, terminated, truncated, _ = env.step(env.rand_act())
        total += torch.where(finished < episodes, reward, 0.0)
        finished += terminated | truncated
    return (total / episodes).mean().item()


def _check_batch_size(cfg: Config) -> None:
    if cfg.batch_size % cfg.world_size:
        problem = f"batch_size={cfg.batch_size} cannot be shared evenly by {cfg.world_size} processes"
        raise ConfigError("batch_size", cfg.batch_size, problem, f"a multiple of {cfg.world_size}")


def _whose(cfg: Config) -> str:
    """What messages of one of several ranks begin with."""
    return f"[rank {cfg.rank}] " if cfg.world_size > 1 else ""


def _checkpoint_words(cfg: Config, logger: Logger) -> str:
    """What rank 0 says about its checkpoints at the end of a run that was cut short."""
    if logger.rank > 0:
        return ""
    if logger.last_checkpoint is None:
        return " No checkpoint was written yet."
    return f" Last checkpoint: {logger.last_checkpoint}" + (
        " (go on from it with resume=true)" if cfg.save_buffer else ""
    )


if __name__ == "__main__":
    distributed.end(main())
