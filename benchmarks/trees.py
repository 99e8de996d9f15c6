"""newt_base with patches, imported beside it: what users train."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

from newtfix import testing

_FOLDER = tempfile.TemporaryDirectory(prefix="newtfix-benchmarks-")
NONE: frozenset[str] = frozenset()
ALL = frozenset(testing.load())
TRAINED = ("tdmpc2.py", *(f"common/{name}.py" for name in ("layers", "math", "scale", "world_model")))


@cache
def tree(ids: frozenset[str] = NONE) -> SimpleNamespace:
    """Modules of newt_base with these patches."""
    package = "newt_base" if not ids else _write(ids)
    names = ("config", "train", "tdmpc2", "common.world_model")
    return SimpleNamespace(**{name.rpartition(".")[2]: import_module(f"{package}.{name}") for name in names})


def trained() -> list[str]:
    """Patches that change what an update or a plan computes."""
    base = testing.base()
    return [name for name in testing.load() if any(_patched([name])[file] != base[file] for file in TRAINED)]


def _patched(ids: Iterable[str]) -> dict[str, str]:
    return testing.apply(testing.base(), *ids, patches=testing.load())


def _write(ids: frozenset[str]) -> str:
    name = f"patched_{abs(hash(ids)):x}"
    for file, text in _patched(ids).items():
        path = Path(_FOLDER.name, name, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if _FOLDER.name not in sys.path:
        sys.path.insert(0, _FOLDER.name)
    return name
