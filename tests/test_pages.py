"""docs/discrepancies: every page is what the patch files give today, and `newtfix show` prints the same."""

from __future__ import annotations

import json
import os
import pty
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from newtfix.errors import PatchError
from newtfix.facts.relations import RELATIONS
from newtfix.facts.words import SENTENCES, sentence
from newtfix.files.tree import read_tree
from newtfix.model import Add, Edit, Patch, Severity, Shape
from newtfix.patch.sections import REQUIRED, Setting, fields, headline, sections, settings
from newtfix.work.load import load_patches
from newtfix.work.page import PART, WHOLE, Change, change, essence, markdown, page

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs/discrepancies"
TOOL: dict[str, Any] = runpy.run_path(str(ROOT / "tools/pages.py"))
PATCHES = load_patches([ROOT / "patches"])
BASE = read_tree(ROOT / "newt_base").sources


def there() -> dict[str, str]:
    return {path.name: path.read_bytes().decode() for path in FOLDER.iterdir()}


def read_page(name: str) -> str:
    return (FOLDER / f"{name}.md").read_bytes().decode()


def process(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True)


def show(*arguments: str, cwd: Path) -> str:
    done = process("-P", "-m", "newtfix", "show", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


# --- the folder -------------------------------------------------------------------------------------------------------


def test_no_page_is_stale() -> None:
    wanted, found = TOOL["generate"](), there()
    stale = [name for name in wanted if found.get(name) != wanted[name]]
    assert not stale, "write them again: make pages"


def test_the_table_of_the_readme_has_every_patch_in_its_order() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert TOOL["readme"]() == text, "write it again: make pages"
    table = text.partition("| id | severity | what it changes |\n")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `([\w-]+)` \| (\w+)( defect)? \| (.+) \|$", table, re.MULTILINE)
    assert rows == [
        (name, patch.severity.value, " defect" if patch.kind == "defect" else "", patch.changes)
        for name, patch in PATCHES.items()
    ]


def test_every_patch_has_a_page_and_every_page_a_patch() -> None:
    assert set(there()) == {"README.md", *(f"{name}.md" for name in PATCHES)}


def test_the_list_has_every_patch_in_its_order() -> None:
    rows = re.findall(r"^\| \[([\w-]+)\]\((.+?)\) \| (\w+) \| \w+ \| (.+) \|$", there()["README.md"], re.MULTILINE)
    assert rows == [(name, f"{name}.md", patch.severity.value, patch.changes) for name, patch in PATCHES.items()]


@pytest.mark.parametrize("name", sorted(there()))
def test_every_link_leads_somewhere(name: str) -> None:
    prose = re.sub(r"^(```+)\w+\n.*?^\1$", "", there()[name], flags=re.MULTILINE | re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)]+)\)", prose) if "://" not in link]
    assert links
    assert not [link for link in links if not (FOLDER / link.partition("#")[0]).exists()]


@pytest.mark.parametrize("name", sorted(there()))
def test_a_page_is_about_the_project_alone(name: str) -> None:
    text = there()[name]
    assert str(ROOT) not in text and not re.search(r"(?<![\w.])/(home|root|tmp|work|Users)/", text)
    assert not re.search(r"[ \t]+$", re.sub(r"^```diff\n.*?^```$", "", text, flags=re.M | re.S), re.MULTILINE)


# --- what the patch files say -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("patch", PATCHES.values(), ids=lambda patch: patch.id)
def test_every_docstring_is_complete(patch: Patch) -> None:
    said = sections(patch.doc)
    assert headline(patch.doc).count("\n") == 0 and headline(patch.doc).endswith(".")
    assert [name for name in said if name in REQUIRED] == list(REQUIRED), "all of them, in this order"
    assert all(said.values())
    assert re.search(r"\d|\btwice\b", said["Effect"]), "an effect in numbers"


