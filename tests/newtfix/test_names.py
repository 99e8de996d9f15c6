"""Names that code reads without a value: those that nothing gives one, and those that have it on some ways alone."""

from __future__ import annotations

import pytest

from newtfix.code.unassigned import unassigned
from newtfix.code.undefined import undefined_names


def test_names_that_nothing_defines_are_told_with_their_function() -> None:
    text = "import os\ndef f(a):\n    global made\n    made = 1\n    return os.x + a + b\nprint(made, c)\n"
    assert undefined_names(text) == {("f", "b"), ("top", "c")}


def test_where_everything_may_come_from_elsewhere_nothing_is_undefined() -> None:
    assert undefined_names("from math import *\nx = sin(y)\n") == frozenset()


@pytest.mark.parametrize(
    ("body", "early"),
    [
        ("if a:\n        x = 1\n    return x", ["x"]),
        ("if a:\n        x = 1\n    else:\n        return 0\n    return x", []),
        ("if True:\n        x = 1\n    return x", []),
        ("if 0:\n        x = 1\n    return x", ["x"]),
        ("for x in a:\n        pass\n    return x", ["x"]),
        ("with a as x:\n        y = x\n    return y", []),
        ("try:\n        x = a()\n    except ValueError:\n        raise\n    return x", []),
        ("try:\n        x = a()\n    except ValueError:\n        pass\n    return x", ["x"]),
        ("match a:\n        case 1:\n            x = 1\n        case _:\n            x = 2\n    return x", []),
        ("match a:\n        case 1:\n            x = 1\n        case 2:\n            x = 2\n    return x", ["x"]),
        (
            "match a:\n        case [x] if x:\n            y = x\n        case _:\n            return 0\n    return y",
            [],
        ),
        ("x += 1", ["x"]),
        ("return [x for x in a]", []),
    ],
)
def test_variables_that_are_read_before_they_are_set(body: str, early: list[str]) -> None:
    new = f"def f(a):\n    {body}\n"
    assert [name for _, name in unassigned("def f(a):\n    return a\n", new)] == early
    assert list(unassigned(new, new)) == []
