"""A patch file: how it is run, and the probes in it, or in the file beside it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

CONSEQUENCE = "consequence"
_PROBE = "probe"
_BESIDE = "_probe.py"


def run(path: Path, content: bytes) -> dict[str, Any]:
    """The names that a file defines. No byte code is written beside it."""
    module = ModuleType("newtfix_patch_file")
    module.__file__ = str(path)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.modules[module.__name__] = module
    try:
        exec(compile(content, str(path), "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]
        sys.dont_write_bytecode = before
    return module.__dict__


def is_patch(name: str, names: Collection[str]) -> bool:
    """Whether a file of a folder with these is a patch: those that begin with _, and those beside one, are not."""
    named = name.endswith(".py") and "/" not in name and not name.startswith("_")
    return named and not (name.endswith(_BESIDE) and f"{name.removesuffix(_BESIDE)}.py" in names)


def beside(name: str) -> str:
    """The name of the file with the probes of a patch, where they are not in its own."""
    return f"{name.removesuffix('.py')}{_BESIDE}"


def probes(namespace: Mapping[str, Any]) -> list[Callable[..., Any]]:
    """The functions whose names begin with `probe`, in the order of the file."""
    return [value for name, value in namespace.items() if isinstance(value, FunctionType) and name.startswith(_PROBE)]


def tells(name: str) -> bool:
    """Whether a function of a patch file looks at trees, and does nothing to them."""
    return name == CONSEQUENCE or name.startswith(_PROBE)
