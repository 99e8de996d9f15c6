"""What newtfix remembers of a tree, in `.newtfix/` inside it: the patches that are in, and the bytes from before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from newtfix import __version__
from newtfix.errors import TreeError
from newtfix.tree import OWN_FOLDER
from newtfix.write import Change, digest

LEDGER = f"{OWN_FOLDER}/ledger.json"
_PRISTINE = f"{OWN_FOLDER}/pristine"
_SCHEMA = 1


@dataclass(frozen=True)
class Entry:
    """Digests (SHA-256) of a patched file: of the bytes before any patch, and of those last written."""

    pristine: str
    written: str


@dataclass(frozen=True)
class Ledger:
    """`applied` are the patches whose edits are in, in order; `requested` those that were asked for by name."""

    applied: tuple[str, ...]
    requested: tuple[str, ...]
    patches: tuple[str, ...]
    files: Mapping[str, Entry]
    version: str = __version__


def read_ledger(root: Path) -> Ledger | None:
    """The ledger of the tree; None: newtfix has nothing in it."""
    path = root / LEDGER
    try:
        data = json.loads(path.read_bytes())
        if data["schema"] != _SCHEMA:
            raise _unusable(path, f"it has schema {data['schema']}, this version of newtfix reads schema {_SCHEMA}")
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


def edited_files(ledger: Ledger, raw: Mapping[str, bytes]) -> tuple[str, ...]:
    """Patched files that are no longer as newtfix wrote them."""
    return tuple(
        path for path, entry in sorted(ledger.files.items()) if path not in raw or digest(raw[path]) != entry.written
    )


def ledger_changes(root: Path, new: Ledger | None, pristine: Mapping[str, bytes]) -> list[Change]:
    """What has to be written so that `.newtfix/` says `new`, whose files had the bytes `pristine` before."""
    wanted = {LEDGER: _to_json(new)} if new else {}
    wanted |= {f"{_PRISTINE}/{path}": pristine[path] for path in sorted(new.files if new else ())}
    present = {path.relative_to(root).as_posix(): path.read_bytes() for path in _kept_files(root)}
    return [
        Change(path, present.get(path), wanted.get(path))
        for path in sorted(present.keys() | wanted.keys())
        if present.get(path) != wanted.get(path)
    ]


def _kept_files(root: Path) -> list[Path]:
    files = [path for path in (root / _PRISTINE).rglob("*") if path.is_file()]
    return [*files, root / LEDGER] if (root / LEDGER).is_file() else files


def _to_json(ledger: Ledger) -> bytes:
    return (json.dumps({"schema": _SCHEMA, **asdict(ledger)}, indent=2) + "\n").encode()


def _from_json(data: Mapping[str, Any]) -> Ledger:
    files = {_inside(path): Entry(entry["pristine"], entry["written"]) for path, entry in data["files"].items()}
    applied, requested, patches = (tuple(map(str, data[key])) for key in ("applied", "requested", "patches"))
    return Ledger(applied, requested, patches, files, str(data["version"]))


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
