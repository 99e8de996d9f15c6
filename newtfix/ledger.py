"""What newtfix remembers of a tree, in `.newtfix/` inside it: the patches that are in, and the bytes from before."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from newtfix import __version__
from newtfix.errors import TreeError
from newtfix.model import Patch
from newtfix.tree import OWN_FOLDER
from newtfix.write import Change, digest

LEDGER = f"{OWN_FOLDER}/ledger.json"
_PRISTINE = f"{OWN_FOLDER}/pristine"
_GENERATED = f"{OWN_FOLDER}/generated"
_IGNORE = f"{OWN_FOLDER}/.gitignore"
_IGNORE_ALL = b"*\n"
_SCHEMA = 2
_READABLE = (1, 2)  # 1: no edits were merged, so what was generated is what was written


@dataclass(frozen=True)
class Entry:
    """Digests (SHA-256) of a patched file.

    `pristine`: of the bytes before any patch. `generated`: of what the patches alone make of these. `written`: of the
    bytes that newtfix last put on the disk, with the edits of others that it merged.
    """

    pristine: str
    generated: str
    written: str


@dataclass(frozen=True)
class Ledger:
    """`applied` are the patches whose edits are in, in order; `requested` those that were asked for by name.

    `completed` are those that may fill in what a tree has in part; `definitions` the fingerprints of the applied ones.
    """

    applied: tuple[str, ...]
    requested: tuple[str, ...]
    patches: tuple[str, ...]
    files: Mapping[str, Entry]
    completed: tuple[str, ...] = ()
    definitions: Mapping[str, str] = field(default_factory=dict)
    version: str = __version__


def read_ledger(root: Path) -> Ledger | None:
    """The ledger of the tree; None: newtfix has nothing in it."""
    path = root / LEDGER
    try:
        data = json.loads(path.read_bytes())
        if data["schema"] not in _READABLE:
            raise _unusable(path, f"it has schema {data['schema']}, this version of newtfix reads up to {_SCHEMA}")
        return _from_json(data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unusable(path, f"{type(error).__name__}: {error}") from error


def pristine_bytes(root: Path, ledger: Ledger, path: str) -> bytes:
    """The bytes of a patched file from before any patch."""
    kept = root / _PRISTINE / path
    try:
        content = kept.read_bytes()
    except OSError as error:
        raise _unusable(kept, error.strerror or str(error)) from error
    if digest(content) != ledger.files[path].pristine:
        raise _unusable(kept, "it is not what newtfix put there")
    return content


def generated_bytes(root: Path, ledger: Ledger, path: str) -> bytes | None:
    """What the patches alone made of a file; None: it is not kept, as in records of schema 1."""
    try:
        content = (root / _GENERATED / path).read_bytes()
    except OSError:
        return None
    return content if digest(content) == ledger.files[path].generated else None


def kept_generated(path: str) -> str:
    """Where in the tree the bytes of `generated_bytes` lie."""
    return f"{_GENERATED}/{path}"


def edited_files(ledger: Ledger, raw: Mapping[str, bytes]) -> tuple[str, ...]:
    """Patched files that carry edits of others: they are not what the patches alone made of them."""
    return tuple(
        path for path, entry in sorted(ledger.files.items()) if path not in raw or digest(raw[path]) != entry.generated
    )


def fingerprint(patch: Patch) -> str:
    """What tells a changed patch: its code, whatever its comments, layout and docstring."""
    try:
        module = ast.parse(Path(patch.origin).read_bytes())
    except (OSError, ValueError, SyntaxError):
        return ""
    if ast.get_docstring(module, clean=False) is not None:
        module.body = module.body[1:]
    return digest(ast.dump(module).encode())


def ledger_changes(
    root: Path, new: Ledger | None, pristine: Mapping[str, bytes], generated: Mapping[str, bytes]
) -> list[Change]:
    """What has to be written so that `.newtfix/` says `new`.

    `pristine` and `generated` are the bytes of its files before any patch, and as the patches alone make them. The
    folder hides itself from git when it appears; who removes that file keeps the record in git.
    """
    present = {path.relative_to(root).as_posix(): path.read_bytes() for path in _kept_files(root)}
    wanted = {LEDGER: _to_json(new)} if new else {}
    wanted |= {f"{_PRISTINE}/{path}": pristine[path] for path in sorted(new.files if new else ())}
    wanted |= {f"{_GENERATED}/{path}": generated[path] for path in sorted(new.files if new else ())}
    if new and (LEDGER not in present or _IGNORE in present):
        wanted[_IGNORE] = present.get(_IGNORE, _IGNORE_ALL)
    return [
        Change(path, present.get(path), wanted.get(path))
        for path in sorted(present.keys() | wanted.keys())
        if present.get(path) != wanted.get(path)
    ]


def _kept_files(root: Path) -> list[Path]:
    kept = [path for folder in (_PRISTINE, _GENERATED) for path in (root / folder).rglob("*") if path.is_file()]
    return [*kept, *(root / name for name in (LEDGER, _IGNORE) if (root / name).is_file())]


def _to_json(ledger: Ledger) -> bytes:
    return (json.dumps({"schema": _SCHEMA, **asdict(ledger)}, indent=2) + "\n").encode()


def _from_json(data: Mapping[str, Any]) -> Ledger:
    files = {
        _inside(path): Entry(entry["pristine"], entry.get("generated", entry["written"]), entry["written"])
        for path, entry in data["files"].items()
    }
    applied, requested, patches = (tuple(map(str, data[key])) for key in ("applied", "requested", "patches"))
    completed = tuple(map(str, data.get("completed", ())))
    return Ledger(applied, requested, patches, files, completed, dict(data.get("definitions", {})), data["version"])


def _inside(path: str) -> str:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"{path} leads out of the tree")
    return path


def _unusable(path: Path, reason: str) -> TreeError:
    return TreeError(
        f"newtfix's record of this tree cannot be used: {reason}",
        where=str(path),
        hint=f"Nothing was changed. Restore {path.name} (from version control, say), or use the newtfix that wrote it. "
        f"The files from before the patches are in {OWN_FOLDER}/pristine.",
    )
