"""The pattern language: what matches, what does not, and what becomes of the tree's own bytes."""

from __future__ import annotations

import textwrap
from pathlib import Path

import libcst as cst
import pytest

from newtfix.errors import PatchError
from newtfix.match.matching import ABOUT, LIKE
from newtfix.match.pattern import Match, find, parse_pattern
from newtfix.match.render import at, render_expression, render_statements, replace_at, style_at
from newtfix.match.touched import breaks

ROOT = Path(__file__).parents[2]


def code(text: str) -> cst.Module:
    return cst.parse_module(textwrap.dedent(text).lstrip("\n"))


def count(pattern: str, text: str) -> int:
    return len(find(parse_pattern(pattern), code(text)))


def rewrite(before: str, after: str, text: str) -> str:
    module = code(text)
    for match in reversed(find(parse_pattern(before), module)):
        module = _apply(module, match, after)
    return module.code


def _apply(module: cst.Module, match: Match, after: str) -> cst.Module:
    if not match.is_run:
        new = render_expression(parse_pattern(after), match, at(module, match.path))
        return replace_at(module, match.path, new)  # type: ignore[no-any-return]
    block = at(module, match.path)
    template = parse_pattern(after, statements=True)
    new = render_statements(template, match, block.body[match.start : match.stop], style_at(module, match.path))
    body = [*block.body[: match.start], *new, *block.body[match.stop :]]
    return replace_at(module, match.path, block.with_changes(body=body))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("a.b * c", "x = a.b*c"),
        ("a.b * c", "x = (a . b  *  (c))"),
        ("a * b * c", "x = b * (a * c)"),
        ("f('x')", 'y = f("x")'),
        ("f($x)", "f(1 + 2)"),
        ("f($x, $x)", "f(a.b, (a.b))"),
        ("f($*rest)", "f()"),
        ("f($*rest)", "f(1, *b, k=2)"),
        ("f($a, $*rest, k=1)", "f(0, 2, 3, k=1)"),
        ("$x.item()", "loss.mean().item()"),
        ("self.$name($*a)", "self.foo(1)"),
        ("$_ + $_", "a + b"),
        ("self._tds[: $n + 1, $i]", "self._tds[:n[i]+1,i]"),
        ("if a:\n    $$body", "if a:\n    x\n    y\nelse:\n    z"),
        ("if a:\n    $$body", "if a: x"),
        ("x = 1\n$$between\ny = 2", "x = 1\ny = 2"),
        ("x = 1\n$$between\ny = 2", "x = 1\nprint()\nprint()\ny = 2"),
        ("def f(self, x):\n    $$body", "@no_grad()\ndef f(self, x):\n    'doc'\n    return x"),
        ("def f(self, $*p):\n    $$body", "def f(self, a, b=1, *c):\n    pass"),
        ("while a:\n    $$body", "for x in y:\n    while a:\n        b"),
        ("return $@moved[$a]", "def f(a):\n    return a.detach().cpu()"),
        ("return $@moved[$a]", "def f(a):\n    return a"),
        ("return $@moved[$a], $@moved[$b]", "def f(a, b):\n    return a.to(x), b.to(x)"),
        ("$a = $@moved[f($*_)[1:]]", "a = f(x)[1:].contiguous()"),
        ("x >= y", "y <= x"),
        ("x > y", "not x <= y"),
        ("x == y", "y == x"),
        ("x and $y", "y and x"),
        ("x or y", "y or x"),
        ("x += y", "x = x + y"),
        ("x += y", "x: float = x + y"),
        ("self.x *= 2", "self.x = self.x * 2"),
        ("x = y", "x: float = y"),
        ("f([$x for $x in $all])", "f(a for a in b)"),
        ("return $@moved[$a[0]]", "def f(a):\n    return a[0].detach().flatten()"),
        ("f(a=1, b=2)", "f(b=2, a=1)"),
        ("f($x, a=1, b=2)", "f(0, b=2, a=1)"),
        ("f(a=1, b=2, $*_)", "f(b=2, c=3, a=1)"),
        ("x = f()", "x = f().float()"),
        ("if a:\n    x\nelse:\n    y", "if not a:\n    y\nelse:\n    x"),
        ("a + b", "b + a"),
        ("a * b * c", "c * (b * a)"),
        ("x = 10.0", "x = 5.0 * 2"),
        ("x = 4.0", "x = float(2) + 2.0"),
    ],
)
def test_matches(pattern: str, text: str) -> None:
    assert count(pattern, text) == 1