@pytest.mark.parametrize("patch", PATCHES.values(), ids=lambda patch: patch.id)
def test_prose_is_not_taken_for_markup(patch: Patch) -> None:
    prose = re.sub(r"`[^`]*`", "", patch.doc)
    assert "`" not in prose
    assert not re.search(r"__|\*\*|(?<!\w)_\w|(?<!\w)\*\w|<\w|\$|^ *#", prose, re.MULTILINE)


def test_sections_are_read_with_all_their_paragraphs() -> None:
    doc = "A head.\n\nClaim: one,\nand two.\n\n- three: 3\nCode:\nfour.\nLeave it off: never.\nClaim: five."
    assert headline(doc) == "A head."
    assert sections(doc) == {
        "Claim": "one,\nand two.\n\n- three: 3\n\nfive.",
        "Code": "four.",
        "Leave it off": "never.",
    }
    assert sections("No sections: none.") == {} and headline("No sections: none.") == "No sections: none."


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("burst", {"burst_updates": ("None", "0")}),
        ("prior-coef", {"prior_coef": ("1.0", "10.0")}),
        ("q-dropout", {"dropout": ("0.01", "0")}),
        ("eval-modes", {"eval_pi": ("True", "false"), "eval_value": ("True", "false")}),
        ("seeding", {}),
    ],
)
def test_settings_and_the_values_of_the_old_behaviour(name: str, expected: dict[str, tuple[str, str]]) -> None:
    brought = change(PATCHES[name], PATCHES, BASE).settings
    found = {setting.name: (setting.default, setting.old) for setting in brought}
    assert found == expected
    for setting, values in expected.items():
        assert re.search(rf"^\| `{setting}` \| `{values[0]}` \| `{values[1]}` \| \w.* \|$", read_page(name), re.M)


def test_settings_of_edits_and_additions() -> None:
    edit = Edit(
        "e",
        "config",
        "Config",
        (
            Shape("rate: float = 1.0\n$$rest", "rate: float = 2.0  # the rate\n$$rest\nkind: str = 'a'"),
            Shape("width: int = $old", "width: int = 2 * $old"),
            Shape("size: $type = $value", "size: $type = 7"),
        ),
    )
    add = Add("a", "config", "Config", '\nlow: int = 1  # least\nnames: str = "# |"  # all | of # them\n')
    elsewhere = Add("m", "trainer", "Trainer", "count: int = 3")
    patch = Patch("T", Severity.MINOR, (edit, add, elsewhere), id="t", doc="T.\n\nLeave it off: low=0.5, or not.")
    there = fields(
        "class Config:\n    rate: int = 9\n    size: int = 8  # how large\n\n    def run(self):\n        ...\n"
    )
    found = settings(patch, there)
    assert found == (
        Setting("rate", "2.0", "1.0", "the rate"),
        Setting("kind", "'a'", "", ""),
        Setting("size", "7", "8", "how large"),
        Setting("low", "1", "0.5", "least"),
        Setting("names", "'# |'", "", "all | of # them"),
    )
    assert r"| `names` | `'# \|'` | - | all \| of # them |" in markdown(page(patch, Change("", "Nothing.", found)))


