"""A toy tree with toy patches, on which everything that writes can be tried thousands of times; the engine is faked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch as replaced

import newtfix.plan.engine
import newtfix.work.load
from newtfix.commands import apply
from newtfix.errors import Refused
from newtfix.files.export import write_series
from newtfix.files.git import Repository
from newtfix.model import Patch, PatchReport, Plan, Severity, State
from newtfix.work.outcome import compute, save
from newtfix.work.session import Target, open_session, writing

FILES = {"trainer.py": b"a = 1\r\nx = 0\r\nb = 1\r\n", "common/math.py": b"b = 2\ny = 0\nc = 1\n"}
HOMES = {"a": ("trainer.py",), "b": ("trainer.py", "common/math.py"), "c": ("common/math.py",)}
PATCHES = {name: Patch(title=name, severity=Severity.MINOR, edits=(), id=name) for name in HOMES}
SERIES = {"0001-a.patch": b"one\n", "0002-b.patch": b"two\n", "series": b"0001-a.patch\n0002-b.patch\n"}
OLD_SERIES = {"0001-old.patch": b"old\n", "series": b"0001-old.patch\n"}


class Engine:
    """Patches `x = ` to `x += `, in whichever version is set."""

    mark = "+="

    def plan(self, sources: Mapping[str, str], wanted: Iterable[str], patches: Mapping[str, Patch]) -> Plan:
        order = tuple(sorted(wanted))
        after = dict(sources)
        states = self.inspect(sources, patches, order)
        for name in order:
            if states[name].state is State.DRIFTED:
                raise Refused(f"{name} does not fit")
            for path in HOMES[name]:
                after[path] = after[path].replace(f"{name} = ", f"{name} {self.mark} ")
        touched = {path for name in order for path in HOMES[name]}
        return Plan(
            order,
            {},
            states,
            {path: sources[path] for path in touched},
            {path: after[path] for path in touched if after[path] != sources[path]},
        )

    def inspect(
        self, sources: Mapping[str, str], patches: Mapping[str, Patch], ids: Iterable[str]
    ) -> dict[str, PatchReport]:
        return {name: PatchReport(name, self._state(sources, name)) for name in ids}

    def _state(self, sources: Mapping[str, str], name: str) -> State:
        texts = [sources.get(path, "") for path in HOMES[name]]
        if all(f"{name} = " in text for text in texts):
            return State.AVAILABLE
        return State.APPLIED if all(f"{name} {self.mark} " in text for text in texts) else State.DRIFTED


ENGINE = Engine()


@contextmanager
def faked() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(replaced.object(newtfix.plan.engine, "plan", ENGINE.plan))
        stack.enter_context(replaced.object(newtfix.plan.engine, "inspect", ENGINE.inspect))
        stack.enter_context(replaced.object(newtfix.work.load, "load_patches", lambda *_: PATCHES))
        stack.enter_context(replaced.dict("os.environ", {"NEWTFIX_CACHE": ""}))
        stack.enter_context(replaced.object(ENGINE, "mark", "+="))
        yield


def make(root: Path) -> Path:
    for path, content in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def want(root: Path, *names: str) -> None:
    with writing(Target(root, root), ()) as session:
        save(session, compute(session, names))


def sources(root: Path) -> dict[str, bytes]:
    """The files, without newtfix's record."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] != ".newtfix"
    }


def made_by(*names: str, mark: str = "+=") -> dict[str, bytes]:
    """What the patches make of the files."""
    found = dict(FILES)
    for name in names:
        for path in HOMES[name]:
            found[path] = found[path].replace(f"{name} = ".encode(), f"{name} {mark} ".encode())
    return found


@dataclass(frozen=True)
class Act:
    """Something that writes: what comes before it, what it does, and the states of the files that it may leave."""

    prepare: Callable[[Path], None]
    work: Callable[[Path], None]
    states: tuple[dict[str, bytes], ...]
    place: str = "tree"
    is_tree: bool = True


def _nothing(_: Path) -> None:
    pass


def _update(root: Path) -> None:
    with replaced.object(ENGINE, "mark", "-="):
        want(root, "a", "b")


def _copy(root: Path) -> None:
    base = root.with_name("base")
    if not base.exists():
        make(base)
    session = replace(open_session(Target(base, base)), target=Target(base, root, new=True))
    save(session, compute(session, ("a", "b")))


def _commits(root: Path) -> None:
    repository = Repository(root, root, "")
    with ExitStack() as stack:
        stack.enter_context(replaced.object(apply, "must_take_commits", lambda *_: repository))
        stack.enter_context(replaced.object(apply, "commit", lambda *_: "0123abc"))
        session = stack.enter_context(writing(Target(root, root), ()))
        apply._commit_each(session, compute(session, ("a", "b", "c")))


def _export(folder: Path) -> None:
    write_series(folder, SERIES, force=True)


def _old_export(folder: Path) -> None:
    write_series(folder, OLD_SERIES, force=True)


ACTS = {
    "apply": Act(_nothing, lambda root: want(root, "a", "b"), (FILES, made_by("a", "b"))),
    "apply more": Act(
        lambda root: want(root, "a"), lambda root: want(root, "a", "b", "c"), (made_by("a"), made_by("a", "b", "c"))
    ),
    "revert": Act(lambda root: want(root, "a", "c"), lambda root: want(root, "a"), (made_by("a", "c"), made_by("a"))),
    "revert --all": Act(lambda root: want(root, "a", "b"), want, (made_by("a", "b"), FILES)),
    "update": Act(lambda root: want(root, "a", "b"), _update, (made_by("a", "b"), made_by("a", "b", mark="-="))),
    "apply --commit": Act(_nothing, _commits, (FILES, made_by("a"), made_by("a", "b"), made_by("a", "b", "c"))),
    "first apply": Act(_nothing, _copy, ({}, made_by("a", "b")), is_tree=False),
    "export": Act(_nothing, _export, ({}, SERIES), place="series", is_tree=False),
    "export --force": Act(_old_export, _export, (OLD_SERIES, SERIES), place="series", is_tree=False),
}


def prepared(folder: Path, act: Act) -> Path:
    """A folder in which the act can happen."""
    root = folder / act.place
    if act.is_tree:
        make(root)
    act.prepare(root)
    return root


def clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
