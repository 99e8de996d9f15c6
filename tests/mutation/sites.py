"""Texts seen as lines and syntax at once, and mutators that change one place after the other."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from layout import Lines, kinds_of_lines
from mutant import Mutator, per_file
from scopes import Function, functions

Site = Callable[[], str]
Find = Callable[["Source", random.Random], Iterator[Site]]
Block = list[ast.stmt]


@dataclass(frozen=True)
class Source:
    """A text, its lines and its syntax tree. Lines are counted from 0 here, from 1 in syntax nodes."""

    text: str

    @cached_property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def kinds(self) -> Lines:
        return kinds_of_lines(self.text)

    @cached_property
    def functions(self) -> dict[str, Function]:
        return functions(self.tree)

    def piece(self, node: ast.AST) -> str:
        """What stands at a node on one line; "" when it is on several, or somewhere else than the tree says."""
        line, start = node.lineno, node.col_offset  # type: ignore[attr-defined]
        if line != node.end_lineno:  # type: ignore[attr-defined]
            return ""
        found = self.lines[line - 1].encode()[start : node.end_col_offset].decode()  # type: ignore[attr-defined]
        try:
            right = ast.dump(ast.parse(f"({found})", mode="eval").body) == ast.dump(node)
        except SyntaxError:
            return ""
        return found if right or isinstance(getattr(node, "ctx", None), ast.Store) else ""

    def blocks(self, fn: ast.AST) -> Iterator[Block]:
        """Every block of a function, nested functions and classes aside."""
        for field in ("body", "orelse", "finalbody"):
            block = getattr(fn, field, None)
            if isinstance(block, list) and block:
                yield block
                for node in block:
                    if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                        yield from self.blocks(node)
        for handler in getattr(fn, "handlers", []):
            yield from self.blocks(handler)

    def all_blocks(self) -> Iterator[Block]:
        for fn in self.functions.values():
            yield from self.blocks(fn)

    def blank(self, node: ast.stmt) -> str:
        line = self.lines[node.lineno - 1]
        return line[: len(line) - len(line.lstrip(" \t"))]

    def unit(self, node: ast.stmt) -> str:
        return "\t" if "\t" in self.blank(node) else "    "

    def whole(self, run: Block) -> bool:
        """Whether statements have their lines to themselves."""
        for node in run:
            head, tail = self.lines[node.lineno - 1], self.lines[node.end_lineno - 1]  # type: ignore[operator]
            rest = tail.encode()[node.end_col_offset :].decode().strip()
            starts = head[: len(self.blank(node))].encode()
            if len(starts) != node.col_offset or head.lstrip().startswith("elif") or (rest and rest[0] != "#"):
                return False
            if getattr(node, "decorator_list", None):
                return False
        return True

    def movable(self, run: Block) -> bool:
        """Whether statements can be indented otherwise: no string goes over their lines."""
        numbers = range(run[0].lineno, run[-1].end_lineno + 1)  # type: ignore[operator]
        return self.whole(run) and not any(n in self.kinds.strings for n in numbers)

    def run_lines(self, run: Block) -> list[str]:
        return self.lines[run[0].lineno - 1 : run[-1].end_lineno]

    def one_line(self, node: ast.stmt) -> bool:
        return node.lineno == node.end_lineno and self.whole([node])

    def replaced(self, first: int, last: int, new: list[str]) -> str:
        """The text with the lines first to last (from 1, both included) replaced."""
        return "\n".join([*self.lines[: first - 1], *new, *self.lines[last:]])


def shifted(lines: list[str], more: str) -> list[str]:
    return [more + line if line.strip() else line for line in lines]


def indented_as(lines: list[str], old: str, new: str) -> list[str]:
    """Lines of a block with another indentation; what does not start with the old one is left alone."""
    return [new + line[len(old) :] if line.startswith(old) else line for line in lines]


def one_by_one(find: Find, share: float = 0.3, most: int = 12) -> Mutator:
    """Change a share of the places that `find` finds (at least one, `most` at most), looking again after each."""

    def change(text: str, rng: random.Random) -> str:
        wanted = None
        while wanted is None or wanted > 0:
            places = list(find(Source(text), rng))
            if not places:
                break
            if wanted is None:
                wanted = min(most, max(1, round(share * len(places))))
            text = rng.choice(places)()
            wanted -= 1
        return text

    return per_file(change)