# --- what a patch does ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PATCHES)
def test_the_diff_on_the_page_is_the_one_that_makes_newt_base_the_patched_tree(name: str, tmp_path: Path) -> None:
    from newtfix.plan.engine import plan

    after, whole, text = plan(BASE, [name], PATCHES).after, change(PATCHES[name], PATCHES, BASE).diff, read_page(name)
    assert len(fenced(text, "diff")) == bool(after)
    if not after:
        assert "Nothing changes there: `newt_base` has this already." in text and len(fenced(text, "python")) == 2
        return
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "newt_base", tree)
    done = subprocess.run(["git", "apply", "-"], input=whole.encode(), cwd=tree, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert {**BASE, **after} == read_tree(tree).sources
    (shown,) = fenced(text, "diff")
    if f"lines more: `newtfix diff {name}`" not in text:
        assert shown == whole
        return
    assert whole.count("\n") > WHOLE and shown.count("\n") < whole.count("\n")
    assert all(part.removesuffix("...\n") in whole for part in re.split("^(?=--- |@@ )", shown, flags=re.MULTILINE))


def test_of_a_long_diff_the_hunks_are_shown_that_change_what_is_there() -> None:
    head, other = "--- a/trainer.py\n+++ b/trainer.py\n", "--- a/config.py\n+++ b/config.py\n"
    new = "@@ -9 +9,40 @@\n" + "+    new\n" * 40
    changed = "@@ -99 +139 @@\n-    old\n+    new\n"
    setting, brought = "@@ -1 +2 @@\n+    size: int = 1\n", "@@ -1 +2 @@\n+import os\n"
    assert essence(head + changed) == head + changed
    assert essence(other + setting + head + brought + new + changed) == other + setting + head + brought + changed
    long = "@@ -9,40 +9,40 @@\n" + "-    old\n+    new\n" * 40
    assert essence(head + long) == head + "".join(long.splitlines(keepends=True)[:PART]) + "...\n"


@pytest.mark.parametrize("name", PATCHES)
def test_what_a_patch_relies_on_is_one_sentence_each(name: str) -> None:
    facts = PATCHES[name].only_where
    said = [sentence(fact) for fact in facts]
    assert len(set(said)) == len(facts)
    for fact, line in zip(facts, said, strict=True):
        assert re.fullmatch(r"[A-Z`].+\.", line) and any(word.strip(".")[1:] in line for word in fact.about)
    shown = re.findall(r"^- (.+)$", read_page(name).partition("## It relies on this\n")[2], re.MULTILINE)
    more = re.match(r"(\d+) more", shown[-1]) if shown else None
    assert shown[: len(shown) - bool(more)] == said[: len(shown) - bool(more)]
    assert len(said) == len(shown) + (int(more[1]) - 1 if more else 0)


def test_every_relation_has_a_sentence() -> None:
    assert set(SENTENCES) == set(RELATIONS)


def test_the_pages_are_short() -> None:
    assert sum(len(text.split()) for text in there().values()) < 7000


def test_a_fence_is_longer_than_the_ticks_in_the_code() -> None:
    shape = Shape('TEXT = "````"', "")
    patch = Patch("T", Severity.MINOR, (Edit("a", "math", "", (shape,)),), id="t", doc="T.")
    assert '`````python\nTEXT = "````"\n`````' in markdown(page(patch, Change("", "Nothing.", ())))


# --- a page that is not up to date ------------------------------------------------------------------------------------

GONE_STALE = [
    pytest.param("seeding", "max(1000, 5 L) steps", "max(1001, 5 L) steps", {"seeding.md"}, id="docstring"),
    pytest.param("prior_norm", ".sum(-1{}) / 61", ".sum(dim=-1{}) / 61", {"prior-norm.md"}, id="edit"),
    pytest.param("burst", 'changes="the first', 'changes="The first', {"README.md"}, id="line-of-the-list"),
]


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "patches", tmp_path / "patches", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.mark.parametrize(("module", "old", "new", "stale"), GONE_STALE)
def test_a_changed_patch_makes_its_page_stale(copies: Path, module: str, old: str, new: str, stale: set[str]) -> None:
    path = copies / f"{module}.py"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    found = there()
    assert {name for name, page in TOOL["generate"](copies).items() if found[name] != page} == stale


def test_a_changed_base_tree_makes_pages_stale(tmp_path: Path) -> None:
    base = Path(shutil.copytree(ROOT / "newt_base", tmp_path / "newt_base"))
    math = base / "common/math.py"
    math.write_text(
        math.read_text("utf-8").replace("def interp_dist(", "def interp_dist(  # of the planner\n    "), "utf-8"
    )
    assert TOOL["generate"](base=base)["plan-anneal.md"] != there()["plan-anneal.md"]


def test_a_docstring_without_a_section_is_refused(copies: Path) -> None:
    path = copies / "seeding.py"
    path.write_text(path.read_text("utf-8").replace("\nEffect: ", "\nResult: "), "utf-8")
    with pytest.raises(PatchError, match=r"'seeding' lacks: Effect") as refused:
        TOOL["generate"](copies)
    assert refused.value.where == str(path) and "`Effect:`" in refused.value.hint


def test_writing_the_pages(tmp_path: Path) -> None:
    write: Callable[..., list[str]] = TOOL["write"]
    folder = tmp_path / "pages"
    assert write({"a.md": "A\n", "b.md": "B\n"}, folder) == ["a.md: written", "b.md: written"]
    assert write({"a.md": "A\n", "b.md": "ß\n"}, folder) == ["b.md: written"]
    assert write({"b.md": "ß\n"}, folder) == ["a.md: removed"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"b.md": "ß\n".encode()}


# --- newtfix show -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["seeding", "planner_stats"])
def test_show_prints_the_page(name: str, tmp_path: Path) -> None:
    assert show(name, cwd=tmp_path) == read_page(name.replace("_", "-"))


def test_the_diff_is_what_newtfix_diff_prints(tmp_path: Path) -> None:
    done = process("-P", "-m", "newtfix", "diff", "first-obs", cwd=tmp_path)
    assert fenced(read_page("first-obs"), "diff") == [done.stdout.decode()]


def test_show_as_json(tmp_path: Path) -> None:
    shown = json.loads(show("burst", "--json", cwd=tmp_path))
    assert shown["sections"] == sections(PATCHES["burst"].doc)
    assert [setting["name"] for setting in shown["settings"]] == ["burst_updates"]
    assert shown["newt_base"]["diff"] == change(PATCHES["burst"], PATCHES, BASE).diff


def test_show_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "90", "NO_COLOR": ""}
    command = [sys.executable, "-P", "-m", "newtfix", "show", "mu-std"]
    child = subprocess.Popen(command, stdout=theirs, stderr=theirs, cwd=tmp_path, env=environment)
    os.close(theirs)
    output = b""
    while chunk := _read(ours):
        output += chunk
    os.close(ours)
    assert child.wait() == 0
    shown = output.decode().replace("\r\n", "\n")
    assert "\x1b[1mmu-std: Random actions" in shown and "\x1b[32m+" in shown
    assert "requires planner-stats" in shown
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert "`" not in plain and "](" not in plain and "\n## " not in plain and "All patches" not in plain
    start = plain.index("The reference seeds with")
    assert all(len(line) <= 90 for line in plain[start : plain.index("In newt_base")].splitlines())


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux says so when the other side is closed
        return b""


