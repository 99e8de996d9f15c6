"""The Q networks: dropout, one batched call, and a target that answers with its own weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from newtfix.verify.observation import Observation, decided, judged, unseen
from newtfix.verify.subject import ACTION_DIM, LATENT_DIM, Subject, Unobservable, randomise
from newtfix.verify.updates import Rig
from newtfix.verify.world import Compiler, cuda_claimed

_ROWS = 64
_MANY_ROWS = 6000
_NETWORKS = 3
_REFERENCE_RATE = 0.01


def _inputs(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, actions and tasks of so many samples."""
    generator = torch.Generator().manual_seed(3)
    z = torch.rand(rows, LATENT_DIM, generator=generator)
    action = torch.rand(rows, ACTION_DIM, generator=generator) * 2 - 1
    return z, action, torch.zeros(rows, dtype=torch.int64)


def _q(model: Any, rows: int = _ROWS, target: bool = False) -> Tensor:
    """What every network says, [num_q, rows, ...]."""
    with torch.no_grad():
        return torch.as_tensor(model.Q(*_inputs(rows), return_type="all", target=target)).clone()


def _members(ensemble: Any) -> list[nn.Module]:
    """The member networks. Raises Unobservable where the ensemble has none that can be asked by themselves."""
    members = getattr(ensemble, "_Qs", None)
    if not isinstance(members, (nn.ModuleList, list)) or not all(isinstance(m, nn.Module) for m in members):
        raise Unobservable(f"{type(ensemble).__name__} has no list _Qs of networks")
    return list(members)


def _model(subject: Subject, **settings: Any) -> Any:
    model = subject.model(subject.config(num_q=_NETWORKS, **settings))
    randomise(model)
    for owner in ("_Qs.online", "_Qs.target"):
        if not hasattr(model._Qs, owner.rpartition(".")[2]):
            raise Unobservable(f"the tree's world model has no {owner}")
    return model


def q_ensemble(subject: Subject) -> list[Observation]:
    """One batched call, with the values and gradients of one call per network."""
    model = _model(subject)
    model.eval()
    members = _members(model._Qs.online)
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    hooks = [member.register_forward_pre_hook(count) for member in members]
    together = _q(model)
    for hook in hooks:
        hook.remove()
    what = f"calls of member networks for one answer of {_NETWORKS} networks"
    found = [decided("q-ensemble", what, "1", str(calls), calls <= 1, calls == _NETWORKS)]
    found.append(_same("values", _q(model), _one_by_one(model, members)))
    with torch.no_grad():
        for parameter in model._Qs.online.parameters():
            parameter.add_(0.1)
    moved = _q(model)
    if torch.allclose(moved, together):
        return [*found, judged("q-ensemble", "values after the weights have changed", "others", "the same")]
    return [
        *found,
        _same("values after the weights have changed", moved, _one_by_one(model, members)),
        _gradients(model),
    ]


def _one_by_one(model: Any, members: list[nn.Module]) -> Tensor:
    z, action, _ = _inputs(_ROWS)
    with torch.no_grad():
        return torch.stack([member(torch.cat([z, action], dim=-1)) for member in members])


def _same(what: str, together: Tensor, apart: Tensor) -> Observation:
    expected = "as from one network after the other"
    if together.shape != apart.shape:
        return judged("q-ensemble", what, expected, f"of the shape {list(together.shape)}, not {list(apart.shape)}")
    error = float((together - apart).abs().max() / apart.abs().max().clamp(min=1e-8))
    return judged("q-ensemble", what, expected, expected if error < 1e-4 else f"off by {error:.1e}")


def _gradients(model: Any) -> Observation:
    """Whether what an optimiser holds learns through the ensemble as it would through its members."""
    parameters = [p for p in model._Qs.online.parameters() if p.requires_grad]
    z, action, task = _inputs(_ROWS)
    weights = torch.randn(_NETWORKS, _ROWS, 1, generator=torch.Generator().manual_seed(4))
    outputs = (
        model.Q(z, action, task, return_type="all"),
        torch.stack([member(torch.cat([z, action], dim=-1)) for member in _members(model._Qs.online)]),
    )
    what, expected = "gradients of the networks' parameters", "as through one network after the other"
    if not outputs[0].requires_grad:
        return judged("q-ensemble", what, expected, "none")
    together, apart = (_flat((weights * out).sum(), parameters) for out in outputs)
    error = float((together - apart).norm() / apart.norm().clamp(min=1e-8))
    return judged("q-ensemble", what, expected, expected if error < 1e-3 else f"off by {error:.1e}")


