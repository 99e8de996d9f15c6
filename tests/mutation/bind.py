"""Mutators that bind values to locals first: an attribute of self, or a part of an expression."""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Callable, Iterator

from mutant import Modules, Mutator, Texts, Undo
from scopes import Function, functions, own_nodes, used_names
from sites import Source

Change = tuple[str, str, str]  # the new text, the function that changed, the name that is new in it
_LIMIT_NAMES = (
    "limit",
    "threshold",
    "seed_steps",
    "min_steps",
    "value_",
    "amount",
    "bound",
    "num_steps",
    "total",
    "base",
)
_ALIASES = {"cfg": ("cfg", "conf", "c"), "model": ("model", "wm", "net"), "env": ("env", "envs"), "agent": ("agent",)}


def repeated(find: Callable[[Source, random.Random], Iterator[Change]], times: int, undo: type) -> Mutator:
    """Make up to `times` changes per file; `undo` is made from the names that are new in each function."""

    def mutate(texts: Texts, only: frozenset[str], rng: random.Random) -> tuple[Texts, Undo | None]:
        changed, done = {}, {}
        for file in sorted(only):
            text, made = texts[file], []
            for _ in range(times):
                places = list(find(Source(text), rng))
                if places:
                    text, *where = rng.choice(places)
                    made.append(tuple(where))
            changed[file], done[file] = text, made
        return changed, undo(done)

    return mutate


def aliases(source: Source, rng: random.Random) -> Iterator[Change]:
    """`cfg = self.cfg` at the top of a method that uses it, and `cfg` from there on."""
    for qualname, fn in source.functions.items():
        first = next((s for s in fn.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))), None)
        if first is None or not source.whole([first]) or first.lineno == fn.lineno:
            continue
        for attribute, names in _ALIASES.items():
            uses = [n for n in ast.walk(fn) if isinstance(n, ast.Attribute) and ast.unparse(n) == f"self.{attribute}"]
            stored = any(not isinstance(n.ctx, ast.Load) for n in uses)
            name = rng.choice(names)
            plain = [n for n in uses if source.piece(n) == f"self.{attribute}"]
            if len(plain) > 1 and not stored and name not in used_names(fn) | _module_names(source):
                yield _aliased(source, plain, first, name, attribute), qualname, name


def _module_names(source: Source) -> set[str]:
    return {n for s in source.tree.body for n in used_names(s) if not isinstance(s, (ast.FunctionDef, ast.ClassDef))}


def _aliased(source: Source, uses: list[ast.Attribute], first: ast.stmt, name: str, attribute: str) -> str:
    lines = [line.encode() for line in source.lines]
    for node in sorted(uses, key=lambda n: (n.lineno, n.col_offset), reverse=True):
        line = lines[node.lineno - 1]
        lines[node.lineno - 1] = line[: node.col_offset] + name.encode() + line[node.end_col_offset :]
    lines.insert(first.lineno - 1, f"{source.blank(first)}{name} = self.{attribute}".encode())
    return b"\n".join(lines).decode()


def bindings(source: Source, rng: random.Random) -> Iterator[Change]:
    """A part of a statement, made of attributes and numbers, bound to a local in front of it or of the whole body."""
    for qualname, fn in source.functions.items():
        name = rng.choice(_LIMIT_NAMES)
        if name in used_names(fn) | _module_names(source):
            continue
        stored = {ast.unparse(n) for n in own_nodes(fn) if not isinstance(getattr(n, "ctx", ast.Load()), ast.Load)}
        for block in source.blocks(fn):
            for node in block:
                for part in _parts(source, node):
                    place = _place(source, fn, node, part, stored, rng)
                    yield _bound(source, place, part, name), qualname, name


def _parts(source: Source, node: ast.stmt) -> Iterator[ast.expr]:
    """Arithmetic on attributes in a statement that is evaluated once, where the statement begins."""
    if not source.whole([node]):
        return
    roots: list[ast.AST] = []
    if isinstance(node, (ast.Assign, ast.AugAssign, ast.Return)) and node.value is not None:
        roots = [node.value]
    elif isinstance(node, ast.If):
        roots = [node.test]
    for root in roots:
        for part in ast.walk(root):
            if isinstance(part, ast.BinOp) and _arithmetic(part) and source.piece(part):
                yield part


def _arithmetic(node: ast.AST) -> bool:
    allowed = (ast.BinOp, ast.Attribute, ast.Constant, ast.operator, ast.Load)
    parts = list(ast.walk(node))
    names = [p for p in parts if isinstance(p, ast.Name)]
    return all(isinstance(p, allowed) or p in names for p in parts) and {n.id for n in names} == {"self"}


def _place(
    source: Source, fn: Function, node: ast.stmt, part: ast.expr, stored: set[str], rng: random.Random
) -> ast.stmt:
    """The statement in front of which a value is bound: at the top only if nothing in the function changes it."""
    first = next((s for s in fn.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))), node)
    read = {ast.unparse(n) for n in ast.walk(part) if isinstance(n, ast.Attribute)}
    settled = all(r.startswith("self.cfg.") or r in ("self.cfg", "self._update_freq") for r in read)
    constructor = fn.name == "__init__"
    return first if settled and not read & stored and not constructor and rng.random() < 0.5 else node


def _bound(source: Source, place: ast.stmt, part: ast.expr, name: str) -> str:
    lines = list(source.lines)
    raw = lines[part.lineno - 1].encode()
    lines[part.lineno - 1] = (raw[: part.col_offset] + name.encode() + raw[part.end_col_offset :]).decode()
    lines.insert(place.lineno - 1, f"{source.blank(place)}{name} = {ast.unparse(part)}")
    return "\n".join(lines)


class _Inline:
    """Puts the values of locals that a mutator bound back to where they are read."""

    def __init__(self, done: dict[str, list[tuple[str, str]]]) -> None:
        self.done = done

    def __call__(self, modules: Modules) -> None:
        for file, made in self.done.items():
            found = functions(modules[file]) if file in modules else {}
            for qualname, name in reversed(made):
                if qualname in found:
                    _inline(found[qualname], name)


def _inline(fn: Function, name: str) -> None:
    bound_here = [
        n for n in ast.walk(fn) if isinstance(n, ast.Assign) and [ast.unparse(t) for t in n.targets] == [name]
    ]
    stores = [n for n in ast.walk(fn) if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store)]
    if len(bound_here) == len(stores) == 1:
        _Replace(bound_here[0], name).visit(fn)


class _Replace(ast.NodeTransformer):
    def __init__(self, node: ast.Assign, name: str) -> None:
        self.node, self.name = node, name

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        return None if node is self.node else self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return copy.deepcopy(self.node.value) if node.id == self.name else node


ALIASES: Mutator = repeated(aliases, 3, _Inline)
BINDINGS: Mutator = repeated(bindings, 2, _Inline)
