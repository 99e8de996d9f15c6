"""What commands found out about a tree, kept from one command to the next.

`diff` before `apply`, `check` before every commit: the same files are looked at again and again. What the engine makes
of them follows from their texts, the patches and newtfix's own code, and is kept under a digest of all these in the
user's cache folder. Nothing depends on it: a folder that can't be written, or an entry that can't be read, costs time
only. NEWTFIX_CACHE in the environment names another folder, or none where it is empty.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import platformdirs

T = TypeVar("T")
VARIABLE = "NEWTFIX_CACHE"
KEPT = 400  # entries, of some 100 KiB at most; the oldest make room


def _itself(made: Any) -> Any:
    return made


def value(
    kind: str,
    parts: Iterable[str],
    make: Callable[[], T],
    write: Callable[[T], Any] = _itself,
    read: Callable[[Any], T] = _itself,
) -> T:
    """What `make` returns, or returned for the same `parts` before.

    Args:
        parts: all that the result depends on, newtfix's own code aside. write, read: turn it into JSON and back, where
            it is none.
    """
    entry = _entry((kind, *parts))
    if entry is None:
        return make()
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # not there, or damaged
        return read(json.loads(entry.read_text("ascii")))
    made = make()
    with suppress(OSError):
        _keep(entry, json.dumps(write(made)))
    return made


def folder() -> Path | None:
    """Where entries are kept; None: nowhere."""
    named = os.environ.get(VARIABLE)
    if named is None:
        return platformdirs.user_cache_path("newtfix")
    return Path(named) if named else None


def _entry(parts: Iterable[str]) -> Path | None:
    home = folder()
    if home is None:
        return None
    digest = blake2b(_code(), digest_size=20)
    for part in parts:
        content = part.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return home / f"{digest.hexdigest()}.json"


@cache
def _code() -> bytes:
    """What stands for the code that makes entries: newtfix's own, LibCST's and Python's."""
    digest = blake2b(f"{sys.version} {version('libcst')}".encode())
    for file in sorted(Path(__file__).resolve().parents[1].glob("**/*.py")):
        digest.update(file.read_bytes())
    return digest.digest()


def _keep(entry: Path, text: str) -> None:
    entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = entry.with_name(f".{uuid4().hex}")
    try:
        new.write_text(text, "ascii")
        new.replace(entry)
    finally:
        new.unlink(missing_ok=True)
    entries = sorted(entry.parent.glob("*.json"), key=lambda file: file.stat().st_mtime)
    for oldest in entries[:-KEPT]:
        oldest.unlink(missing_ok=True)
