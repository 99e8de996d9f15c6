"""What patterns see of a file, and the way back."""

import ast
import random

import libcst
import pytest

from newtfix.code.view import line_of_owner, restored, seen_text, view
from newtfix.errors import Refused
from newtfix.newt.usual import SPELLED_OUT
from tests.edits.judging import tree

LOOP = """class T:
    def f(self):
        while x:
            a = self.step()
            if a < 2:
                continue
            self.b(a)

            # a comment
            if not a:
                continue
            for i in y:
                if i is None:
                    continue
                self.k(i,
                  2)
                print(i)
            self.z()
            # the end
        if self.done:
            return
        self.e(y)
"""
TIMED_UPDATE = """class T:
    def f(self, qs):
        a = self.g()
        with record_function('scale'):
            self.scale.update(qs)
"""
TIMED = """class T:
    def f(self):
        if self.x:
            with torch.profiler.record_function("a"):  # how long
                # a comment

                self.y()
                with torch.no_grad():
                    self.z()
            self.q()
        else:
            with nullcontext(), torch.random.fork_rng([]), torch.enable_grad(), torch.autocast("cpu", enabled=False):
                self.y()
        return self.y
"""
TRIED = """class T:
    def f(self):
        with timer():
            try:
                # a comment
                self.y()

            except ValueError as problem:
                print(problem)
                self.x = 1

                raise
            except OSError:
                raise
        try:
            self.z()
        except KeyError:
            if self.x:
                return 1
            raise
        return self.y
"""
NAMED = """class T:
    def f(self, x):
        if x:
            found = self.g(x, 1)  # a comment
            return found
        y = torch.stack(
            [q(x) for q in x],
        )
        return y

    def h(self, x):
        parts = self.g(x, 1)
        a, (b, *c) = parts
        with self.lock(), torch.profiler.record_function("h"):
            a += self.g(b, c)
        kept = self.g(a)
        a, b = (y.float().cpu() for y in kept)
        again = self.g(a)
        self.kept(again)
        return again

    def k(self, x):
        ready = self.x >= 1 and x
        if ready:
            # a comment
            self.g(x)
        else:
            asked = not x
            if asked:
                return asked
        late = self.x < 2
        if late:  # at once
            self.h(x)
        return x
"""


@pytest.mark.parametrize("text", [LOOP, TIMED, TRIED, NAMED])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_way_back_is_exact(text: str, end: str) -> None:
    text = text.replace("\n", end)
    assert seen_text(text) != text
    assert restored(view(text, SPELLED_OUT), text, SPELLED_OUT) == text


def test_guards_are_conditions() -> None:
    seen = seen_text(LOOP)
    assert "        if not self.done:\n" in seen and "\n            self.e(y)\n" in seen
    assert "if a >= 2:" in seen and "\n                    for i in y:" in seen and "if i is not None:" in seen


def test_a_guard_whose_condition_a_patch_changes_stays_a_condition() -> None:
    patched = view(LOOP, SPELLED_OUT).code.replace("if a >= 2:", "if a >= 2 and self.ready:")
    text = restored(libcst.parse_module(patched), LOOP, SPELLED_OUT)
    assert "            if a >= 2 and self.ready:\n                self.b(a)\n" in text
    assert text.count("continue") == 2 and "~" not in text


def test_blocks_that_are_timed_stand_outside() -> None:
    seen = seen_text(TIMED)
    assert "\n            self.z()" in seen and "with " not in "".join(
        line for line in seen.splitlines(True) if "#~" not in line
    )
    number = seen.splitlines().index("        return self.y") + 1
    assert TIMED.splitlines()[line_of_owner(TIMED, number) - 1] == "        return self.y"


def test_what_is_tried_stands_outside_where_errors_are_only_reported() -> None:
    seen = seen_text(TRIED)
    assert "\n        self.y()" in seen and "\n            self.z()" in seen
    number = seen.splitlines().index("        return self.y") + 1
    assert TRIED.splitlines()[line_of_owner(TRIED, number) - 1] == "        return self.y"


def test_what_is_done_to_each_of_some_values_is_not_lost() -> None:
    patched = view(NAMED, SPELLED_OUT).code.replace("a, b = self.g(a)", "a, b, c = self.g(a)")
    with pytest.raises(Refused, match="would lose what this tree does with each"):
        restored(libcst.parse_module(patched), NAMED, SPELLED_OUT)


def test_results_are_seen_without_the_name_that_they_have_for_one_line() -> None:
    seen = seen_text(NAMED)
    assert "        return torch.stack(\n" in seen and "        a, (b, *c) = self.g(x, 1)\n" in seen
    assert "found = self.g(x, 1)  # a comment\n" in seen and "again = self.g(a)\n" in seen
    assert "        with self.lock():  #" in seen
    assert "        if self.x >= 1 and x:\n" in seen and "            asked = not x\n" in seen
    assert "        late = self.x < 2\n" in seen and "\n        a, b = self.g(a)\n" in seen
    assert len(seen.splitlines()) == len(NAMED.splitlines())


