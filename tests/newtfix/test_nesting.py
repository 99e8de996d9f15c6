"""Code that is nested too deeply for a parser is left out and named; what people write is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from newtfix.files.nesting import DEEPEST, is_too_deep
from newtfix.files.tree import read_tree

ROOT = Path(__file__).parents[2]
FORMS: dict[str, Callable[[int], str]] = {
    "a sum": lambda n: "x = " + " + ".join(["1"] * n),
    "a sum over lines": lambda n: "x = (" + "\n  + ".join(["1"] * n) + ")",
    "a sum of calls": lambda n: "x = " + " + ".join(["f(1, 2)"] * n),
    "texts added": lambda n: "x = " + " + ".join(['"a, (b"'] * n),
    "texts side by side": lambda n: "x = (" + '"a" ' * n + ")",
    "calls": lambda n: "x = a" + ".b()" * n,
    "attributes": lambda n: "x = a" + ".b" * n,
    "subscripts": lambda n: "x = a" + "[0]" * n,
    "not": lambda n: "x = " + "not " * n + "1",
    "signs": lambda n: "x = " + "-" * n + "1",
    "lambda": lambda n: "x = " + "lambda: " * n + "1",
    "lambda with parameters": lambda n: "x = " + "lambda a, b: " * n + "1",
    "lines that go on": lambda n: "x = " + "+ \\\r\n".join(["1"] * n),
    "elif between comments": lambda n: "if a:\n    pass\n" + "# so\n\nelif b:\n    pass\n" * n,
    "conditions": lambda n: "x = " + "1 if a else " * n + "2",
    "and": lambda n: "x = " + " and ".join(["a"] * n),
    "brackets": lambda n: "x = " + "[" * n + "]" * n,
    "calls in calls": lambda n: "x = " + "f(1, " * n + "1" + ")" * n,
    "sums in brackets": lambda n: "x = " + "(1 + " * (n // 2) + "1" + ")" * (n // 2),
    "elif": lambda n: "if a:\n    pass\n" + "elif b:\n    pass\n" * n,
    "elif inside": lambda n: "def f():\n  if a:\n    pass\n" + "  elif b:\n    if c:\n      pass\n" * n,
    "in a text that is computed": lambda n: "x = f'{" + "+".join(["1"] * n) + "}'",
    "after a text": lambda n: '"""It\'s (\n""" ' + "x" + "[0]" * n,
}


@pytest.mark.parametrize("form", FORMS)
def test_too_deep(form: str) -> None:
    assert is_too_deep(FORMS[form](DEEPEST + 10))
    assert not is_too_deep(FORMS[form](DEEPEST // 8))


@pytest.mark.parametrize(
    "text",
    [
        "x = [\n" + "    'a' + 'b',\n" * 5000 + "]\n",
        "x = {" + "'a': -1, " * 5000 + "}\n",
        "x = 1 + 2\n" * 5000,
        "x = 1 + 2; " * 5000,
        '"""' + "One - two. (Three) " * 5000 + '"""\n',
        "# " + "+ " * 5000,
        "if a:\n    pass\nelif b:\n    pass\nelse:\n    pass\n" * 5000,
        "f(" + "a.b, " * 5000 + ")\n",
    ],
    ids=lambda text: text[:12],
)
def test_long_is_not_deep(text: str) -> None:
    assert not is_too_deep(text)


@pytest.mark.parametrize("text", ["", "(", ")))", "'", '"""', "f'{", "elif", "\\\n", "\x00", "]" * 1000])
def test_what_is_no_python_is_no_trouble(text: str) -> None:
    assert not is_too_deep(text)


def test_no_file_of_ours_is_too_deep() -> None:
    assert not any(is_too_deep(path.read_text("utf-8")) for path in (ROOT / "newtfix/files").glob("*.py"))


def test_a_tree_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "trainer.py").write_text("x = 1\n")
    (tmp_path / "table.py").write_text(FORMS["a sum"](4000))
    tree = read_tree(tmp_path)
    assert set(tree.sources) == {"trainer.py"} and "deep" in tree.left["table.py"] and "table.py" in tree.raw
