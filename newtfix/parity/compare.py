"""Recorded against computed: one row per quantity, and the patches that a row which differs may be waiting for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from newtfix.parity.fixture import Array, Fixture
from newtfix.parity.layout import ACTOR, LOSSES

# Differences below this, absolutely, count as none beside a recorded zero.
_TINY = 1e-8


@dataclass(frozen=True)
class Row:
    """A quantity: its value, or the L2 norm of an array of `shape`, as recorded and as computed.

    `relative_error` is the largest difference over the largest recorded magnitude; None: nothing to compare.
    `waits_for` are the patches that this quantity depends on and the tree lacks, the most specific first.
    """

    name: str
    group: str
    shape: tuple[int, ...]
    recorded: float | None
    computed: float | None
    relative_error: float | None
    ok: bool
    error: str = ""
    waits_for: tuple[str, ...] = ()


def compare(fixture: Fixture, computed: Mapping[str, Array], errors: Mapping[str, str], tol: float) -> list[Row]:
    """One row per recorded result, in the recording's order."""
    titles = {name: group.title for group in fixture.groups for name in group.results}
    return [
        _row(name, titles[name], recorded, computed.get(name), errors.get(name, ""), tol)
        for name, recorded in fixture.results.items()
    ]


def waiting(rows: Collection[Row], fixture: Fixture, lacking: Collection[str]) -> list[Row]:
    """The rows, each that is not ok with those of its patches that are lacking."""
    threshold = float(fixture.settings.get("scale_threshold", 0.0))
    return [
        row
        if row.ok
        else replace(row, waits_for=tuple(name for name in patches_of(row.name, threshold) if name in lacking))
        for row in rows
    ]


def patches_of(name: str, threshold: float) -> tuple[str, ...]:
    """The patches that a quantity depends on, the most specific first; past the scale `threshold` the prior counts."""
    match = ACTOR.fullmatch(name)
    if match:
        weighed = match["mode"] == "residual" and match["part"] in ("pi_loss", "grad_norm")
        prior = ("prior-norm",) if weighed and float(match["scale"]) > threshold else ()
        return (*prior, "actor-modes", "rho")
    if name in LOSSES:
        return ("rho",)
    if name in ("pi_log_prob", "log_pi_action", "scale_order/before", "scale_order/after"):
        return ("actor-modes",)
    if name.startswith("scale_order/"):
        return ("scale-order", "prior-norm", "actor-modes", "rho")
    return ()


def _row(name: str, group: str, recorded: Array, computed: Array | None, error: str, tol: float) -> Row:
    row = Row(name, group, recorded.shape, _summary(recorded), None, None, False, error)
    if not np.isfinite(recorded).all():
        return replace(row, error="the recording holds numbers that are not finite")
    if computed is None:
        return replace(row, error=error or "missing: the tree computes nothing of this name")
    if _without_ones(computed) != _without_ones(recorded):
        return replace(row, error=f"its shape is {list(computed.shape)}, the recorded one {list(recorded.shape)}")
    row = replace(row, computed=_summary(computed))
    if not np.isfinite(computed).all():
        return replace(row, error="it is not finite")
    relative = relative_error(recorded, computed.reshape(recorded.shape))
    return replace(row, relative_error=relative, ok=relative <= tol)


def relative_error(recorded: Array, computed: Array) -> float:
    """The largest difference over the largest recorded magnitude, in double precision."""
    wanted, found = recorded.astype(np.float64), computed.astype(np.float64)
    difference = float(np.abs(wanted - found).max(initial=0.0))
    return difference / max(float(np.abs(wanted).max(initial=0.0)), _TINY) if difference else 0.0


def _summary(array: Array) -> float | None:
    """The value of a single number, the L2 norm of an array; None where it is not finite."""
    values = array.astype(np.float64)
    value = float(values.item()) if array.ndim == 0 or array.size == 1 else float(np.sqrt((values**2).sum()))
    return value if np.isfinite(value) else None


def _without_ones(array: Array) -> list[int]:
    return [size for size in array.shape if size != 1]


def lacked(rows: Collection[Row]) -> tuple[str, ...]:
    """All patches that rows wait for, the most specific first."""
    return tuple(dict.fromkeys(_all(rows)))


def _all(rows: Collection[Row]) -> Iterator[str]:
    for row in rows:
        yield from row.waits_for
