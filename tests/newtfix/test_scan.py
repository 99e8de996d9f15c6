"""The discrepancy report: evidence, numbers against arithmetic done by hand, formats, and trees in bad shape."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import CRITICAL, FOUND, PATCHES, Run

from newtfix.work.places import base_tree

PLAIN = Path(__file__).parents[1] / "specimens/plain"
HUMANOID = ("task=humanoid-run", "num_envs=20", "episode_length=250", "action_dim=21")


# --- numbers, by hand -------------------------------------------------------------------------------------------------


def test_numbers_of_humanoid(scan: Run) -> None:
    """N=20, L=250, A=21: 5*20*250 = 25,000 against 5*250 = 1,250; 21/61; 21^2/61; rho^t over their sum 1.875."""
    result = scan("--json", *HUMANOID)
    numbers = result.json["numbers"]
    assert (result.code, result.json["schema"]) == (0, 1)
    seed = numbers["seed_steps"]
    assert (seed["here"], seed["reference"], seed["ratio"]) == (25_000, 1_250, 20)
    assert (numbers["burst_updates"]["here"], numbers["burst_updates"]["reference"]) == (0, 1_250)
    assert (numbers["updates_per_step"]["here"], numbers["updates_per_step"]["reference"]) == (0.075, 1)
    assert numbers["replayed_per_step"]["here"] == pytest.approx(0.075 * 1024)
    assert (numbers["prior_coef"]["here"], numbers["prior_coef"]["ratio"]) == (10, 10)
    assert numbers["prior_factor"]["here"] == 1
    assert numbers["prior_factor"]["reference"] == pytest.approx(0.344, abs=5e-4)
    assert numbers["prior_weight"]["reference"] == pytest.approx(7.23, abs=5e-3)
    weights = numbers["temporal_weights"]
    assert weights["here"] == pytest.approx([1 / 1.875, 0.5 / 1.875, 0.25 / 1.875])
    assert weights["reference"] == pytest.approx([1 / 3, 0.5 / 3, 0.25 / 3])
    assert numbers["loss_weight"]["ratio"] == pytest.approx(8 / 5)
    assert (numbers["annealing_end"]["here"], numbers["annealing_end"]["reference"]) == (12_000_000, 10_000_000)
    assert numbers["target_networks"]["here"] is True  # compile is False in newt_base
    assert "16,667 more environment steps" in result.patch("burst")["consequence"]
    assert result.patch("seeding")["consequence"].startswith("Learning starts after 25,000 environment steps")


@pytest.mark.parametrize(
    ("given", "here", "reference"),
    [
        (["num_envs=20", "episode_length=500"], 50_000, 2_500),
        (["num_envs=1", "episode_length=100"], 500, 1_000),
        (["num_envs=8", "episode_length=250", "world_size=2", "seeding_coef=3"], 12_000, 1_250),
        (["preset=cpu"], 5_000, 1_250),  # 4 environments, 250 steps
    ],
    ids=["20 environments", "below the least", "two processes", "a preset"],
)
def test_seed_steps(scan: Run, given: list[str], here: int, reference: int) -> None:
    seed = scan("--json", *given).json["numbers"]["seed_steps"]
    assert (seed["here"], seed["reference"], seed["ratio"]) == (here, reference, here / reference)


def test_what_is_not_known_is_a_formula_and_an_example(scan: Run) -> None:
    """newt_base learns the episode length from the simulator; N=10 by default."""
    result = scan("--json")
    seed = result.json["numbers"]["seed_steps"]
    assert (seed["here"], seed["reference"], seed["ratio"]) == (None, None, None)
    assert (seed["here_formula"], seed["reference_formula"]) == ("50 L", "max(1000, 5 L)")
    assert seed["example"] == "for episode_length=500: 25,000 here, 2,500 in the reference (10x)"
    assert "episode_length is not known" in seed["how"]
    assert result.json["numbers"]["prior_factor"]["reference"] is None
    assert result.json["settings"]["num_envs"]["source"].startswith("config.py:")
    assert "episode_length" not in result.json["settings"]


def test_compile_decides_whether_there_are_target_networks(scan: Run) -> None:
    told = scan("--json", "compile=true")
    assert told.json["numbers"]["target_networks"]["here"] is False
    assert "With compile=True (command line)" in told.patch("target-q")["consequence"]


# --- evidence and states ----------------------------------------------------------------------------------------------


def test_evidence_is_what_stands_there(scan: Run) -> None:
    result = scan("--json", *HUMANOID)
    assert [patch["id"] for patch in result.json["patches"]] == list(PATCHES)
    assert result.json["defects"] == [p["id"] for p in result.json["patches"] if p["kind"] == "defect"]
    for patch in result.json["patches"]:
        places = [(place["file"], place["line"]) for place in patch["evidence"]]
        assert places == sorted(set(places))
        assert patch["evidence"], patch["id"]
        for place in patch["evidence"]:
            line = (base_tree() / place["file"]).read_text("utf-8").splitlines()[place["line"] - 1]
            assert place["text"] == line.strip()


def test_the_table_and_the_summary(scan: Run) -> None:
    result = scan(*HUMANOID)
    assert re.search(r"^seeding +critical +available +trainer\.py:\d+ and \d more$", result.out, re.M)
    assert re.search(r"^env steps before learning +25,000 +1,250 +20x$", result.out, re.M)
    assert re.search(
        r"^  trainer\.py:\d+: if self\._step >= self\.cfg\.seeding_coef \* self\._update_freq:$", result.out, re.M
    )
    assert re.search(r"^planner-stats +prerequisite +applied", result.out, re.M)
    assert re.search(rf"{FOUND} of {len(PATCHES)} discrepancies found, {CRITICAL} critical; 1 fixed\.$", result.err)


def test_what_newtfix_applied_is_not_by_hand(scan: Run, copy: Callable[..., Path]) -> None:
    tree = str(copy(base_tree()))
    assert scan("prior-coef", "--tree", tree, command="apply").code == 0
    result = scan("--json", "--tree", tree)
    assert [result.patch(name)["by_hand"] for name in ("prior-coef", "planner-stats", "rho")] == [False, True, False]
    assert result.patch("prior-coef")["evidence"][0]["text"].startswith("prior_coef: Weight = 1.0")
    assert result.json["numbers"]["prior_coef"]["ratio"] == 1


def test_a_patched_tree_has_the_numbers_of_the_reference(scan: Run, patched: Path) -> None:
    result = scan("--json", "--tree", str(patched), *HUMANOID)
    assert result.json["present"] == []
    assert {(p["state"], p["by_hand"]) for p in result.json["patches"]} == {("applied", True)}
    numbers = result.json["numbers"]
    compared = ("seed_steps", "burst_updates", "prior_coef", "prior_factor", "prior_weight", "loss_weight")
    assert {name: numbers[name]["ratio"] for name in compared} == dict.fromkeys(compared, 1)
    assert numbers["seed_steps"]["here"] == 1_250
    assert numbers["prior_weight"]["here"] == pytest.approx(441 / 61)
    assert numbers["annealing_end"]["here"] == 10_000_000
    assert (
        scan("--json", "--tree", str(patched), *HUMANOID, "burst_updates=7").json["numbers"]["burst_updates"]["here"]
        == 7
    )


def test_a_number_that_the_tree_changes_elsewhere_is_not_known(
    scan: Run, patched: Path, copy: Callable[..., Path]
) -> None:
    config = (
        (patched / "config.py").read_text().replace("    return cfg\n", "    cfg.prior_coef *= 10\n    return cfg\n", 1)
    )
    result = scan("--json", "--tree", str(copy(patched, config=config)))
    number = result.json["numbers"]["prior_coef"]
    assert (result.patch("prior-coef")["state"], number["here"], number["ratio"]) == ("drifted", None, None)
    assert number["how"].endswith("prior_coef is computed anew: cfg.prior_coef *= 10")


def test_half_a_fix_says_what_is_there_and_what_is_missing(scan: Run, patched: Path, copy: Callable[..., Path]) -> None:
    layers = (patched / "common/layers.py").read_text().replace("network[0].dropout = cfg.dropout", "pass")
    result = scan("--json", "--tree", str(copy(patched, common__layers=layers)))
    dropout = result.patch("q-dropout")
    assert (dropout["state"], dropout["there"]) == ("partial", ["layer"])
    assert [(gap["edit"], gap["state"]) for gap in dropout["missing"]] == [("ensemble", "available")]
    assert "nn.ModuleList" in dropout["missing"][0]["nearest"]["text"]
    assert dropout["consequence"].startswith("The fix is there in part")
    assert result.json["present"] == ["q-dropout"]
    assert "  to add what is missing: newtfix apply q-dropout --tree tree" in scan("--tree", "tree").out


def test_what_is_not_recognised_says_what_was_looked_for(scan: Run, copy: Callable[..., Path]) -> None:
    """The threshold is another number, made elsewhere: not the code to fix, yet the number is known."""
    trainer = (base_tree() / "trainer.py").read_text()
    trainer = trainer.replace("self.cfg.seeding_coef * self._update_freq", "self._first")
    trainer = trainer.replace("        self._update_freq =", "        self._first = 6000\n        self._update_freq =")
    result = scan("--json", "--tree", str(copy(base_tree(), trainer=trainer)), "episode_length=500")
    seeding = result.patch("seeding")
    assert seeding["state"] == "drifted"
    assert "seeding" not in result.json["present"]
    threshold = next(gap for gap in seeding["missing"] if gap["edit"] == "threshold")
    assert "seeding_coef" in threshold["looked_for"]
    assert seeding["consequence"].endswith(
        "Learning starts after 6,000 environment steps, in the reference after 2,500: 2.4 times as many."
    )
    assert "not recognised: threshold in trainer.py, Trainer" in scan("--tree", "tree").out


def test_a_users_patch_is_reported_with_its_own_words(scan: Run, tmp_path: Path) -> None:
    patch = '''"""Less noise.

