"""Stand-ins for libraries that a tree imports and this Python lacks, so that what does not need them can be used."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

_INDISPENSABLE = {"torch", "numpy", "tensordict"}
_FOLDER = Path("written")  # in the scratch folder that a tree is run in


_called: set[str] = set()


class Anything:
    """Can be called, subclassed, and asked for any attribute; gives more of its kind; as a path, a folder."""

    _library = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> Anything:
        _called.add(self._library)
        return _anything_of(self._library)

    def __getattr__(self, name: str) -> Anything:
        if name.startswith("__"):
            raise AttributeError(name)
        return _anything_of(self._library)

    def __fspath__(self) -> str:
        _FOLDER.mkdir(exist_ok=True)
        return str(_FOLDER.resolve())

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        """A base that takes any arguments and says that it was needed; none beside others, which it could hide."""
        if len(bases) > 1:
            return ()

        def __init__(one: Any, *args: Any, **kwargs: Any) -> None:
            _called.add(self._library)

        return (type("Replaced", (), {"__init__": __init__}),)


class AnyModule(ModuleType):
    def __getattr__(self, name: str) -> Anything:
        if name.startswith("__"):
            raise AttributeError(name)
        return _anything_of(self.__name__.partition(".")[0])


def _anything_of(library: str) -> Anything:
    found = Anything()
    found._library = library
    return found


class StandIns(MetaPathFinder, Loader):
    """Imports a tree's modules; a library that only the tree asks for and that is not installed gets a stand-in.

    `root` is the tree's folder, `places` says of the libraries that were replaced where the tree imports them.
    """

    def __init__(self, root: Path) -> None:
        self.places: dict[str, str] = {}
        self._root = root.resolve()
        sys.meta_path.append(self)

    def load(self, module: str) -> ModuleType:
        """The module, imported. Raises what its import raises, except for libraries that can be replaced."""
        while True:
            try:
                return importlib.import_module(module)
            except ModuleNotFoundError as error:
                if not self.replaces(error):
                    raise

    def replaces(self, error: ModuleNotFoundError) -> bool:
        """Whether the library that is missing has a stand-in from now on, so that it can be tried again.

        Not what is installed or indispensable, nor a module of the tree, nor what an installed library misses.
        """
        library = (error.name or "").partition(".")[0]
        if not library or library in _INDISPENSABLE or library in self.places or _is_there(self._root, library):
            return False
        place = place_in_tree(error, self._root, innermost=True)
        if not place or importlib.util.find_spec(library) is not None:
            return False
        self.places[library] = place
        return True

    @contextmanager
    def watched(self) -> Iterator[list[str]]:
        """The libraries whose stand-ins are called meanwhile, complete in the end."""
        _called.clear()
        called: list[str] = []
        try:
            yield called
        finally:
            called += sorted(_called & self.places.keys())

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in self.places:
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
