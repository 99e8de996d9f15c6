"""Dropout in the Q networks: where, how much, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from newtfix.model import Observation, Unobservable, decided, judged
from newtfix.verify.networks import answers, joint, members_of, model_of
from newtfix.verify.subject import Subject
from newtfix.verify.updates import Rig

_MANY_ROWS = 6000
_REFERENCE_RATE = 0.01


def probe_share(subject: Subject) -> list[Observation]:
    """Where units are dropped, how many, and where none are."""
    rate = getattr(subject.default_config(), "dropout", None)
    model = model_of(subject, **({} if rate is None else {"dropout": rate}))
    members = members_of(model._Qs.online)
    for member in members:
        member.train()
    x = joint(model, _MANY_ROWS)
    shares = [_dropped(member, x) for member in members]
    what = (
        f"share of units dropped behind the first layer of a Q network, before its normalisation ({_MANY_ROWS} samples)"
    )
    low, high = min(shares), max(shares)
    seen = f"{low:.3f}" if f"{low:.3f}" == f"{high:.3f}" else f"{low:.3f} to {high:.3f}"
    near = all(abs(share - _REFERENCE_RATE) < 0.002 for share in shares)
    found = [decided(what, f"{_REFERENCE_RATE:.3f}", f"{_REFERENCE_RATE:.3f}" if near else seen, near, high == 0)]
    return [*found, *_dropout_modes(subject, rate is not None)]


def probe_while_training(subject: Subject) -> list[Observation]:
    """The modes that switch dropout on and off: in an update, and behind it."""
    rig = Rig(subject)
    update = rig.update()
    modes = {True: "training mode", False: "evaluation mode"}
    during, after = update.model_loss().training, bool(rig.agent.model._Qs.online.training)
    return [
        judged("mode of the online networks in an update", modes[True], modes[during]),
        judged("mode of the online networks after it, when they plan", modes[False], modes[after]),
    ]


class _Normalised(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps what layer normalisations are given, whoever calls them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.given: list[Tensor] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten.native_layer_norm.default:
            self.given.append(args[0].detach().clone())
        return func(*args, **(kwargs or {}))


def _dropped(member: nn.Module, x: Tensor) -> float:
    """The share of the first layer's outputs that reach its normalisation as 0, while the others are scaled up."""
    linear = next((m for m in member.modules() if isinstance(m, nn.Linear)), None)
    with torch.no_grad(), _Normalised() as normalised:
        member(x)
    if linear is None or not normalised.given:
        raise Unobservable("a Q network has no linear layer, or normalises nothing")
    arrived = normalised.given[0]
    with torch.no_grad():
        clean = nn.functional.linear(x, linear.weight, linear.bias)
    gone = arrived == 0
    share = float(gone.float().mean())
    if not torch.allclose(arrived[~gone], clean[~gone] / (1 - share), rtol=0.02, atol=1e-4):
        raise Unobservable("what reaches the first LayerNorm of a Q network is not its first layer's output, scaled")
    return share


def _dropout_modes(subject: Subject, is_setting: bool) -> list[Observation]:
    """At a rate of one half: noise in training mode, different in every network, none elsewhere."""
    model = model_of(subject, **({"dropout": 0.5} if is_setting else {}))
    model.train()
    found = [
        _noise("online networks in training mode", model, False, "noise"),
        _noise("target networks while the model is in training mode", model, True, "no noise"),
    ]
    model.eval()
    found += [_noise("online networks in evaluation mode", model, False, "no noise")]
    model.train()
    _copy_first(members_of(model._Qs.online))
    outputs = answers(model)
    different = not torch.allclose(outputs[0], outputs[1])
    what = "units dropped in two networks of equal weights"
    return [
        *found,
        decided(
            what,
            "different ones",
            "different ones" if different else "the same or none",
            different,
            not different,
        ),
    ]


def _noise(what: str, model: Any, target: bool, expected: str) -> Observation:
    seen = "no noise" if torch.equal(answers(model, target=target), answers(model, target=target)) else "noise"
    return judged(what, expected, seen, *(["no noise"] if expected == "noise" else []))


def _copy_first(members: list[nn.Module]) -> None:
    for member in members[1:]:
        member.load_state_dict(members[0].state_dict())
