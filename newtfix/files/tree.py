"""Reads a tree of source files: texts for the engine, bytes and modes for whoever writes."""

from __future__ import annotations

import errno
import os
import re
import shlex
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from newtfix.errors import TreeError
from newtfix.files import inside, kept
from newtfix.files.nesting import DEEPEST, is_too_deep, make_room

OWN_FOLDER = ".newtfix"
_SKIPPED = frozenset({"__pycache__", "logs", "wandb", "node_modules", "build", "dist", "venv", "site-packages"})
_ENTRY_FILES = ("train.py", "trainer.py", "tdmpc2.py")
_IMPORT = re.compile(r"^[ \t]*from +(\.*)([\w.]*) +import\b", re.MULTILINE)
_PYTHON = "pyvenv.cfg"  # in the folder of a virtual environment
_BOM = b"\xef\xbb\xbf"
SOURCE_LIMIT = 4 * inside.MEBIBYTE  # of one file
_FILES = 20_000


@dataclass(frozen=True)
class Tree:
    """A tree as it lies on the disk.

    `sources` maps relative posix paths to text with the file's own newlines, without a byte order mark.
    A file that is not UTF-8 is there too, read as Latin-1 and named in `foreign`: it must not be written. `left` are
    files that have no text, and why: links that lead out of the tree, what is no regular file, what is too large, or
    nested too deeply for a parser; of the last, `raw` has the bytes.
    """

    root: Path
    sources: Mapping[str, str]
    raw: Mapping[str, bytes]
    modes: Mapping[str, int]
    foreign: frozenset[str] = frozenset()
    left: Mapping[str, str] = field(default_factory=dict)


def decode(raw: bytes) -> str:
    """The text of a file, without its byte order mark and with its newlines as they are."""
    return raw.removeprefix(_BOM).decode("utf-8")


def encode(text: str, like: bytes) -> bytes:
    """The bytes of `text` in a file that held `like`: a byte order mark is kept."""
    return (_BOM if like.startswith(_BOM) else b"") + text.encode("utf-8")


def read_tree(root: Path) -> Tree:
    """All Python files below `root`, and the yaml settings in `root` itself; links are not followed."""
    must_be_folder(root)
    raw: dict[str, bytes] = {}
    modes: dict[str, int] = {}
    left: dict[str, str] = {}
    try:
        for folder in _folders(root, left):
            _read_folder(root, folder, raw, modes, left)
    except OSError as error:
        raise _unreadable(error.filename or root, error) from error
    sources, foreign = _decoded(raw)
    make_room()
    for name in kept.value(
        "deep", listed(sources), lambda: sorted(filter(lambda one: is_too_deep(sources[one]), sources))
    ):
        left[name] = f"its code is nested more than {DEEPEST} deep"
        del sources[name]
    _must_hold_the_tree_itself(root, raw, sources)
    return Tree(root, sources, raw, modes, foreign, left)


def listed(sources: Mapping[str, str]) -> Iterator[str]:
    """The names and texts of files, as `kept.value` takes them."""
    for name in sorted(sources):
        yield from (name, sources[name])


def is_source_name(path: str) -> bool:
    """Whether a path is one of a file that `read_tree` would read, and that may be written: nothing hidden."""
    *folders, name = path.split("/")
    return inside.is_normal(path) and not any(map(_is_skipped, folders)) and _is_source(name, top=not folders)


def _decoded(raw: Mapping[str, bytes]) -> tuple[dict[str, str], frozenset[str]]:
    """The texts, and the names of those that are not UTF-8."""
    sources: dict[str, str] = {}
    foreign: set[str] = set()
    for name, content in raw.items():
        try:
            sources[name] = decode(content)
        except UnicodeDecodeError:
            sources[name] = content.decode("latin-1")
            foreign.add(name)
    return sources, frozenset(foreign)


def copy_names(folder: str, names: list[str]) -> set[str]:
    """What to leave out of a copy of a tree, as `shutil.copytree` asks for it."""
    return {name for name in names if _is_skipped(name) or name.endswith(".pyc")}


def _folders(root: Path, left: dict[str, str]) -> Iterator[str]:
    """The folders to read, by their paths in the tree, the top first."""
    pending = [""]
    while pending:
        path = pending.pop()
        with inside.folder(root, path) as at:
            below = [name for name in os.listdir(at) if stat.S_ISDIR(_kind(name, at)) and not _is_skipped(name)]
            if _PYTHON in os.listdir(at) and path:
                continue
        yield path
        for name in sorted(below):
            if _breaks(name):
                left[f"{path}/{name}" if path else name] = "its name has a line break in it"
            else:
                pending.append(f"{path}/{name}" if path else name)


