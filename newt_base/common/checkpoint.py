"""Reading checkpoints of newt-style agents, and fitting their weights into an agent of this tree."""

import zipfile

import torch
import torch.nn.functional as F

from . import padded_widths
from .files import check

ENCODER, MASKS, EMBEDDINGS = "_encoder.state.0.weight", "_action_masks", "_task_emb.weight"
PREFIXES = ("module.", "_orig_mod.")  # left by DistributedDataParallel and torch.compile


def load_safely(path, device="cpu"):
    """What torch saved in a file, tensors and plain values only. Raises ValueError for other and for damaged files."""
    try:
        check(path)
        return torch.load(path, map_location=device, weights_only=True)
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:  # torch raises nearly anything for a file that is not its own, or is cut off
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
        if not zipfile.is_zipfile(path):
            reason = "it is damaged, or torch did not save it; give another file"
        raise ValueError(f"{path} cannot be read safely (weights_only=True): {reason}") from error


def read(path, device="cpu"):
    """The world model's weights in a checkpoint, under their plain names, and whatever else the file holds.

    Raises ValueError for a file that is no checkpoint, or one that holds more than tensors and plain values.
    """
    state = load_safely(path, device)
    bare = not (isinstance(state, dict) and isinstance(state.get("model"), dict))
    weights = state if bare else state["model"]
    if not isinstance(weights, dict) or not weights or not all(torch.is_tensor(w) for w in weights.values()):
        raise ValueError(f"{path} is no checkpoint of an agent: it holds no state dict, by itself or under 'model'")
    extra = {} if bare else {name: value for name, value in state.items() if name != "model"}
    return {_plain_name(name): value for name, value in weights.items()}, extra


def _plain_name(name):
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name.replace("._orig_mod.", ".")


def widths(weights, path):
    """Widths of observations, actions and task embedding of the agent that these weights are from."""
    for name in (ENCODER, MASKS):
        if name not in weights or weights[name].ndim != 2:
            raise ValueError(f"{path} is no checkpoint of an agent with state observations: it has no {name}")
    task_dim = weights[EMBEDDINGS].shape[1] if EMBEDDINGS in weights else 0
    return weights[ENCODER].shape[1] - task_dim, weights[MASKS].shape[1], task_dim


def fit(weights, mine, path, obs_dim, keep_tasks=False):
    """Weights for an agent whose own state dict is `mine`, from those of a checkpoint; neither is changed.

    Rows of masks and embeddings are matched to the agent's tasks. The agent of one task may be padded to newt's
    widths on one side only: columns and rows of padded entries are dropped, or filled with zeros.

    Args:
        weights, mine: state dicts. path: the checkpoint, for messages.
        obs_dim: observations of the agent's task before padding.
        keep_tasks: take the agent's own masks and embeddings, whatever tasks the checkpoint was trained on.

    Returns:
        The weights, with the names and shapes of `mine`, and whether any parameter that learns was resized.

    Raises:
        ValueError naming the first entry, in the agent's order, that does not fit, with both shapes.
    """
    fitted = _with_tasks_of(mine, weights) if keep_tasks else _match_tasks(weights, mine)
    resized = not keep_tasks and _padded_on_one_side(fitted, mine, path, obs_dim)
    if resized:
        fitted = _resize(fitted, mine, path)
    for name in [*mine, *fitted]:
        here, there = (tuple(w[name].shape) if name in w else "missing" for w in (mine, fitted))
        if here != there:
            raise ValueError(f"{path} does not fit this agent: {name} is {there} there and {here} here")
    here, there = (w[MASKS].sum(1).int().tolist() for w in (mine, fitted))
    if here != there:
        raise ValueError(
            f"{path} does not fit this agent: by {MASKS}, its tasks have {there} actions and these have {here}; "
            "finetune=true starts from an agent of other tasks"
        )
    return fitted, resized


def _with_tasks_of(mine, weights):
    """The weights with the agent's own masks and embeddings, where these are as wide."""
    own = {
        name: mine[name]
        for name in (MASKS, EMBEDDINGS)
        if name in mine and name in weights and mine[name].shape[1:] == weights[name].shape[1:]
    }
    return weights | own


def _match_tasks(weights, mine):
    """The weights with one row of masks and embeddings for each of the agent's, where it is clear which."""
    if MASKS not in weights:
        return weights
    rows = _rows_of_own_tasks(weights, mine)
    if rows is None:
        return weights
    matched = {name: weights[name][rows] for name in (MASKS, EMBEDDINGS) if name in weights}
    return weights | matched


def _rows_of_own_tasks(weights, mine):
    """The checkpoint's row for each row of the agent, or None: by embedding, or any where both have one task."""
    count = len(mine[MASKS])
    embeddings, own = weights.get(EMBEDDINGS), mine.get(EMBEDDINGS)
    if embeddings is not None and own is not None and embeddings.shape[1] == own.shape[1]:
        same = (own.unsqueeze(1) - embeddings.to(own)).abs().amax(-1) < 1e-6
        if same.any(1).all():
            return same.int().argmax(1)
    parts = [w[name] for w in (weights, mine) for name in (MASKS, EMBEDDINGS) if name in w]
    one_task = all(torch.equal(part, part[:1].expand_as(part)) for part in parts)
    return torch.zeros(count, dtype=torch.int64, device=mine[MASKS].device) if one_task else None


def _padded_on_one_side(weights, mine, path, obs_dim):
    """Whether both are agents of one task with the same actions, and exactly one has newt's padding."""
    if ENCODER not in weights or MASKS not in weights:
        return False
    (*there, task_dim), (*here, own_task_dim) = widths(weights, path), widths(mine, path)
    counts = {int(count) for w in (weights, mine) for count in w[MASKS].sum(1)}
    if there == here or task_dim != own_task_dim or len(counts) > 1:
        return False
    bare = [obs_dim, counts.pop()]
    return sorted([there, here]) == sorted([bare, [*padded_widths(*bare)]])


def _resize(weights, mine, path):
    """Drop or fill with zeros what belongs to padded entries: inputs of networks, outputs of the policy."""
    (obs, action, _), (own_obs, own_action, _) = widths(weights, path), widths(mine, path)
    resized = dict(weights)
    for name, value in weights.items():
        if name not in mine or value.shape == mine[name].shape:
            continue
        if name == ENCODER:
            resized[name] = torch.cat([_to_size(value[:, :obs], own_obs, 1), value[:, obs:]], dim=1)
        elif name == MASKS:
            resized[name] = mine[name]
        elif name.startswith("_pi.") and len(value) == 2 * action:
            resized[name] = torch.cat([_to_size(half, own_action, 0) for half in value.chunk(2)])
        elif mine[name].shape[-1] - value.shape[-1] == own_action - action:
            head, tail = value[..., : value.shape[-1] - action], value[..., value.shape[-1] - action :]
            resized[name] = torch.cat([head, _to_size(tail, own_action, -1)], dim=-1)
    return resized


def _to_size(x, size, dim):
    """x cut, or filled up with zeros, to `size` along `dim`."""
    x = x.movedim(dim, -1)
    return F.pad(x[..., :size], (0, max(0, size - x.shape[-1]))).movedim(-1, dim)