def test_a_patch_of_ones_own_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/no_fit.py").write_text(
        '"""Mine.\n\nClaim: something is odd.\n"""\n\n'
        "from newtfix.model import Edit, Patch, Severity, Shape\n\n"
        'SHAPE = Shape("self.nowhere = $x", "self.nowhere = 2 * $x")\n'
        'PATCH = Patch(title="Mine", severity=Severity.MINOR, edits=(Edit("only", "agent", "TDMPC2", (SHAPE,)),))\n'
    )
    shown = show("no-fit", "--patches", "mine", cwd=tmp_path)
    assert shown.startswith("# no-fit: Mine\n\nMinor, discrepancy.\n") and "\n## Claim\n\nSomething is odd.\n" in shown
    assert fenced(shown, "python") == ["self.nowhere = $x\n", "self.nowhere = 2 * $x\n"]
    assert "Effect in numbers" not in shown and not fenced(shown, "diff")
    assert "does not fit this tree (tdmpc2.py, TDMPC2: " in shown


def test_what_is_not_needed_is_not_imported(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom newtfix.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(*sorted({'libcst', 'rich', 'torch'} & set(sys.modules)), file=sys.stderr)"
    )
    for arguments, heavy in ((["list"], ""), (["show", "burst"], "libcst")):
        assert process("-P", "-c", script, *arguments, cwd=tmp_path).stderr.decode().split() == heavy.split()
