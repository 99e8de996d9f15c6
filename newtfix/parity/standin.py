"""Stand-ins for libraries that a tree imports and this Python lacks, so that what does not need them can be used."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

_INDISPENSABLE = {"torch", "numpy", "tensordict"}
_FOLDER = Path("written")  # in the scratch folder that a tree is run in


class Anything:
    """Can be called, subclassed, and asked for any attribute; gives more of its kind; as a path, a folder."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> Anything:
        return Anything()

    def __getattr__(self, name: str) -> Anything:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()

    def __fspath__(self) -> str:
        _FOLDER.mkdir(exist_ok=True)
        return str(_FOLDER.resolve())

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return ()


class AnyModule(ModuleType):
    def __getattr__(self, name: str) -> Anything:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()


class StandIns(MetaPathFinder, Loader):
    """Imports a tree's modules; a library that only the tree asks for and that is not installed gets a stand-in.

    `root` is the tree's folder, `names` the libraries that were replaced.
    """

    def __init__(self, root: Path) -> None:
        self.names: set[str] = set()
        self._root = root.resolve()
        sys.meta_path.append(self)

    def load(self, module: str) -> ModuleType:
        """The module, imported. Raises what its import raises, except for libraries that can be replaced."""
        while True:
            try:
                return importlib.import_module(module)
            except ModuleNotFoundError as error:
                library = (error.name or "").partition(".")[0]
                if not self._is_replaceable(library, error):
                    raise
                self.names.add(library)

    def _is_replaceable(self, library: str, error: ModuleNotFoundError) -> bool:
        """Not what is installed or indispensable, nor a module of the tree, nor what an installed library misses."""
        if not library or library in _INDISPENSABLE or library in self.names or _is_there(self._root, library):
            return False
        return place_in_tree(error, self._root, innermost=True) != "" and importlib.util.find_spec(library) is None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in self.names:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return AnyModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def _is_there(root: Path, name: str) -> bool:
    return name == root.name or (root / name).is_dir() or (root / f"{name}.py").is_file()


def place_in_tree(error: BaseException, root: Path, innermost: bool = False) -> str:
    """`file:line` of the last frame in the tree that an error came through, or ""; `innermost`: the error's own."""
    home = os.path.realpath(root)
    place = ""
    for file, line in _frames(error.__traceback__):
        real = os.path.realpath(file)
        if Path(real).is_relative_to(home):
            place = f"{Path(real).relative_to(home).as_posix()}:{line}"
        elif innermost:
            place = ""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}"
    return place


def _frames(traceback: TracebackType | None) -> list[tuple[str, int]]:
    frames = []
    while traceback:
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith("<"):
            frames.append((file, traceback.tb_lineno))
        traceback = traceback.tb_next
    return frames
