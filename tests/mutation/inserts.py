"""Mutators that insert: comments, prints, idle statements, methods, decorators. All of it carries the mark."""

from __future__ import annotations

import ast
import io
import random
import tokenize
from collections.abc import Callable, Iterator
from itertools import pairwise

from mutant import MARK
from scopes import functions

OLD_CODE = ("action = self.env.rand_act()", "self.buffer.add(td)", "use_agent = True", "if self._step > 0:", "x += 1")
STATEMENTS: dict[str, tuple[str, ...]] = {
    "comments": (f"# {MARK}: look at this again", f"# {MARK}: {{old}}", f"# {MARK} {'-' * 40}", f"# TODO({MARK})"),
    "prints": (f"print('{MARK}', 1)", f"print(f'{MARK} {{{{1 + 1}}}}', flush=True)"),
    "idle": (
        "pass", f"{MARK}_start = __import__('time').time()", f"{MARK}_n = 0", f"{MARK}_flag = False", "assert True",
        f"{MARK}_a, {MARK}_b = 1, 2", f"import logging as {MARK}_logging",
    ),
    "branches": (
        f"if len('{MARK}') == 0:\n\traise RuntimeError('{MARK}')",
        f"if '{MARK}' == 'off':\n\tpass\nelse:\n\tpass",
    ),
}  # fmt: skip


def _starts(text: str) -> Iterator[tuple[int, str]]:
    """Line number and indentation of every statement in a function that begins its line (no docstring, no elif)."""
    lines = text.split("\n")
    for fn in functions(ast.parse(text)).values():
        for owner in ast.walk(fn):
            for field in ("body", "orelse", "finalbody"):
                block = getattr(owner, field, None)
                for index, node in enumerate(block) if isinstance(block, list) else ():
                    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
                    line = lines[first - 1]
                    blank = line[: len(line) - len(line.lstrip(" \t"))]
                    docstring = owner is fn and index == 0 and isinstance(node, ast.Expr)
                    if (
                        len(blank.encode()) == node.col_offset
                        and not line.lstrip().startswith("elif")
                        and not docstring
                    ):
                        yield first, blank


def inserting(kind: str, share: float) -> Callable[[str, random.Random], str]:
    """Insert statements (or comments) of a kind before a share of all statements."""

    def change(text: str, rng: random.Random) -> str:
        lines = text.split("\n")
        for number, blank in sorted(set(_starts(text)), reverse=True):
            if rng.random() < share:
                new = rng.choice(STATEMENTS[kind]).format(old=rng.choice(OLD_CODE))
                lines[number - 1 : number - 1] = [blank + line for line in new.split("\n")]
        return "\n".join(lines)

    return change


def trailing_comments(text: str, rng: random.Random) -> str:
    """A comment at the end of many lines that end a statement, or a part of one inside brackets."""
    lines = text.split("\n")
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(text).readline))):
        row, column = token.start
        if token.type not in (tokenize.NEWLINE, tokenize.NL) or rng.random() > 0.4:
            continue
        before = lines[row - 1][:column]
        if before.strip() and "#" not in before:
            lines[row - 1] = f"{before}  # {MARK} {row}"
    return "\n".join(lines)


def comments_inside(text: str, rng: random.Random) -> str:
    """Arguments on lines of their own, with comments between them."""
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    lines, depth, places = text.split("\n"), 0, []
    for token, after in pairwise(tokens):
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
            breakable = depth > 0 and token.string in "([{," and after.type not in (tokenize.NL, tokenize.COMMENT)
            if breakable and rng.random() < 0.15:
                places.append(token.end)
    for row, column in reversed(places):
        line = lines[row - 1]
        blank = line[: len(line) - len(line.lstrip(" \t"))]
        rest = blank + ("\t\t" if "\t" in blank else "        ") + line[column:].lstrip(" ")
        lines[row - 1 : row] = [f"{line[:column].rstrip(' ')}  # {MARK} {row}", rest]
    return "\n".join(lines)


def docstrings(text: str, rng: random.Random) -> str:
    """A docstring for functions without one."""
    lines = text.split("\n")
    for fn in sorted(functions(ast.parse(text)).values(), key=lambda fn: -fn.body[0].lineno):
        first = fn.body[0]
        decorated = getattr(first, "decorator_list", [])
        if ast.get_docstring(fn) is None and first.lineno > fn.lineno and not decorated:
            blank = lines[first.lineno - 1][: first.col_offset]
            lines[first.lineno - 1 : first.lineno - 1] = [f'{blank}"""{MARK}: what it does.', "", f'{blank}"""']
    return "\n".join(lines)


def methods(text: str, rng: random.Random) -> str:
    """An unrelated method in front of some methods, and a property at the end of some classes."""
    lines = text.split("\n")
    heads = [
        (min([m.lineno, *(d.lineno for d in m.decorator_list)]), m.col_offset)
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef)
        for m in node.body
        if isinstance(m, ast.FunctionDef)
    ]
    for number, (line, width) in enumerate(sorted(heads, reverse=True)):
        if rng.random() < 0.3:
            blank = lines[line - 1][:width]
            unit = "\t" if "\t" in blank else "    "
            name = f"{MARK}_{rng.choice(['render', 'note', 'state'])}{number}"
            body = [f"{blank}def {name}(self, action=None, *rest):", f"{blank}{unit}return action, rest", ""]
            lines[line - 1 : line - 1] = body
    return "\n".join(lines)


def decorators(text: str, rng: random.Random) -> str:
    """A decorator that changes nothing on some methods."""
    lines = text.split("\n")
    module = ast.parse(text)
    heads = [fn.lineno for name, fn in functions(module).items() if "." in name and rng.random() < 0.3]
    if not heads:
        return text
    for line in sorted(heads, reverse=True):
        head = lines[line - 1]
        lines.insert(line - 1, f"{head[: len(head) - len(head.lstrip())]}@{MARK}_same")
    first = next((s.lineno for s in module.body if isinstance(s, (ast.ClassDef, ast.FunctionDef))), 1)
    first = min([first, *(d.lineno for s in module.body for d in getattr(s, "decorator_list", []))])
    lines[first - 1 : first - 1] = [f"def {MARK}_same(fn):", "    return fn", "", ""]
    return "\n".join(lines)
