"""docs/write-a-patch.md is walked through as it stands; patch files that are wrong, and tests that must fail, do."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from newtfix import testing
from newtfix.errors import PatchError
from newtfix.model import Add, Edit, Patch, Severity, Shape, State
from newtfix.work.load import load_patches

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/write-a-patch.md").read_text("utf-8")
PROGRAMS = {
    "newtfix": [sys.executable, "-P", "-m", "newtfix"],
    "python": [sys.executable, "-P"],
}


# --- the walk ---------------------------------------------------------------------------------------------------------


def blocks(page: str) -> Iterator[tuple[str, str, str]]:
    """The language and the text of every code block, and the file that the paragraph before it names at its end."""
    for found in re.finditer(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        named = re.search(r"`([\w/]+\.\w+)`:\n\n\Z", page[: found.start()])
        yield found[1], found[2], named[1] if named else ""


def calls(block: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output shown."""
    return [tuple(part.split("\n", 1)) for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]  # type: ignore[misc]


def run(command: str, folder: Path) -> str:
    """What a command prints, on both streams, in the order in which it is printed."""
    program, *arguments = shlex.split(command)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*PROGRAMS[program], *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    return done.stdout


def agrees(shown: str, printed: str) -> bool:
    """Whether an output is the one shown, where `...` stands for anything."""
    return doctest.OutputChecker().check_output(shown, printed, doctest.ELLIPSIS)


def test_the_walk(tmp_path: Path) -> None:
    """Every file of the page is written, every command run, in the order of the page."""
    run_so_far = []
    for language, text, file in blocks(PAGE):
        if language == "console":
            for command, shown in calls(text):
                printed = run(command, tmp_path)
                assert agrees(shown, printed), f"$ {command}\nThe page shows:\n{shown}\nIt prints:\n{printed}"
                run_so_far.append(command.split()[1])
        else:
            assert file, f"the page does not say which file this is:\n{text}"
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).write_text(text, "utf-8")
    assert {"show", "diff", "apply", "status", "check", "revert", "list", "-m"} <= set(run_so_far)
    assert not (tmp_path / "newt_patched/.newtfix").exists()


def test_an_output_that_differs_is_noticed() -> None:
    assert agrees("a\n...\nd\n", "a\nb\nc\nd\n")
    assert not agrees("a\n...\nd\n", "a\nb\nc\n")
    assert not agrees("", "newtfix: an error\n")


def test_the_page_names_every_function_of_the_helper() -> None:
    public = {name for name, value in vars(testing).items() if getattr(value, "__module__", "") == testing.__name__}
    rows = PAGE.split("| function |")[1].split("\n\n")[0].splitlines()[2:]
    told = {name for row in rows for name in re.findall(r"`(\w+)", row.split("|")[1])}
    assert told == {name for name in public if not name.startswith("_")}


# --- patch files that are wrong ---------------------------------------------------------------------------------------

HEAD = "from newtfix.model import *\ndef P(*edits, **more): return Patch('t', Severity.MINOR, edits, **more)\n"


def edit(shape: str) -> str:
    return f"{HEAD}PATCH = P(Edit('loop', 'agent', 'TDMPC2', ({shape},)))"


