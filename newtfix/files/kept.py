"""What commands found out about a tree, kept from one command to the next.

`diff` before `apply`, `check` before every commit: the same files are looked at again and again. What the engine makes
of them follows from their texts, the patches and newtfix's own code, and is kept under a digest of all these in the
user's cache folder. Nothing depends on it: a folder that can't be written, or that others may write, and an entry that
is not what was put there cost time only. NEWTFIX_CACHE in the environment names another folder, or none where it is
empty.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import platformdirs

from newtfix.files import inside
from newtfix.files.state import not_private

T = TypeVar("T")
VARIABLE = "NEWTFIX_CACHE"
_LIMIT = 16 * inside.MEBIBYTE
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
    home = folder()
    if home is None or (home.exists() and not_private(home)):
        return make()
    name = _name((kind, *parts))
    with suppress(OSError, ValueError, SyntaxError, KeyError, TypeError, AttributeError, RecursionError):
        return read(json.loads(_payload(home, name)))  # it may not be there, or damaged
    made = make()
    with suppress(OSError):
        _keep(home, name, json.dumps(write(made)))
    return made


def folder() -> Path | None:
    """Where entries are kept; None: nowhere."""
    named = os.environ.get(VARIABLE)
    if named is None:
        return platformdirs.user_cache_path("newtfix")
    return Path(named) if named else None


def _name(parts: Iterable[str]) -> str:
    digest = blake2b(_code(), digest_size=20)
    for part in parts:
        content = part.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return f"{digest.hexdigest()}.json"


def _payload(home: Path, name: str) -> str:
    """What an entry holds. Raises ValueError where that is not what was put there."""
    seal, _, payload = inside.read(home, name, _LIMIT).decode("ascii").partition("\n")
    if seal != _seal(name, payload):
        raise ValueError("damaged")
    return payload


def _seal(name: str, payload: str) -> str:
    """A digest of an entry and of the name that it has."""
    return blake2b(f"{name}\n{payload}".encode(), digest_size=20).hexdigest()


@cache
def _code() -> bytes:
    """What stands for the code that makes entries: newtfix's own, LibCST's and Python's."""
    digest = blake2b(sys.version.encode())
    libcst = find_spec("libcst")
    versions = Path(libcst.origin).parent.glob("_version.py") if libcst and libcst.origin else ()
    for file in (*versions, *sorted(Path(__file__).resolve().parents[1].glob("**/*.py"))):
        digest.update(file.read_bytes())
    return digest.digest()


def _keep(home: Path, name: str, payload: str) -> None:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = home / f".{uuid4().hex}"
    try:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{_seal(name, payload)}\n{payload}")
        new.replace(home / name)
    finally:
        new.unlink(missing_ok=True)
    entries = sorted(home.glob("*.json"), key=lambda file: file.stat().st_mtime)
    for oldest in entries[:-KEPT]:
        oldest.unlink(missing_ok=True)
