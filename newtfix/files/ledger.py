"""What newtfix remembers of a tree, in `.newtfix/` inside it: the patches that are in, and the bytes from before."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from newtfix import __version__
from newtfix.errors import TreeError
from newtfix.files import checked, inside, kept
from newtfix.files.checked import Lie, digest
from newtfix.files.tree import OWN_FOLDER
from newtfix.files.write import Change
from newtfix.model import Patch
from newtfix.patch.file import tells

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
    for name in aside_names(root):
        home = f"{_ASIDE}/{name}"
        with suppress(TreeError):  # it may be of another version; it stays where it is
            if aside := read_ledger(root, home):
                found.append(Record(home, aside))
    return found


def aside_names(root: Path) -> list[str]:
    """The folders of records that lie aside."""
    with suppress(OSError):  # a link, or a file
        return inside.names(root, _ASIDE)
    return []


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
    present = _contents(root, _files_of(root, OWN_FOLDER))
    wanted: dict[str, bytes] = {}
    if LEDGER in present:
        away = f"{_ASIDE}/{digest(present[LEDGER])[:12]}"
        wanted = {f"{away}{path.removeprefix(OWN_FOLDER)}": content for path, content in present.items()}
    if record is not None:
        old = _contents(root, _files_of(root, record.home))
        present |= old
        wanted |= {f"{OWN_FOLDER}{path.removeprefix(record.home)}": content for path, content in old.items()}
    present |= _contents(root, wanted.keys() - present.keys())
    return _differences(present, wanted)


def _contents(root: Path, paths: Iterable[str]) -> dict[str, bytes]:
    found = {path: inside.content(root, path) for path in paths}
    return {path: content for path, content in found.items() if content is not None}


def read_ledger(root: Path, home: str = OWN_FOLDER) -> Ledger | None:
    """The ledger of the tree, or that in another folder of records; None: there is none.

    Raises RecordError for one that speaks of what newtfix never writes, TreeError for one that cannot be read.
    """
    path = f"{home}/ledger.json"
    try:
        data = checked.read_record(root, path)
        if data is None:
            return None
        if data["schema"] not in _READABLE:
            raise _unusable(
                root / path, f"it has schema {data['schema']}, this version of newtfix reads up to {_SCHEMA}"
            )
        return _from_json(data)
    except Lie as lie:
        raise checked.liar(root, path, lie) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise _unusable(root / path, reason or str(error)) from error


def pristine_bytes(root: Path, ledger: Ledger, path: str, home: str = OWN_FOLDER) -> bytes:
    """The bytes of a patched file from before any patch."""
    place = f"{home}/pristine/{path}"
    try:
        content = inside.read(root, place)
    except OSError as error:
        raise _unusable(root / place, error.strerror or str(error)) from error
    if digest(content) != ledger.files[path].pristine:
        raise _unusable(root / place, "it is not what newtfix put there")
    return content


def generated_bytes(root: Path, ledger: Ledger, path: str, home: str = OWN_FOLDER) -> bytes | None:
    """What the patches alone made of a file; None: it is not kept, as in records of schema 1."""
    try:
        content = inside.read(root, f"{home}/generated/{path}")
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
    """What tells a changed patch: its code, whatever its comments, layout and docstring, and what it says of trees."""
    try:
        source = Path(patch.origin).read_bytes()
        return kept.value("fingerprint", [source.decode("latin-1")], lambda: _fingerprint(source))
    except (OSError, ValueError, SyntaxError):
        return ""


def _fingerprint(source: bytes) -> str:
    module = ast.parse(source)
    if ast.get_docstring(module, clean=False) is not None:
        module.body = module.body[1:]
    module.body = [node for node in module.body if not (isinstance(node, ast.FunctionDef) and tells(node.name))]
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
    more = len(aside_names(root)) > len(same)
    places = [OWN_FOLDER, *(record.home for record in same)]
    present = _contents(root, (*(path for home in places for path in _files_of(root, home)), _IGNORE))
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
    kept = [path for name in ("pristine", "generated") for path in inside.walk(root, f"{home}/{name}")]
    ledger = f"{home}/ledger.json"
    return [*kept, *([ledger] if inside.is_there(root, ledger) else [])]


def _to_json(ledger: Ledger) -> bytes:
    return (json.dumps({"schema": _SCHEMA, **asdict(ledger)}, indent=2) + "\n").encode()


def _from_json(data: Mapping[str, Any]) -> Ledger:
    files = {checked.source_path(path): _entry(entry) for path, entry in checked.table_of(data["files"]).items()}
    applied, requested, completed = (
        tuple(map(checked.patch_id, checked.list_of(data.get(key, []) if key == "completed" else data[key])))
        for key in ("applied", "requested", "completed")
    )
    patches = tuple(map(checked.shown_text, checked.list_of(data["patches"])))
    definitions = checked.table_of(data.get("definitions", {})).items()
    known = {checked.patch_id(name): checked.shown_text(print_) for name, print_ in definitions}
    return Ledger(applied, requested, patches, files, completed, known, checked.shown_text(data["version"]))


def _entry(data: object) -> Entry:
    entry = checked.table_of(data)
    written = checked.digest_of(entry["written"])
    return Entry(checked.digest_of(entry["pristine"]), checked.digest_of(entry.get("generated", written)), written)


def _unusable(path: Path, reason: str) -> TreeError:
    return TreeError(
        f"newtfix's record of this tree cannot be used: {reason}",
        where=str(path),
        hint=f"Nothing was changed. Restore {path.name} (from version control, say), or use the newtfix that wrote it. "
        f"The files from before the patches are in {OWN_FOLDER}/pristine.",
    )
