"""Planning: states, requirements, refusals and what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from newtfix.errors import PatchError, Refused, TreeError
from newtfix.model import Add, Edit, Patch, Severity, Shape, State
from newtfix.patch.order import in_order
from newtfix.plan.engine import inspect, plan
from newtfix.work.load import load_patches

ROOT = Path(__file__).parents[2]
PATCHES = load_patches([ROOT / "patches"])
BASE = {p.relative_to(ROOT / "newt_base").as_posix(): p.read_text() for p in (ROOT / "newt_base").rglob("*.py")}


def changed(file: str, old: str, new: str) -> dict[str, str]:
    assert old in BASE[file]
    return {**BASE, file: BASE[file].replace(old, new)}


def patch(name: str, *edits: Edit | Add, requires: tuple[str, ...] = (), after: tuple[str, ...] = ()) -> Patch:
    return Patch(name, Severity.MINOR, edits, requires=requires, after=after, id=name)


def test_the_default_order_is_that_of_the_list() -> None:
    discrepancies = "planner-stats seeding mu-std burst actor-modes prior-norm prior-coef rho scale-order q-dropout"
    defects = "target-q episode-rows first-obs plan-anneal"
    known = [*discrepancies.split(), "q-ensemble", "eval-modes", *defects.split()]
    assert [name for name in PATCHES if name in known] == known
    assert [name for name in known if PATCHES[name].kind == "defect"] == defects.split()


def test_requirements_are_pulled_in_and_named() -> None:
    result = plan(BASE, ["mu-std"], PATCHES)
    assert result.order == ("planner-stats", "mu-std")
    assert result.pulled_in == {"planner-stats": ("mu-std",)}


def test_states_of_the_base() -> None:
    states = {name: report.state for name, report in inspect(BASE, PATCHES).items()}
    assert states.pop("planner-stats") is State.APPLIED
    assert set(states.values()) == {State.AVAILABLE}


def test_evidence_names_file_and_line() -> None:
    report = inspect(BASE, PATCHES)["seeding"]
    place = next(edit for edit in report.edits if edit.edit == "threshold").places[0]
    assert place.file == "trainer.py"
    assert BASE["trainer.py"].splitlines()[place.line - 1].strip() == place.text
    assert "seeding_coef" in place.text


def test_an_anchor_edited_away_is_refused_with_the_nearest_candidate() -> None:
    tree = changed("trainer.py", "self.cfg.seeding_coef * self._update_freq", "self.cfg.warm_coef * self._update_freq")
    with pytest.raises(Refused) as caught:
        plan(tree, ["seeding"], PATCHES)
    said = str(caught.value)
    assert "'seeding'" in said and "$" not in said
    assert "'threshold'" in caught.value.detail and "self.cfg.seeding_coef * self._update_freq" in caught.value.detail
    number = next(i for i, line in enumerate(tree["trainer.py"].splitlines(), 1) if "self.cfg.warm_coef" in line)
    assert re.search(rf"^trainer\.py:{number}: .*: if self\._step >= self\.cfg\.warm_coef \* ", said, re.MULTILINE)
    assert caught.value.exit_code == 3


def test_half_a_fix_is_completed_and_half_another_one_is_said() -> None:
    tree = changed(
        "trainer.py",
        "        self._update_tokens = 0.0\n",
        "        self._update_tokens = 0.0\n        self._seed_steps = max(1000, 5 * cfg.episode_length)\n",
    )
    assert inspect(tree, PATCHES)["seeding"].state is State.PARTIAL
    done = plan(tree, ["seeding"], PATCHES)
    assert done.reports["seeding"].state is State.PARTIAL
    assert inspect({**tree, **done.after}, PATCHES)["seeding"].state is State.APPLIED
    tree = {**tree, "trainer.py": tree["trainer.py"].replace("max(1000, 5 * cfg.episode_length)", "1000")}
    with pytest.raises(Refused, match=r"'seeding' (is only partly there|does not fit)"):
        plan(tree, ["seeding"], PATCHES)


def test_a_place_too_many_is_refused() -> None:
    line = next(f"{line}\n" for line in BASE["trainer.py"].splitlines() if "self._update_freq = " in line)
    with pytest.raises(
        Refused, match=r"trainer\.py:\d+: the patch expects 1 such place, and there are 2: self\._update_freq = "
    ):
        plan(changed("trainer.py", line, line * 2), ["seeding"], PATCHES)


def test_a_syntax_error_in_a_file_that_matters_is_named() -> None:
    tree = changed("tdmpc2.py", "def plan(self", "def plan(self,,")
    number = next(i for i, line in enumerate(tree["tdmpc2.py"].splitlines(), 1) if "self,," in line)
    with pytest.raises(
        TreeError, match=rf"the agent of this tree has a syntax error\ntdmpc2.py, line {number}"
    ) as caught:
        plan(tree, ["seeding"], PATCHES)
    assert caught.value.exit_code == 4


def test_a_syntax_error_elsewhere_does_not_matter() -> None:
    assert plan({**BASE, "scratch.py": "def ("}, ["seeding"], PATCHES).after


def test_no_newt_style_tree() -> None:
    with pytest.raises(TreeError, match="no file plays the role of trainer and agent"):
        plan({"a.py": "print(1)"}, ["seeding"], PATCHES)


def test_roles_are_found_by_content() -> None:
    """Files moved and classes renamed: the patches follow."""
    moved = dict(BASE)
    text = moved.pop("trainer.py").replace("class Trainer:", "class OnlineTrainer:")
    moved["loops/online.py"] = text
    moved["agent.py"] = moved.pop("tdmpc2.py").replace("class TDMPC2(", "class Newt(")
    after = plan(moved, PATCHES, PATCHES).after
    assert "_hand_over_segments" in after["loops/online.py"]
    assert "_awac_loss" in after["agent.py"]


def test_a_comment_or_a_string_is_no_anchor() -> None:
    quoted = '        # use_mpc = True\n        note = "use_mpc = True"\n'
    tree = changed("trainer.py", "        self._update_tokens = 0.0\n", "        self._update_tokens = 0.0\n" + quoted)
    after = plan(tree, ["mu-std"], PATCHES).after["trainer.py"]
    assert quoted in after


def test_a_patch_that_would_not_be_recognised_afterwards_is_refused() -> None:
    odd = patch(
        "odd", Edit("odd", "agent", "", (Shape("resolve_device", "resolve_devices", present="nowhere", count=None),))
    )
    with pytest.raises(Refused, match="'odd' would not be recognised after it was applied"):
        plan(BASE, ["odd"], {"odd": odd})


def test_a_result_that_does_not_compile_is_refused() -> None:
    """LibCST takes a return outside a function; Python does not."""
    odd = patch("odd", Edit("odd", "trainer", "", (Shape("EPISODE_METRICS = $names", "return 12345, $names"),)))
    with pytest.raises(Refused, match="does not compile"):
        plan(BASE, ["odd"], {"odd": odd})


def test_an_unknown_hole_in_a_template_is_an_error_of_the_patch() -> None:
    odd = patch("odd", Edit("odd", "trainer", "Trainer", (Shape("use_mpc = True", "use_mpc = f($nowhere)"),)))
    with pytest.raises(PatchError, match="nowhere"):
        plan(BASE, ["odd"], {"odd": odd})


def test_circles_are_named() -> None:
    circle = {"a": patch("a", requires=("b",)), "b": patch("b", requires=("a",))}
    with pytest.raises(PatchError, match="in a circle: "):
        in_order(circle, circle)


def test_a_missing_requirement_is_named() -> None:
    with pytest.raises(PatchError, match="'a' requires 'ghost'"):
        plan(BASE, ["a"], {"a": patch("a", requires=("ghost",))})


EDITS = "from newtfix.model import *\nPATCH = Patch('t', Severity.MINOR, ({},))"
EDIT = EDITS.format("Edit('e', 'agent', '', ({}))")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "defines no PATCH record"),
        ("import nowhere", "ModuleNotFoundError"),
        ("def (", "SyntaxError"),
        (EDITS.format("Add('e', 'cook', '', 'x = 1')"), r"unknown role 'cook'[\s\S]*The roles: \w+, \w+, "),
        (EDIT.format(""), "edit 'e' has no shapes"),
        (EDIT.format("Shape('', 'x = 1'),"), "edit 'e': before is empty"),
        (
            EDITS.format("Edit('e', 'agent', '', (Shape('x', 'y'), Shape('x = 1', 'x ='),))"),
            "'e', shape 2, after is no",
        ),
        (
            EDITS.format("Edit('e', 'agent', '', (Shape('x = 1\\ny = (', 'x'),))"),
            r"before is no[\s\S]*line 2 of it: y = \(",
        ),
        (
            EDITS.format("Edit('e', 'agent', '', (Shape('x = $a', 'x = $b'),))"),
            r"uses the hole \$b[\s\S]*Bound are: \$a",
        ),
        (EDITS.format("Add('e', 'agent', '', 'x = $b')"), r"uses the hole \$b[\s\S]*No hole is bound there"),
        (EDIT.format("Shape('x', 'y'),), present=('x (',"), "'e', present is no Python"),
        (
            EDITS.format("Edit('e', 'agent', '', (Shape('x', 'y'),), unless=(Where('cook', 'x'),))"),
            "'e', unless has the unknown role 'cook'",
        ),
        (
            EDITS.format("Edit('e', 'agent', '', (Shape('x', 'y', where=(Where('agent', 'x', portable=('a',)),)),))"),
            r"portable uses the hole \$a, which nothing in pattern binds",
        ),
    ],
)
def test_a_broken_patch_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "my_patch.py").write_text(text)
    with pytest.raises(PatchError, match=message) as caught:
        load_patches([tmp_path])
    assert "my_patch.py" in str(caught.value)


def test_the_id_is_the_file_name(tmp_path: Path) -> None:
    source = '"""Doc."""\nfrom newtfix.model import *\nPATCH = Patch("t", Severity.MINOR, ())'
    (tmp_path / "my_patch.py").write_text(source)
    (tmp_path / "_helper.py").write_text("this is not read")
    loaded = load_patches([tmp_path])
    assert list(loaded) == ["my-patch"]
    assert loaded["my-patch"].doc == "Doc."


def test_two_patches_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "seeding.py").write_text("from newtfix.model import *\nPATCH = Patch('t', Severity.MINOR, ())")
    with pytest.raises(PatchError, match="two patches have the id 'seeding'"):
        load_patches([ROOT / "patches", tmp_path])