@pytest.mark.parametrize(
    ("pattern", "text", "why"),
    [
        ("a * b", "a / b", "another operator"),
        ("a - b", "b - a", "another order"),
        ("f('x')", "f('y')", "another string"),
        ("f($x, $x)", "f(a, b)", "one hole, two values"),
        ("f($x)", "f()", "nothing for the hole"),
        ("f($x)", "f(1, 2)", "an argument too many"),
        ("f($x)", "f(*a)", "a star is not an expression"),
        ("x = 1\ny = 2", "x = 1\nz\ny = 2", "a statement between"),
        ("if a:\n    x", "if a:\n    x\n    y", "a longer body"),
        ("f(k=$x)", "f($y)".replace("$", ""), "positional, not by keyword"),
        ("f($x)", "# f(1)", "a comment"),
        ("f($x)", "'f(1)'", "a string"),
        ("return $@moved[f($x)]", "def g(a):\n    return f(a).clamp(0, 1)", "neither moved nor cast"),
        ("return $@moved[$a], $@moved[$b]", "def f(a, b):\n    return a.cpu(), b", "moved otherwise"),
        ("return $@moved[$a], $b", "def f(a):\n    return a.cpu()", "one value"),
        ("x >= y", "y >= x", "the other way round"),
        ("x >= y", "not x <= y", "another negation"),
        ("x > y", "a < y < x", "a chain of comparisons"),
        ("x > y", "w = x > 1, not x in y", "a negation of something else"),
        ("x and y", "y or x", "another operation"),
        ("x += y", "x = y + x", "another order of what is added"),
        ("x += y", "x = x - y", "another operator in an assignment"),
        ("x += y", "z = x + y", "another target"),
        ("x += y", "x = z = x + y", "two targets"),
        ("f(a=1, b=2)", "f(b=2, a=1, c=3)", "a keyword too many"),
        ("f(a=1, b=2)", "f(b=2, c=1)", "another keyword"),
        ("x = f()", "x = f().clamp()", "neither cast nor moved"),
        ("x = f(1)", "x = f(1).float()", "cast, with arguments"),
        ("if a:\n    x\nelse:\n    y", "if not a:\n    x\nelse:\n    y", "arms that are not swapped"),
        ("if a:\n    x\nelse:\n    y", "if b:\n    y\nelse:\n    x", "no negation"),
        ("a * b * c", "c * b * b", "other factors"),
        ("a * b * c", "d * a * b * c", "a factor more"),
        ("x = 10.0", "x = 5.0 * 3", "another number"),
        ("x = 10.0", "x = 5.0 + y", "no number"),
    ],
    ids=lambda value: value if " " in value and len(value) < 40 else "",
)
def test_leaves_alone(pattern: str, text: str, why: str) -> None:
    assert count(pattern, text) == 0, why


def test_places_inside_another_match_are_not_counted() -> None:
    assert count("f($x)", "f(f(1)) + f(2)") == 2


def test_an_expression_keeps_its_parentheses_and_everything_around_it() -> None:
    before = "x  =  ( a*b )   # why\n\n\ny=2\n"
    assert rewrite("a * b", "c", before) == "x  =  ( c )   # why\n\n\ny=2\n"


def test_repeated_statements_keep_their_bytes() -> None:
    text = "# above\nx   =  f( 1 )  # behind\ny = 2\n"
    assert rewrite("x = f($a)", "x = f($a)\nlog(x)", text) == "# above\nx   =  f( 1 )  # behind\nlog(x)\ny = 2\n"


def test_what_stood_above_a_replaced_statement_stays_above() -> None:
    text = "a = 0\n\n# the reason\nx = old()  # and more\n"
    expected = "a = 0\n\n# the reason\nx = new()  # and more\ny = x\n"
    assert rewrite("x = old()", "x = new()\ny = x", text) == expected


def test_a_statement_that_something_is_put_before_keeps_its_comment() -> None:
    text = "x = 0\n# loop\nwhile a:\n    b  # c\n"
    expected = "x = 0\nstart()\n# loop\nwhile a:\n    b  # c\n"
    assert rewrite("while a:\n    $$b", "start()\nwhile a:\n    $$b", text) == expected


def test_caught_statements_move_with_their_comments_and_their_indentation() -> None:
    text = "def f():\n\tx += 1  # one\n\n\t# two\n\tif x:\n\t\ty()\n"
    after = "if due:\n    burst()\nelse:\n    x += $n\n    $$rest"
    expected = "def f():\n\tif due:\n\t\tburst()\n\telse:\n\t\tx += 1  # one\n\n\t\t# two\n\t\tif x:\n\t\t\ty()\n"
    assert rewrite("x += $n\n$$rest", after, text) == expected


def test_a_changed_header_keeps_the_body_the_else_and_the_comments() -> None:
    text = "if a:  # why\n    x()  # body\n    # end\nelse:\n    y()\n"
    assert rewrite("if a:\n    $$b", "if a and b:\n    $$b", text) == text.replace("if a:", "if a and b:")