def _flat(loss: Tensor, parameters: list[Tensor]) -> Tensor:
    """The gradient of a loss, in a row."""
    grads = torch.autograd.grad(loss, parameters, allow_unused=True)
    found = [torch.zeros_like(p) if grad is None else grad for grad, p in zip(grads, parameters, strict=True)]
    return torch.cat([grad.flatten() for grad in found])


def q_dropout(subject: Subject) -> list[Observation]:
    """Where units are dropped, how many, and where none are."""
    rate = getattr(subject.default_config(), "dropout", None)
    model = _model(subject, **({} if rate is None else {"dropout": rate}))
    members = _members(model._Qs.online)
    for member in members:
        member.train()
    shares = [_dropped(member) for member in members]
    what = (
        f"share of units dropped behind the first layer of a Q network, before its normalisation ({_MANY_ROWS} samples)"
    )
    low, high = min(shares), max(shares)
    seen = f"{low:.3f}" if f"{low:.3f}" == f"{high:.3f}" else f"{low:.3f} to {high:.3f}"
    near = all(abs(share - _REFERENCE_RATE) < 0.002 for share in shares)
    found = [
        decided(
            "q-dropout", what, f"{_REFERENCE_RATE:.3f}", f"{_REFERENCE_RATE:.3f}" if near else seen, near, high == 0
        )
    ]
    return [*found, *_dropout_modes(subject, rate is not None)]


def dropout_while_training(subject: Subject) -> list[Observation]:
    """The modes that switch dropout on and off: in an update, and behind it."""
    rig = Rig(subject)
    update = rig.update()
    modes = {True: "training mode", False: "evaluation mode"}
    during, after = update.model_loss().training, bool(rig.agent.model._Qs.online.training)
    return [
        judged("q-dropout", "mode of the online networks in an update", modes[True], modes[during]),
        judged("q-dropout", "mode of the online networks after it, when they plan", modes[False], modes[after]),
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


def _dropped(member: nn.Module) -> float:
    """The share of the first layer's outputs that reach its normalisation as 0, while the others are scaled up."""
    linear = next((m for m in member.modules() if isinstance(m, nn.Linear)), None)
    z, action, _ = _inputs(_MANY_ROWS)
    x = torch.cat([z, action], dim=-1)
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
    model = _model(subject, **({"dropout": 0.5} if is_setting else {}))
    model.train()
    found = [
        _noise("online networks in training mode", model, False, "noise"),
        _noise("target networks while the model is in training mode", model, True, "no noise"),
    ]
    model.eval()
    found += [_noise("online networks in evaluation mode", model, False, "no noise")]
    model.train()
    _copy_first(_members(model._Qs.online))
    outputs = _q(model)
    different = not torch.allclose(outputs[0], outputs[1])
    what = "units dropped in two networks of equal weights"
    return [
        *found,
        decided(
            "q-dropout",
            what,
            "different ones",
            "different ones" if different else "the same or none",
            different,
            not different,
        ),
    ]


def _noise(what: str, model: Any, target: bool, expected: str) -> Observation:
    seen = "no noise" if torch.equal(_q(model, target=target), _q(model, target=target)) else "noise"
    return judged("q-dropout", what, expected, seen, *(["no noise"] if expected == "noise" else []))


def _copy_first(members: list[nn.Module]) -> None:
    for member in members[1:]:
        member.load_state_dict(members[0].state_dict())


def target_q(subject: Subject) -> list[Observation]:
    """With compile=True: what the target networks say when their own weights are 0, and when the online ones change."""
    with _compiling() as compiler:
        model = _model(subject, compile=True)
    if not compiler.compiled and ".compile" in subject.text("layers"):
        return [unseen("target-q", "with compile=True nothing was compiled here, though its code can compile")]
    model.eval()
    with torch.no_grad():
        for parameter in model._Qs.target.parameters():
            parameter.zero_()
    target, online = _q(model, target=True), _q(model)
    equal = torch.allclose(target, online)
    seen = (
        "0"
        if not target.any()
        else "the online networks' values"
        if equal
        else f"up to {float(target.abs().max()):.3g}"
    )
    what = "what target networks say whose weights are all 0 (compile=True)"
    found = [judged("target-q", what, "0", seen, "the online networks' values")]
    with torch.no_grad():
        for parameter in model._Qs.online.parameters():
            parameter.mul_(2)
    stays = torch.equal(target, _q(model, target=True))
    seen = "nothing" if stays else "the target's answer"
    return [
        *found,
        judged(
            "target-q", "what changes in the target when the online weights do", "nothing", seen, "the target's answer"
        ),
    ]


@contextmanager
def _compiling() -> Iterator[Compiler]:
    """As on a GPU: functions are compiled, or rather wrapped, in trees that do so only there."""
    with Compiler() as compiler, cuda_claimed():
        yield compiler