WRONG = {
    "syntax": ("x = 1\ndef (\n", r"SyntaxError: (.|\n)*line 2: def \("),
    "no record": (HEAD, "defines no PATCH record"),
    "exit": ("raise SystemExit(3)", r"SystemExit(.|\n)*line 1: raise"),
    "arguments": (edit("Shape('x')"), r"missing 1 required positional argument: 'after'(.|\n)*line 3: PATCH"),
    "lines": (edit("rewrite('x')"), r"lines of a rewrite begin with(.|\n)*line 3: PATCH"),
    "no line that changes": (edit("rewrite('  x')"), "and some change"),
    "pattern": (edit("Shape('if $x', 'y')"), r"edit 'loop', before is no Python(.|\n)*line 1 of it: if \$x"),
    "second shape": (edit("Shape('x', 'y'), Shape('a', 'b', 'c(')"), "edit 'loop', shape 2, present is no Python"),
    "empty": (edit("Shape(' ', 'y')"), "edit 'loop': before is empty"),
    "hole": (edit("Shape('f($a)', 'f($b)')"), r"edit 'loop', after uses the hole \$b(.|\n)*Bound are: \$a"),
    "nameless hole": (edit("Shape('f($_)', 'f($_)')"), r"after uses the hole \$_"),
    "hole of an alternative": (
        edit("Shape('x', '$n', where=(Where('agent', ('f($n)', 'g($m)')),))"),
        r"edit 'loop', after uses the hole \$n",
    ),
    "hole of an absent condition": (
        edit("Shape('x', '$n', where=(Where('agent', 'f($n)', absent=True),))"),
        r"after uses the hole \$n",
    ),
    "hole in new code": (
        f"{HEAD}PATCH = P(Add('e', 'agent', '', 'x = $y'))",
        r"edit 'e', code uses the hole \$y, which nothing in where binds",
    ),
    "role": (edit("Shape('x', 'y', where=(Where('cook', 'z'),))"), "edit 'loop', where has the unknown role 'cook'"),
    "comma": (f"{HEAD}PATCH = P(requires=('seeding'))", r"requires is 'seeding'(.|\n)*written with a comma"),
    "comma of shapes": (
        f"{HEAD}PATCH = P(Edit('loop', 'agent', '', (Shape('x', 'y'))))",
        r"edit 'loop': shapes is Shape(.|\n)*with a comma",
    ),
    "severity": ("from newtfix.model import *\nPATCH = Patch('t', 'minor', ())", "severity is 'minor', not Severity"),
    "two edits": (
        f"{HEAD}PATCH = P(Add('e', 'agent', '', 'x = 1'), Add('e', 'agent', '', 'y = 1'))",
        "two edits have the id 'e'",
    ),
    "requirement": (f"{HEAD}PATCH = P(requires=('sedding',))", r"requires 'sedding'(.|\n)*Did you mean seeding"),
    "itself": (f"{HEAD}PATCH = P(after=('my-patch',))", "in a circle: my-patch -> my-patch"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_patch_file_that_is_wrong_is_named_with_the_edit(case: str, tmp_path: Path) -> None:
    text, message = WRONG[case]
    (tmp_path / "my_patch.py").write_text(text)
    with pytest.raises(PatchError, match=message) as caught:
        testing.load(tmp_path)
    assert str(tmp_path / "my_patch.py") in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_circle_of_two_files_names_both(tmp_path: Path) -> None:
    for one, other in (("one", "other"), ("other", "one")):
        (tmp_path / f"{one}.py").write_text(f"{HEAD}PATCH = P(after=({other!r},))")
    with pytest.raises(PatchError, match="in a circle") as caught:
        testing.load(tmp_path)
    assert "one.py" in caught.value.where and "other.py" in caught.value.where


def test_holes_that_conditions_bind_may_be_used(tmp_path: Path) -> None:
    shape = "Shape('x', '$n', where=(Where('agent', ('f($n)', 'g($n, $m)')), Where('agent', 'h($n)', absent=True)))"
    (tmp_path / "my_patch.py").write_text(edit(shape))
    assert list(load_patches([tmp_path])) == ["my-patch"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PatchError, match=r"no folder of patches .*nowhere"):
        testing.load(tmp_path / "nowhere")


# --- tests that must fail ---------------------------------------------------------------------------------------------

AGENT = """class TDMPC2:
    def plan(self):
        return self.search(6)  # often

    def update(self): ...
    def update_pi(self): ...
    def _td_target(self): ...
"""
TRAINER = "class Trainer:\n" + "".join(
    f"    def {name}(self): ...\n" for name in ("train", "eval", "to_td", "common_metrics")
)
SMALL = {"tdmpc2.py": AGENT, "trainer.py": TRAINER}
SECTIONS = "".join(f"{name}: so.\n" for name in ("Claim", "Code", "Change", "Effect", "Evidence", "Leave it off"))


def patch(name: str, *edits: Edit | Add, doc: str = SECTIONS) -> Patch:
    return Patch("t", Severity.MINOR, edits, id=name, doc=doc, origin=f"{name}.py")


def search(before: str, after: str, present: str | None = None) -> Edit:
    return Edit("search", "agent", "TDMPC2", (Shape(before, after, present),))


def known(*patches: Patch) -> dict[str, Patch]:
    return {one.id: one for one in patches}


EIGHT = patch("eight", search("$o.search(6)", "$o.search(8)", "$_.search(8)"))
NOTE = patch("note", Add("note", "trainer", "Trainer", "noted = True"))
LIST = known(EIGHT, NOTE)


def test_good_patches_keep_the_contract() -> None:
    after = testing.check_contract(SMALL, LIST, "eight", pairs=True)
    assert testing.changed_lines(SMALL, after) == {
        "tdmpc2.py": ["-        return self.search(6)  # often", "+        return self.search(8)  # often"]
    }
    testing.check_contract({file: text.replace("\n", "\r\n") for file, text in SMALL.items()}, LIST, "note")


def test_the_contract_takes_a_folder_and_leaves_it_as_it_is(tmp_path: Path) -> None:
    for file, text in SMALL.items():
        (tmp_path / file).write_bytes(b"\xef\xbb\xbf" + text.encode())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*")}
    testing.check_contract(tmp_path, LIST, "eight")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*")} == before


NINE = patch("nine", search("$o.search(6)", "$o.search(9)"))
OWES = {
    "sections": (known(patch("eight", *EIGHT.edits, doc="Claim: so.")), SMALL, "lacks: Code, Change"),
    "nothing to fix": (LIST, {**SMALL, "tdmpc2.py": AGENT.replace("6", "8")}, "eight is applied in this tree"),
    "does not fit": (
        LIST,
        {**SMALL, "tdmpc2.py": AGENT.replace("6", "7")},
        r"eight cannot be applied(.|\n)*does not fit",
    ),
    "grows": (known(patch("eight", search("search", "search.again", "search"))), SMALL, "nothing can be proved"),
    "not recognised": (known(patch("eight", search("$o.search(6)", "$o.search(8)", "other"))), SMALL, "recognised"),
    "no Python": (known(patch("eight", search("$o.search(6)", "await $o.search(8)"))), SMALL, "does not compile"),
    "takes another's place": ({**LIST, "nine": NINE}, SMALL, "eight with nine.* cannot be applied|does not fit"),
}


@pytest.mark.parametrize("case", OWES)
def test_what_a_patch_owes_is_said(case: str) -> None:
    patches, tree, message = OWES[case]
    with pytest.raises(AssertionError, match=message):
        testing.check_contract(tree, patches, "eight", others=list(patches))


def test_each_assertion_fails_where_it_must() -> None:
    fixed, strange = ({**SMALL, "tdmpc2.py": AGENT.replace("6", new)} for new in ("8", "7"))
    rewrites, alone, refused = testing.assert_rewrites, testing.assert_leaves_alone, testing.assert_refused
    rewrites(SMALL, "eight", LIST, "tdmpc2.py", there=["(8)  # often"], gone=["(6)"])
    alone(fixed, "eight", LIST)
    assert refused(strange, "eight", LIST, r"looks for:\n\$o.search\(6\)").exit_code == 3
    for failing, message in (
        (lambda: rewrites(SMALL, "eight", LIST, "tdmpc2.py", there=["(9)"]), r"does not lead to(.|\n)*\+ .*search\(8"),
        (lambda: rewrites(SMALL, "eight", LIST, "tdmpc2.py", gone=["# often"]), "leaves this in tdmpc2.py"),
        (lambda: rewrites(fixed, "eight", LIST, "tdmpc2.py"), "changes nothing: it is applied"),
        (lambda: rewrites(strange, "eight", LIST, "tdmpc2.py"), "cannot be applied(.|\n)*does not fit"),
        (lambda: alone(SMALL, "eight", LIST), "is available in this tree, expected applied"),
        (lambda: alone(fixed, "eight", LIST, State.ABSENT), "is applied in this tree, expected absent"),
        (lambda: refused(SMALL, "eight", LIST), r"is not refused(.|\n)*\+ .*search\(8"),
        (lambda: refused(strange, "eight", LIST, "no such word"), "does not say 'no such word'"),
        (lambda: testing.variant(SMALL, "tdmpc2.py", ("self", "me")), "5 times in tdmpc2.py, expected once"),
        (lambda: testing.variant(SMALL, "tdmpc2.py", ("none", ""), everywhere=True), "0 times"),
        (lambda: testing.variant(SMALL, "agent.py", ("x", "y")), "no file agent.py"),
        (lambda: testing.variant(SMALL, "tdmpc2.py", ("def plan(self):", "def plan(:")), "has a syntax error"),
    ):
        with pytest.raises(AssertionError, match=message):
            failing()  # type: ignore[no-untyped-call]
