"""A mutator that puts runs of statements into methods of their own."""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass

from bind import Change, repeated
from mutant import Modules, Mutator
from scopes import Function, bound, functions, occurrences, parameters
from sites import Block, Source, shifted


@dataclass(frozen=True)
class _Run:
    """Statements to move, and the locals that they take and give back. `tail`: they end the function."""

    nodes: Block
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    tail: bool


_STAYS = (ast.Yield, ast.YieldFrom, ast.Await, ast.Global, ast.Nonlocal, ast.FunctionDef, ast.ClassDef, ast.Delete)


def extractions(source: Source, rng: random.Random) -> Iterator[Change]:
    """A run of statements of a method moved to a method of its own."""
    for qualname, fn in source.functions.items():
        of_class = "." in qualname
        if of_class and not (fn.args.args and fn.args.args[0].arg == "self"):
            continue
        runs = [r for r in (_run(fn, nodes, source) for nodes in _candidates(source, fn, rng)) if r]
        if runs:
            run = rng.choice(runs)
            name = f"_part_{len(source.functions)}_{run.nodes[0].lineno}"
            yield _extracted(source, fn, run, name, of_class), qualname, name


def _candidates(source: Source, fn: Function, rng: random.Random) -> Iterator[Block]:
    """Whole blocks, and shorter runs within them."""
    for block in source.blocks(fn):
        body = block[1:] if block is fn.body and ast.get_docstring(fn) else block
        if len(body) > 1:
            first = rng.randrange(len(body) - 1)
            yield body[first : rng.randrange(first + 2, len(body) + 1)]
            if block is not fn.body:
                yield body


def _run(fn: Function, nodes: Block, source: Source) -> _Run | None:
    """What a run takes and gives back, if it can be moved."""
    if not source.movable(nodes) or sum(len(list(ast.walk(n))) for n in nodes) < 15:
        return None
    tail = nodes[-1] is fn.body[-1]
    inside = [part for node in nodes for part in ast.walk(node)]
    if any(isinstance(p, _STAYS) or (isinstance(p, ast.Name) and p.id in ("super", "__class__")) for p in inside):
        return None
    if _jumps(nodes) or (not tail and any(isinstance(p, ast.Return) for p in inside)):
        return None
    if tail and any(isinstance(p, ast.Return) for p in inside) and not isinstance(nodes[-1], ast.Return):
        return None
    return _with_names(fn, nodes, tail and isinstance(nodes[-1], ast.Return))


def _jumps(nodes: Block) -> bool:
    """Whether a break or continue leads out of the run."""
    for node in nodes:
        if isinstance(node, (ast.Break, ast.Continue)):
            return True
        if not isinstance(node, (ast.For, ast.While)):
            inner = [s for f in ("body", "orelse", "finalbody") for s in getattr(node, f, [])]
            if inner and _jumps(inner):
                return True
    return False


def _with_names(fn: Function, nodes: Block, tail: bool) -> _Run | None:
    mine = bound(fn) - {"self"}
    inside = {id(part) for node in nodes for part in ast.walk(node)}
    first_line = nodes[0].lineno
    takes, gives = [], []
    for name in sorted(mine):
        places = occurrences(fn, name)
        here = [p for p in places if id(p) in inside]
        outside = [p for p in places if id(p) not in inside]
        reads = any(isinstance(p, ast.Name) and isinstance(p.ctx, ast.Load) for p in outside)
        writes = any(isinstance(p, ast.Name) and isinstance(p.ctx, ast.Store) for p in here)
        if not here:
            continue
        settled = _assigned_first(nodes, name)
        before = any(
            isinstance(p, ast.arg) or (isinstance(p.ctx, ast.Store) and p.lineno < first_line) for p in outside
        )
        if not settled and not before:
            return None
        if not settled:
            takes.append(name)
        if writes and (reads or not settled) and not tail:
            gives.append(name)
    known = [p.arg for p in parameters(fn)]
    takes.sort(key=lambda n: known.index(n) if n in known else len(known))
    return _Run(nodes, tuple(takes), tuple(gives), tail) if len(takes) < 12 else None


