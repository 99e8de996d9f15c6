"""Reads a recording and checks that it is one: every array there, numeric, of the shape that the others imply."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from newtfix.errors import UsageError
from newtfix.parity.layout import ACTOR, ARCHITECTURE, MODES, SHAPES, SIZES, Group, groups_of, kind_of, weight_shapes

Array = NDArray[Any]
_WHOLE = {*SIZES.values(), "enc_dim", "mlp_dim", "num_enc_layers", "simnorm_dim", "batch_size", "true_action_dim"}
_MAY_BE_ZERO = "num_bins"
_HINT = "A recording holds cfg/, w/, in/ and out/ arrays as docs/parity.md lists them; record it again."


@dataclass(frozen=True)
class Fixture:
    """A recording: its arrays by key (`cfg/rho`, `w/_pi.0.weight`, `in/obs`, `out/encode`, …), checked.

    `groups` are the results to compare; `ignored` are results that nothing here can compute.
    """

    path: Path
    arrays: Mapping[str, Array]
    groups: tuple[Group, ...]
    ignored: tuple[str, ...]

    @property
    def kind(self) -> str:
        return kind_of(self.arrays)

    @property
    def settings(self) -> dict[str, int | float]:
        """The `cfg/` entries as plain numbers."""
        found = {key[4:]: self.arrays[key].item() for key in self.arrays if key.startswith("cfg/")}
        return {name: int(value) if name in _WHOLE else value for name, value in found.items()}

    @property
    def results(self) -> dict[str, Array]:
        """The recorded results by name, in the order of the groups."""
        return {name: self.arrays[f"out/{name}"] for group in self.groups for name in group.results}


def read_fixture(path: Path) -> Fixture:
    """Read and check a recording. Raises UsageError with the first key that is missing or does not fit."""
    arrays = _read(path)
    try:
        groups = _check(arrays)
    except UsageError as problem:
        problem.message = f"{path}: {problem.message}"
        problem.hint = problem.hint or _HINT
        raise
    known = {f"out/{name}" for group in groups for name in group.results}
    ignored = tuple(key for key in arrays if key.startswith("out/") and key not in known)
    return Fixture(path, arrays, groups, ignored)


def _read(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as file:
            return _arrays(path, file)
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}", hint="Give a recording: newtfix parity FIXTURE.npz") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}", hint=_HINT) from error


def _arrays(path: Path, file: BinaryIO) -> dict[str, Array]:
    try:
        loaded = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        said = "" if "pickle" in str(error) else _first_line(error)  # numpy takes any text for a pickle
        raise UsageError(f"{path} is not an npz file", where=said, hint=_HINT) from error
    if not isinstance(loaded, np.lib.npyio.NpzFile):
        raise UsageError(f"{path} holds a single array; a recording is an npz file with many", hint=_HINT)
    with loaded:
        return {key: _array(path, loaded, key) for key in loaded.files}


def _array(path: Path, loaded: Any, key: str) -> Array:
    try:
        array = loaded[key]
    except ValueError as error:
        pickled = "is pickled, which is not read: it could run code" if "pickle" in str(error) else "cannot be read"
        raise UsageError(f"{path}: {key} {pickled}", where=_first_line(error), hint=_HINT) from error
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UsageError(f"{path}: {key} cannot be read", where=_first_line(error), hint=_HINT) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise UsageError(f"{path}: {key} is not an array of numbers", hint=_HINT)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _check(arrays: Mapping[str, Array]) -> tuple[Group, ...]:
    for name in ARCHITECTURE:
        _must_have(arrays, f"cfg/{name}", "every recording has it")
    for key in arrays:
        if key.startswith("cfg/"):
            _check_setting(key, arrays[key])
        elif key.startswith(("in/", "w/")) and not np.isfinite(arrays[key]).all():
            raise UsageError(f"{key} holds numbers that are not finite")
    cfg = {name: int(arrays[f"cfg/{name}"].item()) for name in ARCHITECTURE if name in _WHOLE}
    if cfg["latent_dim"] % cfg["simnorm_dim"]:
        raise UsageError(f"cfg/latent_dim={cfg['latent_dim']} is no multiple of cfg/simnorm_dim={cfg['simnorm_dim']}")
    for key, shape in weight_shapes(cfg):
        _must_have(arrays, key, "the settings imply this weight")
        _must_have_shape(arrays, key, shape, "the settings imply")
    groups = tuple(groups_of(arrays))
    for group in groups:
        for key in (*group.needs, *(f"out/{name}" for name in group.results)):
            _must_have(arrays, key, f"{group.title} ({', '.join(group.results)}) cannot do without it")
    _check_shapes(arrays, _sizes(arrays, cfg))
    _check_indices(arrays, cfg["num_q"])
    return groups


def _must_have(arrays: Mapping[str, Array], key: str, why: str) -> None:
    if key not in arrays:
        raise UsageError(f"{key} is missing", where=why)


def _must_have_shape(arrays: Mapping[str, Array], key: str, wanted: tuple[int, ...], why: str) -> None:
    found = arrays[key].shape
    if found != wanted and not (wanted == () and arrays[key].size == 1):
        raise UsageError(f"{key} has the shape {list(found)}; {why} {list(wanted)}")


def _check_setting(key: str, value: Array) -> None:
    name = key.removeprefix("cfg/")
    if value.size != 1:
        raise UsageError(f"{key} has the shape {list(value.shape)}; a setting is one number")
    if not np.isfinite(value).all():
        raise UsageError(f"{key} is {value.item()}")
    if name in _WHOLE and (value.item() != int(value.item()) or value.item() < (name != _MAY_BE_ZERO)):
        raise UsageError(f"{key} is {value.item()}; it counts something")


def _sizes(arrays: Mapping[str, Array], cfg: Mapping[str, int]) -> dict[str, int]:
    """The number that every letter in the table of shapes stands for, as far as the recording has it."""
    sizes = {letter: cfg[name] for letter, name in SIZES.items()} | {"K": max(cfg["num_bins"], 1), "1": 1, "2": 2}
    if "cfg/batch_size" in arrays:
        sizes["B"] = int(arrays["cfg/batch_size"].item())
    for letter, key, axis in (
        ("B", "in/obs", 1),
        ("N", "in/plan_actions", 1),
        ("M", "in/two_hot_x", 0),
        ("L", "in/two_hot_logits", 0),
    ):
        if key in arrays and arrays[key].ndim > axis:
            sizes.setdefault(letter, arrays[key].shape[axis])
    return sizes | {"H+1": sizes["H"] + 1}


def _check_shapes(arrays: Mapping[str, Array], sizes: Mapping[str, int]) -> None:
    for key in arrays:
        letters = SHAPES.get(key)
        if letters is not None and all(letter in sizes for letter in letters.split()):
            wanted = tuple(sizes[letter] for letter in letters.split())
            _must_have_shape(arrays, key, wanted, f"[{', '.join(letters.split())}] is")
        elif letters is not None:
            raise UsageError(f"{key} has the shape {list(arrays[key].shape)}; it should be [{letters}]")
        elif key.endswith("_loss") or ACTOR.fullmatch(key.removeprefix("out/")) or key.startswith("out/scale_order/"):
            _must_have_shape(arrays, key, (), "it should be a single number,")


def _check_indices(arrays: Mapping[str, Array], num_q: int) -> None:
    for key in arrays:
        if SHAPES.get(key) == "2":
            indices = arrays[key].tolist()
            if arrays[key].dtype.kind not in "iu" or not all(0 <= index < num_q for index in indices):
                raise UsageError(f"{key} is {indices}; it should name two of {num_q} Q networks, counted from 0")
    for key in arrays:
        match = ACTOR.fullmatch(key.removeprefix("out/"))
        if match and match["mode"] not in MODES:
            raise UsageError(f"{key}: the mode {match['mode']!r} is none of {', '.join(MODES)}")
        if match and not _is_positive(match["scale"]):
            raise UsageError(f"{key}: the scale {match['scale']!r} is no number above 0")


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False