def test_a_function_that_is_written_anew_keeps_its_docstring_unless_the_new_one_has_its_own() -> None:
    before = 'def f(x):\n    """Mine."""\n    return x\n'
    pattern = "def f($*a):\n    $$body"
    assert rewrite(pattern, "def f($*a):\n    return 1", before) == before.replace("return x", "return 1")
    own = 'def f($*a):\n    """Ours."""\n    return 1'
    assert rewrite(pattern, own, before) == 'def f(x):\n    """Ours."""\n    return 1\n'


def test_new_parameters_stand_behind_those_that_are_given_by_name_alone() -> None:
    pattern, new = "def f($*a):\n    $$body", "def f($*a, n=1):\n    $$body"
    for before, after in (("x", "x, n=1"), ("x, *, k", "x, *, k, n=1"), ("*xs", "*xs, n=1")):
        code = "def f({}):\n    return 1\n"
        assert rewrite(pattern, new, code.format(before)) == code.format(after)


def test_what_is_changed_in_place_is_touched() -> None:
    pattern = parse_pattern("if a:\n    $$body\n    y = $x")
    cases = {"z.add_(1)": False, "x.add_(1)": True, "x.__len__()": False, "x[0] = 1": True}
    for body, is_touched in cases.items():
        (match,) = find(pattern, code(f"if a:\n    {body}\n    y = x\n"))
        found = breaks(match, ["body:x"])
        assert (found and cst.Module([]).code_for_node(found).strip()) == (body if is_touched else None)


def test_decorators_and_blank_lines_survive_a_changed_signature() -> None:
    text = "class A:\n\n    # hm\n    @no_grad()\n    def f(self, x):\n        return x\n"
    after = "def f(self, x, y):\n    $$body"
    assert rewrite("def f(self, x):\n    $$body", after, text) == text.replace("(self, x)", "(self, x, y)")


def test_docstrings_of_new_code_are_indented_and_end_lines_like_the_file() -> None:
    text = "class A:\r\n\tdef f(self):\r\n\t\tpass\r\n"
    after = 'def f(self):\n    """One.\n\n    Two:\n        three.\n    """\n    return 1'
    result = rewrite("def f(self):\n    pass", after, text)
    assert result.count("\n") == result.count("\r\n")
    assert '\t\t"""One.\r\n\r\n\t\tTwo:\r\n\t\t\tthree.\r\n\t\t"""\r\n' in result


def test_a_pattern_that_is_no_python_is_refused_with_the_line() -> None:
    with pytest.raises(PatchError, match=r"(?s)no Python with holes.*line 2, 'def \('"):
        parse_pattern("x = 1\ndef (")


def test_parts_that_a_new_expression_repeats_keep_their_layout() -> None:
    module = code("total = (first \\\n\t* weights[1 :]).sum( 0 )\n")
    (match,) = find(parse_pattern("($x * weights[1:]).sum(0)"), module)
    new = render_expression(parse_pattern("($x * weights[1:]).mean(0)"), match, at(module, match.path))
    assert replace_at(module, match.path, new).code == "total = (first \\\n\t* weights[1 :]).mean(0)\n"


def test_a_hole_that_caught_no_arguments_leaves_no_comma() -> None:
    module = code("run = compile(f)\n")
    (match,) = find(parse_pattern("compile($f, $*options)"), module)
    new = render_expression(parse_pattern("build($f, $*options)"), match, at(module, match.path))
    assert replace_at(module, match.path, new).code == "run = build(f)\n"


@pytest.mark.parametrize("moved", ["a", "a.cpu()", "a.detach().to(self.device, non_blocking=True)"])
def test_something_else_is_moved_and_cast_alike(moved: str) -> None:
    before, after = "$x = plan()\nreturn $@moved[$x]", "$x, y = plan()\nreturn $@moved[$x], $@moved[y]"
    now = f"a, y = plan()\nreturn {moved}, {moved.replace('a', 'y', 1)}\n"
    assert rewrite(before, after, f"a = plan()\nreturn {moved}\n") == now


def test_holes_that_catch_less_than_others_are_on_the_page_for_authors() -> None:
    page = (ROOT / "docs" / "patches.md").read_text()
    assert [name for name in {**LIKE, **ABOUT} if f"`${name}`" not in page] == []


def test_a_field_that_changes_keeps_its_comment() -> None:
    module = code("class Config:\n    # how much\n    size: int = 3  # of it\n")
    (match,) = find(parse_pattern("size: $type = $value"), module)
    block = at(module, match.path)
    (new,) = render_statements(
        parse_pattern("size: $type = 4", statements=True), match, block.body, style_at(module, match.path)
    )
    changed = replace_at(module, match.path, block.with_changes(body=[new]))
    assert changed.code == "class Config:\n    # how much\n    size: int = 4  # of it\n"
