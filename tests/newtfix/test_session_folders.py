"""What a session works on: the tree, the patches that are at hand, and those that are named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

import newtfix.work.load
from newtfix.errors import Refused, UsageError
from newtfix.files import state
from newtfix.model import Patch, PatchReport, Plan, Severity, State
from newtfix.work.outcome import compute, fitting, plan_for, save
from newtfix.work.places import base_tree
from newtfix.work.session import DEFAULT_TREE, Target, choose, find_target, open_session, required_by, writing


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


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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


def allow(folder: Path) -> None:
    with state.changing() as known:
        known.trusted[str(folder.resolve())] = state.digest_of(state.contents(folder))


def test_patch_directories_of_the_tree_are_remembered_by_their_path_in_it(tree: Path) -> None:
    (tree / "mine").mkdir()
    target = Target(tree, tree)
    with writing(target, (tree / "mine",)) as session:
        save(session, compute(session, ("c",)))
    tree.rename(tree.with_name("moved"))
    moved = tree.with_name("moved")
    assert open_session(Target(moved, moved)).directories == ()
    allow(moved / "mine")
    session = open_session(Target(moved, moved))
    assert session.directories == ((moved / "mine").resolve(),)
    assert "mine" in session.notes[0]


def test_patch_directories_from_the_settings(tree: Path) -> None:
    (tree.parent / "my_patches").mkdir()
    (tree.parent / "pyproject.toml").write_text('[tool.newtfix]\npatches = ["my_patches"]\n')
    session = open_session(Target(tree, tree))
    assert session.directories == () and "newtfix trust" in session.notes[0]
    allow(tree.parent / "my_patches")
    assert open_session(Target(tree, tree)).directories == (tree.parent / "my_patches",)


@pytest.mark.parametrize("text", ["[tool.newtfix]\npatches = 3\n", "[tool.newtfix]\npatch = []\n", "[tool"])
def test_wrong_settings_are_said(tree: Path, text: str) -> None:
    (tree / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError):
        open_session(Target(tree, tree))


def test_the_base_tree_is_not_changed_in_place() -> None:
    with pytest.raises(UsageError, match="not changed in place"), writing(Target(base_tree(), base_tree()), ()):
        pass


def test_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_target(Path("x")) == Target(Path("x"), Path("x"))
    assert find_target(None) == Target(base_tree(), DEFAULT_TREE, new=True)
    DEFAULT_TREE.mkdir()
    assert find_target(None) == Target(DEFAULT_TREE, DEFAULT_TREE)


def test_choosing() -> None:
    assert choose(["d_e", "a"], False, PATCHES) == ("a", "d-e")
    assert choose([], True, PATCHES) == tuple(PATCHES)
    with pytest.raises(UsageError, match="'d-f'") as caught:
        choose(["d-f"], False, PATCHES)
    assert caught.value.hint == "Did you mean d-e? The patches: a, b, c, d-e"


def test_requirements_reach_through_others() -> None:
    patches = {"a": patch("a"), "b": patch("b", "a"), "c": patch("c", "b")}
    assert required_by("a", ["a", "b", "c"], patches) == ("b", "c")


def test_a_patch_of_the_record_that_is_not_at_hand_is_named_by_whatever_needs_it(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want(tree, "a")
    monkeypatch.setattr(newtfix.work.load, "load_patches", lambda *_: {"c": PATCHES["c"]})
    session = open_session(Target(tree, tree))
    for ask in (
        lambda: fitting(session, ("c",)),
        lambda: compute(session, ("a", "c")),
        lambda: plan_for(session, ("a",)),
    ):
        with pytest.raises(Refused, match="not among the known patches: a"):
            ask()