def _read_folder(root: Path, folder: str, raw: dict[str, bytes], modes: dict[str, int], left: dict[str, str]) -> None:
    """Read the sources of a folder, and say why others of that name are left out."""
    with inside.folder(root, folder) as at:
        for name in sorted(os.listdir(at)):
            path = f"{folder}/{name}" if folder else name
            kind = _kind(name, at)
            if stat.S_ISDIR(kind) or not (_is_source(name, top=not folder) or _is_way_out(root, path, kind)):
                continue
            if not stat.S_ISREG(kind) or _breaks(name):
                if reason := _reason(root, path, kind):
                    left[path] = reason
                continue
            try:
                raw[path] = inside.read_at(name, at, root / path, SOURCE_LIMIT)
            except OSError as problem:
                if problem.errno != errno.EFBIG:
                    raise
                left[path] = problem.strerror or str(problem)
            else:
                modes[path] = stat.S_IMODE(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode)
            if len(raw) > _FILES:
                raise TreeError(
                    f"{root} has more than {_FILES} Python files, so it is no newt-style tree",
                    hint="Give the folder that holds trainer.py with --tree DIR.",
                )


def _kind(name: str, at: int) -> int:
    try:
        return os.stat(name, dir_fd=at, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def _reason(root: Path, path: str, kind: int) -> str:
    """Why something that is called like a source is not read; nothing where that need not be said."""
    if _breaks(path):
        return "its name has a line break in it"
    if stat.S_ISLNK(kind):
        return "it is a link that leads out of the tree" if _is_way_out(root, path, kind) else ""
    return "it is no regular file" if kind else ""


def _is_way_out(root: Path, path: str, kind: int) -> bool:
    """Whether this is a link to something that is there, outside; what a link inside leads to is read where it is."""
    if not stat.S_ISLNK(kind) or _is_skipped(PurePosixPath(path).name):
        return False
    target = Path(os.path.realpath(root / path))
    return not target.is_relative_to(os.path.realpath(root)) and (
        target.is_dir() or _is_source(PurePosixPath(path).name, top="/" not in path)
    )


def _breaks(name: str) -> bool:
    return len(name.splitlines()) > 1 or name.endswith(("\n", "\r"))


def _is_source(name: str, top: bool) -> bool:
    return name.endswith(".py") or (top and name.endswith((".yaml", ".yml")))


def _is_skipped(name: str) -> bool:
    return name.startswith(".") or name in _SKIPPED or name.endswith(".egg-info")


def must_be_folder(root: Path) -> None:
    try:
        mode = root.stat().st_mode
    except FileNotFoundError:
        raise TreeError(
            f"there is no folder {root}",
            hint="Give the folder that holds trainer.py with --tree DIR, or leave --tree out to use ./newt_patched.",
        ) from None
    except OSError as error:
        raise _unreadable(root, error) from error
    if not stat.S_ISDIR(mode):
        raise TreeError(
            f"{root} is a file, not a folder",
            hint=f"Give the folder that holds it: --tree {shlex.quote(str(root.parent))}",
        )


def _must_hold_the_tree_itself(root: Path, raw: Mapping[str, bytes], sources: Mapping[str, str]) -> None:
    """Raise TreeError where a folder further down is the tree: the entry files are there, with all that they import."""
    found = Counter(folder for folder, _, name in (path.rpartition("/") for path in raw) if name in _ENTRY_FILES)
    if not found or found[""]:
        return
    nearest = min(folder.count("/") for folder in found)
    most = max(entries for folder, entries in found.items() if folder.count("/") == nearest)
    below = sorted(folder for folder in found if folder.count("/") == nearest and found[folder] == most)
    entries = [f"{below[0]}/{name}" for name in _ENTRY_FILES]
    if any(_imports_from_beside(path, sources) for path in entries if path in sources):
        return
    raise TreeError(
        f"no newt-style tree directly in {root}, but further down in {', '.join(below)}",
        hint=f"Give that folder: --tree {shlex.quote(str(root / below[0]))}",
    )


def _imports_from_beside(path: str, sources: Mapping[str, str]) -> bool:
    """Whether a file imports from folders that its own one does not hold."""
    own = path.rpartition("/")[0]
    for dots, name in _IMPORT.findall(sources[path]):
        if len(dots) > 1:
            return True
        if not dots and any(one in sources for one in _as_files(name)):
            return not any(f"{own}/{one}" in sources for one in _as_files(name))
    return False


def _as_files(module: str) -> tuple[str, str]:
    return f"{module.replace('.', '/')}.py", f"{module.replace('.', '/')}/__init__.py"


def _unreadable(path: Path | str, error: OSError) -> TreeError:
    reason = error.strerror or str(error)
    return TreeError(f"cannot read {path}: {reason}", hint="Check its permissions, or give another folder with --tree.")
