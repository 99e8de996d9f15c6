"""Records that came with a tree are data: read with a limit, checked field by field, and put aside where they lie."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from newtfix.errors import RecordError, TreeError
from newtfix.files import inside
from newtfix.files.tree import OWN_FOLDER, is_source_name

REFUSED = f"{OWN_FOLDER}/refused"
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_ID = re.compile(r"\w[\w.+-]*")
_KEPT = ("ledger.json", ".gitignore", "pristine", "generated", "aside")  # what newtfix writes in its own folder


class Lie(ValueError):
    """A record speaks of what newtfix never writes."""


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_record(root: Path, path: str) -> Mapping[str, Any] | None:
    """The object in a JSON file of the tree; None: there is no such file. Raises OSError or ValueError."""
    content = inside.content(root, path)
    if content is None:
        return None
    try:
        data = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(data, dict):
        raise ValueError("it is no JSON object")
    return data


def own_path(path: object) -> str:
    """A path that newtfix writes to: a source of the tree, or a file of its own record."""
    if not isinstance(path, str):
        raise ValueError(f"{path!r} is no path")
    first, _, rest = path.partition("/")
    if not inside.is_normal(path):
        raise Lie(f"the path {path!r} is not one inside the tree")
    if first == OWN_FOLDER and rest.split("/")[0] not in _KEPT:
        raise Lie(f"the path {path!r} is none that newtfix writes to")
    if first != OWN_FOLDER and not is_source_name(path):
        raise Lie(f"the path {path!r} is none that newtfix writes to")
    return path


def source_path(path: object) -> str:
    """A path of a patched file."""
    if own_path(path).startswith(f"{OWN_FOLDER}/"):
        raise Lie(f"the path {path!r} is none that newtfix patches")
    return str(path)


def digest_of(value: object) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError(f"{value!r} is no SHA-256")
    return value


def patch_id(value: object) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError(f"{value!r} is no id of a patch")
    return value


def shown_text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{value!r} is no text")
    return value


def list_of(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is no list")
    return value


def table_of(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no table")
    return value


def liar(root: Path, path: str, lie: Lie) -> RecordError:
    """The error about a record that lies, which is still in its place."""
    return RecordError(
        f"newtfix did not write this record of the tree: {lie}",
        where=str(root / path),
        hint="Nothing was changed.",
        record=path,
    )


def put_aside(root: Path, problem: RecordError) -> TreeError:
    """Move a record that lies out of the way. The caller holds the lock. Returns the error that says so."""
    with suppress(OSError):
        content = inside.read(root, problem.record)
        name = Path(problem.record)
        away = f"{REFUSED}/{name.stem}-{digest(content)[:12]}{name.suffix}"
        inside.move(root, problem.record, away)
        return TreeError(
            problem.message,
            where=problem.where,
            hint=f"It has been put aside as {away}, and nothing else was changed. It came with the tree, or was "
            "damaged. Run the command again to go on without it.",
        )
    return TreeError(problem.message, where=problem.where, hint="Nothing was changed. Move this file away.")