Effect: half the noise. Returns rise by 3.
"""
from newtfix.model import Edit, Patch, Severity, Shape
SHAPE = Shape("den = max(1, end)", "den = max(2, end)")
PATCH = Patch("Less noise", Severity.MINOR, (Edit("e", "math", "", (SHAPE,)),))
'''
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/less_noise.py").write_text(patch)
    found = scan("--json", "--patches", "mine").patch("less-noise")
    assert (found["state"], found["consequence"]) == ("available", "half the noise. Returns rise by 3.")


# --- the tree is only read --------------------------------------------------------------------------------------------


def _state(tree: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in sorted(tree.rglob("*"))}


def test_nothing_is_imported_and_nothing_written(scan: Run, tmp_path: Path, copy: Callable[..., Path]) -> None:
    tree = copy(PLAIN)
    for path in tree.rglob("*.py"):
        path.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit('imported')\n{path.read_text()}")
    before = _state(tree)
    result = scan("--tree", str(tree), "--json")
    assert (result.code, result.json["numbers"]["seed_steps"]["here"]) == (0, 5 * 4 * 25)
    assert _state(tree) == before
    assert not (tmp_path / "ran").exists()


def test_half_written_trees_are_left_alone(scan: Run, copy: Callable[..., Path]) -> None:
    from newtfix.files.journal import JOURNAL

    tree = copy(PLAIN)
    journal = tree / JOURNAL
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.write_text("{}")
    before = _state(tree)
    result = scan("--tree", str(tree))
    assert result.code == 3 and "newtfix status" in result.err
    assert _state(tree) == before


def test_files_that_do_not_parse_are_noted(scan: Run, copy: Callable[..., Path]) -> None:
    tree = copy(PLAIN, junk="def (:\n")
    (tree / "latin.py").write_bytes(b"# \xe9\nx = 1\n")
    result = scan("--tree", str(tree))
    assert result.code == 0
    assert "line 1: invalid syntax" in result.err
    assert "500 " in result.out


def test_a_broken_config_leaves_the_rest(scan: Run, copy: Callable[..., Path]) -> None:
    tree = copy(PLAIN, config=f"{(PLAIN / 'config.py').read_text()}\ndef (:\n")
    result = scan("--tree", str(tree), "--json")
    assert any(re.match(r"config\.py is no Python .*: line \d+", note) for note in result.json["notes"])
    assert result.patch("prior-coef")["state"] == "drifted"
    assert result.patch("target-q")["state"] == "available"
    seed = result.json["numbers"]["seed_steps"]
    assert seed["here"] is None and "seeding_coef" in seed["how"]


@pytest.mark.parametrize("name", ["trainer", "tdmpc2"])
def test_a_broken_trainer_or_agent_is_an_error_with_its_line(scan: Run, copy: Callable[..., Path], name: str) -> None:
    result = scan("--tree", str(copy(PLAIN, **{name: f"{(PLAIN / f'{name}.py').read_text()}\ndef (:\n"})))
    assert result.code == 4
    assert re.search(rf"{name}\.py, line \d+", result.err)


def test_a_folder_that_is_no_tree(scan: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert scan("--tree", "empty").code == 4
    assert scan("--tree", "nowhere").code == 4


# --- settings ---------------------------------------------------------------------------------------------------------


# --- expressions and code ---------------------------------------------------------------------------------------------


# --- formats ----------------------------------------------------------------------------------------------------------


# --- what a user may get wrong ----------------------------------------------------------------------------------------


def test_status_and_scan_show_the_same_places(scan: Run, copy: Callable[..., Path]) -> None:
    tree = copy(PLAIN)
    scanned = {one["id"]: one for one in scan("--tree", str(tree), "--json").json["patches"]}
    status = scan("--tree", str(tree), "--json", command="status").json
    for one in status["patches"]:
        assert [(place["file"], place["line"]) for place in one["places"]] == [
            (place["file"], place["line"]) for place in scanned[one["id"]]["evidence"]
        ], one["id"]


def test_a_patch_that_needs_another_first_is_said_in_one_line(scan: Run) -> None:
    out = scan("--tree", str(PLAIN)).out
    lines = out.splitlines()
    waiting = [number for number, line in enumerate(lines) if "needs planner-stats first" in line]
    assert waiting and not any("looked for" in lines[number + 1] for number in waiting)


def test_the_rule_of_a_patched_tree_is_shown_and_not_a_name(scan: Run) -> None:
    assert scan("seeding", command="apply").code == 0
    row = next(line for line in scan().out.splitlines() if line.startswith("env steps"))
    assert row.count("max(1000, 5 L)") == 2 and "_seed_steps" not in row