@pytest.mark.parametrize(
    ("old", "new", "there"),
    [
        (
            "[q(x) for q in x]",
            "list(x)",
            "        y = torch.stack(\n            list(x),\n        )\n        return y\n",
        ),
        (
            "return torch.stack(",
            "z = torch.stack(",
            "        z = torch.stack(\n            [q(x) for q in x],\n        )\n\n",
        ),
        ("a, (b, *c) = self.g(x, 1)", "a, b, *c = self.g(x, 1)", "        a, b, *c = self.g(x, 1)\n        with"),
        ("self.g(x, 1)\n        #", "self.k()\n        #", "        parts = self.k()\n        a, (b, *c) = parts\n"),
        ("with self.lock():", "with other():", "        with other():\n            a +="),
    ],
)
def test_names_stand_there_again_where_a_patch_leaves_the_statement(old: str, new: str, there: str) -> None:
    assert old in view(NAMED, SPELLED_OUT).code
    text = restored(libcst.parse_module(view(NAMED, SPELLED_OUT).code.replace(old, new)), NAMED, SPELLED_OUT)
    assert there in text and "#~" not in text


LEAVING = """class T:
    def f(self):
        if self.x:
            self.y()
            return
        self.z()
        for i in self.k:
            if i:
                continue
            self.e(i)

    def g(self):
        pass
"""


def test_what_a_guard_does_before_it_leaves_has_the_rest_as_its_opposite() -> None:
    seen = view(LEAVING, SPELLED_OUT).code
    assert "            self.y()\n        else:  #" in seen and "\n            self.z()\n" in seen
    changed = restored(libcst.parse_module(seen.replace("self.z()", "self.w()")), LEAVING, SPELLED_OUT)
    assert changed == LEAVING.replace("self.z()", "self.w()")


@pytest.mark.parametrize(
    ("behind", "added", "there"),
    [
        ("                    self.e(i)\n", "        self.b()\n", "        else:\n            self.z()\n"),
        ("                    self.e(i)\n", "                self.b()\n", "            if not i:\n"),
    ],
)
def test_guards_do_not_keep_the_flow_from_what_a_patch_adds_behind_them(behind: str, added: str, there: str) -> None:
    seen = view(LEAVING, SPELLED_OUT).code
    assert behind in seen
    text = restored(libcst.parse_module(seen.replace(behind, behind + added)), LEAVING, SPELLED_OUT)
    assert there in text and added.strip() in text and "#~" not in text


def test_a_context_goes_with_the_last_that_stands_in_it() -> None:
    left = TIMED_UPDATE.replace("        with record_function('scale'):\n            self.scale.update(qs)\n", "")
    seen = view(TIMED_UPDATE, SPELLED_OUT).code.replace("        self.scale.update(qs)\n", "", 1)
    assert left != TIMED_UPDATE and restored(libcst.parse_module(seen), TIMED_UPDATE, SPELLED_OUT) == left


def test_a_block_that_a_patch_tears_apart_is_refused() -> None:
    text = TIMED_UPDATE.replace("with record_function('scale'):", "try:") + "        except E:\n            raise\n"
    seen = view(text, SPELLED_OUT).code
    assert "try" not in seen.replace("#~with~    ~try:", "")
    with pytest.raises(Refused, match="apart"):
        restored(libcst.parse_module(seen.replace("        self.scale.update(qs)\n", "", 1)), text, SPELLED_OUT)


@pytest.mark.parametrize("name", ["newt_base", "plain", "byhand", "idioms"])
def test_trees_come_back_with_guards_and_timers_put_anywhere(name: str) -> None:
    """Any statement of a method may be timed, and the rest of any loop guarded: the text comes back."""
    dice = random.Random(name)
    for file, text in tree(name).items():
        lines, out = text.splitlines(True), []
        begins = {node.lineno for node in ast.walk(ast.parse(text)) if isinstance(node, ast.stmt)}
        for number, line in enumerate(lines):
            indent = line[: len(line) - len(line.lstrip())]
            then = lines[number + 1] if number + 1 < len(lines) else ""
            simple = (
                number + 1 in begins
                and line.strip().endswith(")")
                and then.startswith(indent)
                and then[len(indent) :][:1].isalpha()
            )
            if simple and len(indent) >= 2 and "\n" in line and dice.random() < 0.3 and _stands_alone(line):
                unit = "\t" if "\t" in indent else "    "
                tried = [f"{indent}try:\n", unit + line, f"{indent}except OSError:\n", f"{indent}{unit}raise\n"]
                out += dice.choice([[f"{indent}with timer('x'):\n", unit + line], tried])
            elif simple and line.strip().startswith("return ") and _stands_alone(line.replace("return", "x =")):
                out += [line.replace("return ", "given = ", 1), f"{indent}return given\n"]
            elif simple and len(indent) > 4 and _stands_alone(line) and dice.random() < 0.2:
                unit = "\t" if "\t" in indent else "    "
                out += [line, f"{indent}for _ in range(1):\n", f"{indent}{unit}if self.x == 1:\n"]
                before = dice.choice([[], [f"{indent}{unit * 2}self.z()\n"]])
                out += [*before, f"{indent}{unit * 2}continue\n", f"{indent}{unit}self.y()\n"]
            else:
                out.append(line)
        changed = "".join(out)
        assert restored(view(changed, SPELLED_OUT), changed, SPELLED_OUT) == changed, file


def _stands_alone(line: str) -> bool:
    try:
        compile(line.strip(), "", "exec")
    except SyntaxError:
        return False
    return True
