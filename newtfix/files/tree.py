"""Reads a tree of source files: texts for the engine, bytes and modes for whoever writes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from newtfix.errors import TreeError

OWN_FOLDER = ".newtfix"
_SKIPPED = frozenset({"__pycache__", "logs", "wandb", "node_modules", "build", "dist", "venv", "site-packages"})
_ENTRY_FILES = ("train.py", "trainer.py", "tdmpc2.py")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Tree:
    """A tree as it lies on the disk.

    `sources` maps relative posix paths to text with the file's own newlines, without a byte order mark.
    A file that is not UTF-8 is there too, read as Latin-1 and named in `foreign`: it must not be written.
    """

    root: Path
    sources: Mapping[str, str]
    raw: Mapping[str, bytes]
    modes: Mapping[str, int]
    foreign: frozenset[str] = frozenset()


def decode(raw: bytes) -> str:
    """The text of a file, without its byte order mark and with its newlines as they are."""
    return raw.removeprefix(_BOM).decode("utf-8")


def encode(text: str, like: bytes) -> bytes:
    """The bytes of `text` in a file that held `like`: a byte order mark is kept."""
    return (_BOM if like.startswith(_BOM) else b"") + text.encode("utf-8")


def read_tree(root: Path) -> Tree:
    """All Python files below `root`, and the yaml settings in `root` itself."""
    _must_be_folder(root)
    sources: dict[str, str] = {}
    raw: dict[str, bytes] = {}
    modes: dict[str, int] = {}
    foreign: set[str] = set()
    try:
        for path in _source_files(root):
            name = path.relative_to(root).as_posix()
            raw[name], modes[name] = path.read_bytes(), stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise _unreadable(error.filename or root, error) from error
    for name, content in raw.items():
        try:
            sources[name] = decode(content)
        except UnicodeDecodeError:
            sources[name] = content.decode("latin-1")
            foreign.add(name)
    _must_not_be_one_level_up(root, raw)
    return Tree(root, sources, raw, modes, frozenset(foreign))


def copy_names(folder: str, names: list[str]) -> set[str]:
    """What to leave out of a copy of a tree, as `shutil.copytree` asks for it."""
    return {name for name in names if _is_skipped(Path(folder, name)) or name.endswith(".pyc")}


def _source_files(root: Path) -> Iterator[Path]:
    """Every file to read, once: links are followed only where they lead out of the tree."""
    home = _real(root)
    seen, pending = {home}, [root]
    while pending:
        folder = pending.pop()
        for path in sorted(folder.iterdir()):
            if path.is_symlink() and _real(path).is_relative_to(home):
                continue
            if path.is_dir():
                if not _is_skipped(path) and _real(path) not in seen:
                    seen.add(_real(path))
                    pending.append(path)
            elif _is_source(path, top=folder == root) and path.is_file():
                yield path


def _real(path: Path) -> Path:
    """As `Path.resolve`, but a link that leads to itself is no error."""
    return Path(os.path.realpath(path))


def _is_source(path: Path, top: bool) -> bool:
    return path.suffix == ".py" or (top and path.suffix in {".yaml", ".yml"})


def _is_skipped(path: Path) -> bool:
    name = path.name
    if name.startswith(".") or name in _SKIPPED or name.endswith(".egg-info"):
        return True
    return os.path.lexists(path / "pyvenv.cfg")


def _must_be_folder(root: Path) -> None:
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
        raise TreeError(f"{root} is a file, not a folder", hint=f"Give the folder that holds it: --tree {root.parent}")


def _must_not_be_one_level_up(root: Path, raw: Mapping[str, bytes]) -> None:
    if any(name in raw for name in _ENTRY_FILES):
        return
    below = sorted({path.split("/")[0] for path in raw if path.count("/") == 1 and path.split("/")[1] in _ENTRY_FILES})
    if below:
        raise TreeError(
            f"no newt-style tree directly in {root}, but one level down in {', '.join(below)}",
            hint=f"Give that folder: --tree {root / below[0]}",
        )


def _unreadable(path: Path | str, error: OSError) -> TreeError:
    reason = error.strerror or str(error)
    return TreeError(f"cannot read {path}: {reason}", hint="Check its permissions, or give another folder with --tree.")
