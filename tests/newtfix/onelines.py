"""An engine of one line for tests of sessions: a patch `x` turns the line `x` of its file into `X`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

import newtfix.plan.engine
import newtfix.work.load
from newtfix.model import Patch, PatchReport, Plan, Severity, State
from newtfix.work.outcome import compute, save
from newtfix.work.session import Target, writing


def patch(name: str, *requires: str) -> Patch:
    return Patch(title=name, severity=Severity.MINOR, edits=(), requires=requires, id=name)


PATCHES = {name: patch(name, *requires) for name, requires in {"a": (), "b": ("a",), "c": (), "d-e": ()}.items()}

REST = b"0\r\n1\r\n2\r\n"

FILES = {
    "trainer.py": b"\xef\xbb\xbfa\r\nb\r\n" + REST,
    "common/math.py": b"c\nno_newline",
    "other.py": b"caf\xe9 d\n",
}

HOME = {"a": "trainer.py", "b": "trainer.py", "c": "common/math.py", "d-e": "other.py"}


def fake_plan(sources: Mapping[str, str], wanted: Iterable[str], patches: Mapping[str, Patch]) -> Plan:
    wanted = set(wanted)
    pulled = {need: tuple(sorted(n for n in wanted if need in patches[n].requires)) for need in ("a",)}
    order = sorted(wanted | {need for need, by in pulled.items() if by})
    after, states = dict(sources), {}
    for name in order:
        text = after[HOME[name]]
        states[name] = State.AVAILABLE if name[0] in text else State.APPLIED
        after[HOME[name]] = text.replace(name[0], name[0].upper())
    touched = {HOME[name] for name in order}
    return Plan(
        order=tuple(order),
        pulled_in={need: by for need, by in pulled.items() if by and need not in wanted},
        reports={name: PatchReport(name, state) for name, state in states.items()},
        before={path: sources[path] for path in touched},
        after={path: after[path] for path in touched},
    )


def fake_inspect(
    sources: Mapping[str, str], patches: Mapping[str, Patch], ids: Iterable[str]
) -> dict[str, PatchReport]:
    return {
        name: PatchReport(name, State.AVAILABLE if name[0] in sources[HOME[name]] else State.APPLIED) for name in ids
    }


def make_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree whose plans are those of the stand-in."""
    monkeypatch.setenv("NEWTFIX_CACHE", "")
    monkeypatch.setattr(newtfix.plan.engine, "plan", fake_plan)
    monkeypatch.setattr(newtfix.plan.engine, "inspect", fake_inspect)
    monkeypatch.setattr(newtfix.work.load, "load_patches", lambda *_: PATCHES)
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "tree"
    for path, content in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    (root / "trainer.py").chmod(0o750)
    return root


def want(root: Path, *names: str) -> tuple[str, ...]:
    with writing(Target(root, root), ()) as session:
        outcome = compute(session, names)
        save(session, outcome)
    return tuple(outcome.after)
