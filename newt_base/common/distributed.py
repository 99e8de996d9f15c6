"""Data-parallel training: one process per rank, started by torchrun. Alone, everything here does nothing."""

import os
import sys
import time
from collections import defaultdict
from datetime import timedelta
from itertools import chain
from traceback import walk_tb

import torch
import torch.distributed as dist

from . import barrier

GRACE = 10.0  # seconds that torchrun gets to end a rank that lost another one, before it says so itself


def places():
    """What torchrun says about this process: its rank, how many ranks there are, and its number on this machine."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return 0, 1, 0
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    return rank, world_size, int(os.environ.get("LOCAL_RANK", rank))


def joined():
    """Whether this process trains together with others."""
    return dist.is_available() and dist.is_initialized()


def join(device, timeout):
    """Meet the other ranks, at the address that torchrun gives.

    Tensors on the CPU travel through gloo; those on CUDA through NCCL, or gloo where there are more ranks than GPUs.

    Args:
        device: where this rank's agent is. timeout: seconds to wait for the others, here and later.
    """
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        if int(os.environ.get("LOCAL_WORLD_SIZE", 1)) <= torch.cuda.device_count():
            backend = "cpu:gloo,cuda:nccl"
    global _reduce
    _reduce = torch.compiler.disable(_average)  # compiled losses are cut here; alone, they need not load the compiler
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout))


def leave():
    """Part from the other ranks when all have come to their end."""
    if joined():
        barrier()
        dist.destroy_process_group()


def end(status):
    """End this process with an exit status.

    A failed rank ends at once: tidying up its connections could wait for ranks that are waiting for it.
    """
    if joined():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def lost_another(error):
    """Whether an error came from talking to other ranks: one has ended, or did not answer in time."""
    folder = os.path.dirname(dist.__file__)
    return any(frame.f_code.co_filename.startswith(folder) for frame, _ in walk_tb(error.__traceback__))


def await_end():
    """Let torchrun, which ends all ranks when one has failed, end this one as well."""
    time.sleep(GRACE)


# ------------------------------------------------------------------- tensors


def share(*modules):
    """Give every rank the parameters and buffers that rank 0 has."""
    if not joined():
        return
    for module in modules:
        for tensor in chain(module.parameters(), module.buffers()):
            dist.broadcast(tensor.detach(), src=0)


def average(x):
    """The mean of a tensor over all ranks, written into it. Returns it."""
    return _reduce(x) if joined() else x


def _average(x):
    dist.all_reduce(x)
    return x.div_(dist.get_world_size())


_reduce = _average


def average_gradients(parameters):
    """Give every rank the mean of the gradients over all ranks. Each rank must have those of the same parameters."""
    if not joined():
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = average(torch.cat([gradient.flatten() for gradient in gradients]))
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


# -------------------------------------------------------------- plain values


def gather(value):
    """A list of what each rank has, in their order. It is sent as a pickle; no tensors on a GPU."""
    if not joined():
        return [value]
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def from_first(value):
    """What rank 0 has."""
    if not joined():
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def over_ranks(metrics):
    """Metrics of all ranks under their names: lists one after the other, means of numbers without NaN."""
    if not joined():
        return metrics
    own = {name: value if isinstance(value, list) else float(value) for name, value in metrics.items()}
    named = defaultdict(list)
    for name, value in chain.from_iterable(rank.items() for rank in gather(own)):
        named[name].append(value)
    return defaultdict(list, {name: _joint(values) for name, values in named.items()})


def _joint(values):
    if isinstance(values[0], list):
        return list(chain.from_iterable(values))
    return torch.tensor(values).nanmean().item()
