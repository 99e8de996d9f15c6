"""What newtfix remembers of a tree, in `.newtfix/` inside it: the patches that are in, and the bytes from before."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from newtfix import __version__
from newtfix.errors import TreeError
from newtfix.files import kept
from newtfix.files.tree import OWN_FOLDER
from newtfix.files.write import Change, digest
from newtfix.model import Patch

LEDGER = f"{OWN_FOLDER}/ledger.json"
_PRISTINE = f"{OWN_FOLDER}/pristine"
_GENERATED = f"{OWN_FOLDER}/generated"
_ASIDE = f"{OWN_FOLDER}/aside"
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


@dataclass(frozen=True)
class Record:
    """A ledger and the folder in the tree that holds it with its files.

    That is `.newtfix`, or `.newtfix/aside/KEY` for the record of another state of the tree, as on another branch.
    """

    home: str
    ledger: Ledger

    @property
    def is_aside(self) -> bool:
        return self.home != OWN_FOLDER


def read_records(root: Path) -> list[Record]:
    """All records of the tree, the one in use first."""
    ledger = read_ledger(root)
    found = [Record(OWN_FOLDER, ledger)] if ledger else []
    for folder in sorted((root / _ASIDE).glob("*")):
        home = folder.relative_to(root).as_posix()
        with suppress(TreeError):  # it may be of another version; it stays where it is
            if aside := read_ledger(root, home):
                found.append(Record(home, aside))
    return found


def fitting_record(records: Sequence[Record], raw: Mapping[str, bytes]) -> Record | None:
    """The record that speaks of the files as they are, edits aside.

    None: they are as before the patches of the record in use, as git leaves them that switches to another branch, and
    they are not as any record left them.
    """
    now = {path: digest(raw[path]) if path in raw else "" for one in records for path in one.ledger.files}
    left = {
        one.home: {path for path, entry in one.ledger.files.items() if _is_left(entry, now[path])} for one in records
    }
    bare = {
        one.home: {path for path, entry in one.ledger.files.items() if now[path] == entry.pristine} for one in records
    }
    by_any = set().union(*left.values())

    def fit(one: Record) -> int:
        """Files as this record left them, less those that only it, or only others, take for patched."""
        foreign = by_any - one.ledger.files.keys()
        return len(left[one.home]) - len(bare[one.home]) - len(foreign)

    able = [
        one for one in records if left[one.home] or (not one.is_aside and len(bare[one.home]) < len(one.ledger.files))
    ]
    return max(able, key=fit, default=None)


def _is_left(entry: Entry, now: str) -> bool:
    """Whether a file is as newtfix left it."""
    return now in (entry.generated, entry.written) and now != entry.pristine


def take_up(root: Path, record: Record | None) -> list[Change]:
    """What has to be written so that this record is the one in use, or none, and the one that was lies aside."""
    present = {path: (root / path).read_bytes() for path in _files_of(root, OWN_FOLDER)}
    wanted: dict[str, bytes] = {}
    if LEDGER in present:
        away = f"{_ASIDE}/{digest(present[LEDGER])[:12]}"
        wanted = {f"{away}{path.removeprefix(OWN_FOLDER)}": content for path, content in present.items()}
    if record is not None:
        old = {path: (root / path).read_bytes() for path in _files_of(root, record.home)}
        present |= old
        wanted |= {f"{OWN_FOLDER}{path.removeprefix(record.home)}": content for path, content in old.items()}
    present |= {path: (root / path).read_bytes() for path in wanted.keys() - present.keys() if (root / path).is_file()}
    return _differences(present, wanted)


def read_ledger(root: Path, home: str = OWN_FOLDER) -> Ledger | None:
    """The ledger of the tree, or that in another folder of records; None: there is none."""
    path = root / home / "ledger.json"
    try:
        data = json.loads(path.read_bytes())
        if data["schema"] not in _READABLE:
            raise _unusable(path, f"it has schema {data['schema']}, this version of newtfix reads up to {_SCHEMA}")
        return _from_json(data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unusable(path, f"{type(error).__name__}: {error}") from error


def pristine_bytes(root: Path, ledger: Ledger, path: str, home: str = OWN_FOLDER) -> bytes:
    """The bytes of a patched file from before any patch."""
    kept = root / home / "pristine" / path
    try:
        content = kept.read_bytes()
    except OSError as error:
        raise _unusable(kept, error.strerror or str(error)) from error
    if digest(content) != ledger.files[path].pristine:
        raise _unusable(kept, "it is not what newtfix put there")
    return content


def generated_bytes(root: Path, ledger: Ledger, path: str, home: str = OWN_FOLDER) -> bytes | None:
    """What the patches alone made of a file; None: it is not kept, as in records of schema 1."""
    try:
        content = (root / home / "generated" / path).read_bytes()
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
        source = Path(patch.origin).read_bytes()
        return kept.value("fingerprint", [source.decode("latin-1")], lambda: _fingerprint(source))
    except (OSError, ValueError, SyntaxError):
        return ""


def _fingerprint(source: bytes) -> str:
    module = ast.parse(source)
    if ast.get_docstring(module, clean=False) is not None:
        module.body = module.body[1:]
    return digest(ast.dump(module).encode())


def ledger_changes(
    root: Path, new: Ledger | None, pristine: Mapping[str, bytes], generated: Mapping[str, bytes]
) -> list[Change]:
    """What has to be written so that `.newtfix/` says `new`.

    `pristine` and `generated` are the bytes of its files before any patch, and as the patches alone make them. The
    folder hides itself from git when it appears; who removes that file keeps the record in git. Records that lie
    aside stay, but for one of the same files.
    """
    same = [one for one in read_records(root) if one.is_aside and new and one.ledger.files == new.files]
    more = len(list((root / _ASIDE).glob("*"))) > len(same)
    places = [OWN_FOLDER, *(record.home for record in same)]
    present = {path: (root / path).read_bytes() for home in places for path in _files_of(root, home)}
    present |= {_IGNORE: (root / _IGNORE).read_bytes()} if (root / _IGNORE).is_file() else {}
    wanted = {LEDGER: _to_json(new)} if new else {}
    wanted |= {f"{_PRISTINE}/{path}": pristine[path] for path in sorted(new.files if new else ())}
    wanted |= {f"{_GENERATED}/{path}": generated[path] for path in sorted(new.files if new else ())}
    if (new and LEDGER not in present) or (_IGNORE in present and (new or more)):
        wanted[_IGNORE] = present.get(_IGNORE) or _IGNORE_ALL
    return _differences(present, wanted)


def _differences(present: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> list[Change]:
    return [
        Change(path, present.get(path), wanted.get(path))
        for path in sorted(present.keys() | wanted.keys())
        if present.get(path) != wanted.get(path)
    ]


def _files_of(root: Path, home: str) -> list[str]:
    """The files of a record by their paths in the tree."""
    kept = [path for name in ("pristine", "generated") for path in (root / home / name).rglob("*") if path.is_file()]
    ledger = root / home / "ledger.json"
    return [path.relative_to(root).as_posix() for path in (*kept, *([ledger] if ledger.is_file() else []))]


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
