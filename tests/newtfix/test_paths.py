"""What decides whether a place in a function is reached."""

from __future__ import annotations

import ast

import pytest

from newtfix.code.paths import conditions, names_in, path_to, skipped_by

HERE = "here"


def to_here(code: str) -> list[ast.AST]:
    tree = ast.parse(code)
    return list(path_to(tree, next(node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == HERE)))


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("here", []),
        ("if a:\n    here", [("a", True)]),
        ("if a:\n    b\nelse:\n    here", [("a", False)]),
        ("if a:\n    b\nelif c:\n    here", [("a", False), ("c", True)]),
        ("if here:\n    a", []),
        ("while a:\n    here", [("a", True)]),
        ("while here:\n    a", []),
        ("for a in b:\n    here", []),
        ("x = here if a else b", [("a", True)]),
        ("x = b if a else here", [("a", False)]),
        ("x = a if here else b", []),
        ("a and b and here", [("a", True), ("b", True)]),
        ("a or here", [("a", False)]),
        ("here and a", []),
        ("[here for a in b if c if d]", [("c", True), ("d", True)]),
        ("{here: 1 for a in b if c}", [("c", True)]),
        ("[a for a in here if c]", []),
        ("match a:\n    case 1 if b:\n        here", [("a", True), ("b", True)]),
        ("match a:\n    case 1:\n        here", [("a", True)]),
        ("match here:\n    case 1:\n        a", []),
        ("try:\n    here\nexcept E:\n    a", []),
        ("try:\n    a\nexcept E:\n    here", [("E", True)]),
        ("try:\n    a\nexcept:\n    here", [("BaseException", True)]),
        ("if a:\n    while b:\n        c or here", [("a", True), ("b", True), ("c", False)]),
    ],
)
def test_what_must_hold(code: str, found: list[tuple[str, bool]]) -> None:
    assert [(ast.unparse(test), says) for test, says in conditions(to_here(code))] == found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("here", []),
        ("if a:\n    continue\nhere", ["a"]),
        ("if a:\n    break\nif b:\n    return\nhere", ["a", "b"]),
        ("here\nif a:\n    continue", []),
        ("if a:\n    x()\nhere", []),
        ("if a:\n    b\nelse:\n    if c:\n        continue\n    here", ["c"]),
        ("try:\n    a\nfinally:\n    if c:\n        break\n    here", ["c"]),
        ("for x in y:\n    if a:\n        continue\nhere", []),
        ("for x in y:\n    if a:\n        return\nhere", ["a"]),
        ("while y:\n    if a:\n        break\nhere", []),
        ("def f():\n    if a:\n        return\nhere", []),
        ("with x:\n    if a and b:\n        if c:\n            continue\nhere", ["a and b", "c"]),
    ],
)
def test_what_leaves_a_turn_before(body: str, found: list[str]) -> None:
    path = to_here("def g():\n    for i in j:\n        " + body.replace("\n", "\n        "))
    loop = next(node for node in path if isinstance(node, ast.For))
    assert [ast.unparse(test) for test, _ in skipped_by(path, loop)] == found


def test_names_are_those_that_are_read() -> None:
    assert names_in(ast.parse("self.a + b.c(self, d[0]) + (lambda: e)()")) == {"self.a", "b", "b.c", "d", "e"}