def _assigned_first(nodes: Block, name: str) -> bool:
    """Whether a run binds a name, come what may, before it reads it."""
    for node in nodes:
        touched = [p for p in ast.walk(node) if isinstance(p, ast.Name) and p.id == name]
        if touched:
            plain = isinstance(node, ast.Assign) and all(isinstance(p.ctx, ast.Store) for p in touched)
            looped = isinstance(node, ast.For) and any(p in touched for p in ast.walk(node.target))
            inner = isinstance(node, ast.With) and _assigned_first(node.body, name)
            return plain or inner or (looped and not any(p in touched for p in ast.walk(node.iter)))
    return False


def _extracted(source: Source, fn: Function, run: _Run, name: str, of_class: bool) -> str:
    blank = source.blank(run.nodes[0])
    head = source.lines[fn.lineno - 1]
    outer = head[: len(head) - len(head.lstrip(" \t"))]
    unit = "\t" if "\t" in blank else "    "
    call = f"{'self.' if of_class else ''}{name}({', '.join(run.takes)})"
    target = "return " if run.tail else f"{', '.join(run.gives)} = " if run.gives else ""
    body = [line.removeprefix(blank) for line in source.run_lines(run.nodes)]
    if run.gives:
        body.append(f"return {', '.join(run.gives)}")
    taken = ", ".join([*(["self"] if of_class else []), *run.takes])
    method = ["", f"{outer}def {name}({taken}):", *shifted(body, outer + unit)]
    lines = list(source.lines)
    lines[fn.end_lineno or 0 : fn.end_lineno] = method
    lines[run.nodes[0].lineno - 1 : run.nodes[-1].end_lineno] = [f"{blank}{target}{call}"]
    return "\n".join(lines)


class _PutBack:
    """Puts the bodies of methods that a mutator made back to where they are called."""

    def __init__(self, done: dict[str, list[tuple[str, str]]]) -> None:
        self.done = done

    def __call__(self, modules: Modules) -> None:
        for file, made in self.done.items():
            for qualname, name in reversed(made) if file in modules else ():
                owner = qualname.rpartition(".")[0]
                found = functions(modules[file])
                helper = found.get(f"{owner}.{name}" if owner else name)
                if helper is not None:
                    for fn in found.values():
                        _Calls(helper).visit(fn)
                    _Without(helper).visit(modules[file])


class _Without(ast.NodeTransformer):
    def __init__(self, node: ast.AST) -> None:
        self.node = node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        return None if node is self.node else node


class _Calls(ast.NodeTransformer):
    """Replaces statements that are nothing but a call of a method by what the method does."""

    def __init__(self, helper: Function) -> None:
        self.helper = helper

    def _is_call(self, value: ast.AST | None) -> bool:
        return isinstance(value, ast.Call) and ast.unparse(value.func).removeprefix("self.") == self.helper.name

    def visit_Expr(self, node: ast.Expr) -> Block | ast.AST:
        return self._body(node.value) if self._is_call(node.value) else node

    def visit_Return(self, node: ast.Return) -> Block | ast.AST:
        return self._body(node.value, returns=True) if self._is_call(node.value) else node

    def visit_Assign(self, node: ast.Assign) -> Block | ast.AST:
        return self._body(node.value, target=node.targets[0]) if self._is_call(node.value) else node

    def _body(self, call: ast.AST | None, target: ast.expr | None = None, returns: bool = False) -> Block:
        assert isinstance(call, ast.Call)
        names = [p.arg for p in parameters(self.helper) if p.arg != "self"]
        given = [*zip(names, call.args, strict=False), *((k.arg, k.value) for k in call.keywords)]
        head = [ast.Assign([ast.Name(n or "", ast.Store())], v) for n, v in given if ast.unparse(v) != n]
        body = copy.deepcopy(self.helper.body)
        last = body[-1]
        if not returns and isinstance(last, ast.Return):
            same = target is not None and last.value is not None and ast.unparse(target) == ast.unparse(last.value)
            body = body[:-1]
            if target is not None and not same and last.value is not None:
                body.append(ast.Assign([target], last.value))
        return [*head, *body]


EXTRACTIONS: Mutator = repeated(extractions, 2, _PutBack)
