"""What commands keep of a tree for the next one: the same answers, and nothing that depends on it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import platformdirs
import pytest

from newtfix.errors import Refused
from newtfix.files import kept
from newtfix.plan import engine
from newtfix.work import planning
from newtfix.work.load import load_patches
from newtfix.work.places import base_tree, builtin_patches

PATCHES = load_patches([builtin_patches()])
SOURCES = {path.relative_to(base_tree()).as_posix(): path.read_text("utf-8") for path in base_tree().rglob("*.py")}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "not yet" / "cache"
    monkeypatch.setenv("NEWTFIX_CACHE", str(folder))
    return folder


def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*arguments: object, **named: object) -> None:
        raise AssertionError("the engine was asked again")

    monkeypatch.setattr(engine, "plan", ask)
    monkeypatch.setattr(engine, "inspect", ask)


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


def test_what_is_kept_is_what_the_engine_said(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planning.plan(SOURCES, ["burst"], PATCHES)
    reports = planning.inspect(SOURCES, PATCHES)
    assert plan == engine.plan(SOURCES, ["burst"], PATCHES)
    assert reports == engine.inspect(SOURCES, PATCHES)
    assert any(edit.places for report in reports.values() for edit in report.edits)
    no_engine(monkeypatch)
    assert planning.plan(SOURCES, ["burst"], PATCHES) == plan
    assert planning.inspect(SOURCES, PATCHES) == reports
    assert len(entries(cache)) == 2


def test_refusals_are_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = SOURCES | {"trainer.py": SOURCES["trainer.py"].replace("seeding_coef", "coefficient_of_seeding")}
    with pytest.raises(Refused) as first:
        planning.plan(sources, ["seeding"], PATCHES)
    no_engine(monkeypatch)
    with pytest.raises(Refused) as second:
        planning.plan(sources, ["seeding"], PATCHES)
    assert second.value == first.value
    assert str(second.value) == str(first.value)


@pytest.mark.parametrize("what", ["a text", "a file's name", "a patch", "the order"])
def test_whatever_differs_is_looked_at_anew(what: str, cache: Path) -> None:
    ids = ["mu-std", "rho"]
    planning.plan(SOURCES, ids, PATCHES)
    sources, patches = dict(SOURCES), dict(PATCHES)
    if what == "a text":
        sources["trainer.py"] += "# one more line\n"
    elif what == "a file's name":
        sources["common/other.py"] = sources.pop("common/logger.py")
    elif what == "a patch":
        patches["burst"] = replace(patches["burst"], title="Another title")
    else:
        ids.reverse()
    planning.plan(sources, ids, patches)
    assert len(entries(cache)) == 2


def test_parts_are_not_run_together(cache: Path) -> None:
    assert kept.value("x", ["ab", "c"], lambda: 1) == 1
    assert kept.value("x", ["a", "bc"], lambda: 2) == 2
    assert kept.value("y", ["ab", "c"], lambda: 3) == 3
    assert kept.value("x", ["ab", "c"], lambda: 4) == 1


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"reports": {"burst": 1}}', "null", "\x00"])
def test_a_damaged_entry_is_made_again(damage: str, cache: Path) -> None:
    plan = planning.plan(SOURCES, ["mu-std"], PATCHES)
    (entry,) = entries(cache)
    whole = entry.read_text()
    entry.write_text(damage)
    assert planning.plan(SOURCES, ["mu-std"], PATCHES) == plan
    assert entry.read_text() == whole


def test_an_entry_that_is_still_json_but_not_what_was_put_there_is_made_again(cache: Path) -> None:
    plan = planning.plan(SOURCES, ["mu-std"], PATCHES)
    (entry,) = entries(cache)
    whole = entry.read_text()
    assert "_check_finite" in whole
    entry.write_text(whole.replace("_check_finite", "_check_infinite"))
    assert planning.plan(SOURCES, ["mu-std"], PATCHES) == plan
    assert entry.read_text() == whole


def test_an_entry_under_another_name_is_made_again(cache: Path) -> None:
    kept.value("x", ["one"], lambda: 1)
    (one,) = entries(cache)
    kept.value("x", ["two"], lambda: 2)
    (two,) = set(entries(cache)) - {one}
    two.write_bytes(one.read_bytes())
    assert kept.value("x", ["two"], lambda: 3) == 3


@pytest.mark.parametrize("kind", ["plan", "inspect"])
def test_what_was_kept_is_proved_like_what_is_computed(cache: Path, kind: str) -> None:
    def ask() -> object:
        return planning.plan(SOURCES, ["rho"], PATCHES) if kind == "plan" else planning.inspect(SOURCES, PATCHES)

    answer = ask()
    (entry,) = entries(cache)
    payload = entry.read_text().partition("\n")[2]
    spoilt = payload.replace(*(("def ", "def def ") if kind == "plan" else ('"line": ', '"line": 99999')))
    assert spoilt != payload
    entry.write_text(f"{kept._seal(entry.name, spoilt)}\n{spoilt}")
    assert ask() == answer


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_may_write_is_not_used(mode: int, cache: Path) -> None:
    assert kept.value("x", ["y"], lambda: 1) == 1
    assert cache.stat().st_mode & 0o777 == 0o700 and entries(cache)[0].stat().st_mode & 0o777 == 0o600
    cache.chmod(mode)
    assert kept.value("x", ["y"], lambda: 2) == 2
    assert kept.value("x", ["z"], lambda: 3) == 3 and len(entries(cache)) == 1


def test_it_works_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    for named in ("", str(tmp_path / "file"), str(tmp_path / "file" / "below")):
        monkeypatch.setenv("NEWTFIX_CACHE", named)
        made: list[int] = []
        for _ in range(2):
            assert kept.value("x", ["y"], lambda made=made: made.append(1) or len(made)) == len(made)
        assert len(made) == 2
    assert (tmp_path / "file").read_text() == "in the way"


def test_the_oldest_make_room(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "KEPT", 3)
    for number in range(5):
        kept.value("x", [str(number)], lambda number=number: number)
        for age, entry in enumerate(sorted(entries(cache), key=lambda file: file.stat().st_mtime_ns)):
            os.utime(entry, (1000 + 10 * age, 1000 + 10 * age))
    assert sorted(entry.read_text().split("\n")[1] for entry in entries(cache)) == ["2", "3", "4"]
    assert not [path for path in cache.iterdir() if path.suffix != ".json"]


def test_a_second_command_does_without_libcst_and_says_the_same(cache: Path, tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "sys.argv = ['newtfix', *sys.argv[1:]]\n"
        "try:\n"
        "    from newtfix.cli import main\n"
        "    main()\n"
        "finally:\n"
        "    print('libcst' in sys.modules, file=sys.stderr)\n"
    )
    for command in (["diff", "--all"], ["scan"], ["check"]):
        first, second = (
            subprocess.run(
                [sys.executable, "-c", script, *command, "--tree", str(base_tree())],
                cwd=tmp_path,
                env=os.environ | {"PYTHONPATH": str(Path(kept.__file__).parents[2])},
                capture_output=True,
                text=True,
                check=False,
            )
            for _ in range(2)
        )
        assert (first.stdout, first.returncode) == (second.stdout, second.returncode)
        assert first.stdout + first.stderr.removesuffix("False\n")
        assert second.stderr.splitlines()[-1] == "False"
        assert second.stderr.splitlines()[:-1] == first.stderr.splitlines()[:-1]


def test_entries_are_in_the_users_cache_unless_another_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEWTFIX_CACHE")
    assert kept.folder() == platformdirs.user_cache_path("newtfix")
    monkeypatch.setenv("NEWTFIX_CACHE", "")
    assert kept.folder() is None


def test_new_code_of_newtfix_is_not_answered_with_old_entries(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept.value("x", ["y"], lambda: 1) == 1
    monkeypatch.setattr(kept, "_code", lambda: b"another version")
    assert kept.value("x", ["y"], lambda: 2) == 2
