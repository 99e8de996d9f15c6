"""The replay of a run: this rank's share, beside demonstrations where they are used, and what it takes."""

import math
from pathlib import Path

import torch
from tqdm import tqdm

from .buffer import Buffer, EnsembleBuffer, row_of
from .demos import demo_buffer
from .storage import Layout, Place, size


def make_replay(cfg, device):
    """This rank's share of replay, beside demonstrations where they are used; says what it will take."""
    place = Place.of(cfg.buffer_device, device, cfg.work_dir, cfg.rank)
    settings = {
        "capacity": math.ceil(cfg.buffer_size / cfg.world_size),
        "horizon": cfg.horizon,
        "batch_size": cfg.batch_size // cfg.world_size,
        "device": place,
    }
    buffer = EnsembleBuffer(demo_buffer(cfg, place), **settings) if cfg.use_demos else Buffer(**settings)
    taken = buffer.plan(row_of(cfg))
    if cfg.rank == 0:
        tqdm.write(taken)
        if cfg.save_buffer and cfg.save_agent:
            tqdm.write(saved_statement(cfg, Layout(row_of(cfg)).nbytes))
    buffer.reserve(row_of(cfg))
    return buffer


def saved_statement(cfg, row_bytes):
    """What checkpoints with their replays may take on the disk, and whether there is room, in one line."""
    place = Place("mmap", torch.device("cpu"), Path(cfg.work_dir))
    each, free = min(cfg.buffer_size, cfg.steps) * row_bytes, place.free()
    number = cfg.steps // cfg.save_freq + 2 if cfg.keep is None else cfg.keep + 1  # one is being written
    room = f"{size(free)} are free"
    if each * number > free:
        room = f"WARNING: only {room}; use a smaller keep or buffer_size, or out_dir=FOLDER on another disk"
    taken = f"{number} replays of up to {size(each)}, {size(each * number)} in all"
    return f"checkpoints: up to {taken} (keep={cfg.keep}); {room}"
