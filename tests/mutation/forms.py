"""Finders of places where the same thing can be written in another way."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from itertools import pairwise

from normal import commute, is_pairwise, reads_and_writes, signatures
from sites import Block, Site, Source, indented_as, shifted

_TURNED = {ast.Lt: ">", ast.LtE: ">=", ast.Gt: "<", ast.GtE: "<="}
_NEGATED = {ast.Lt: ">=", ast.LtE: ">", ast.Gt: "<=", ast.GtE: "<"}
_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


def _with(source: Source, node: ast.AST, new: str) -> str:
    """The text with another expression or statement in place of one that is on a single line."""
    raw = source.lines[node.lineno - 1].encode()  # type: ignore[attr-defined]
    line = raw[: node.col_offset] + new.encode() + raw[node.end_col_offset :]  # type: ignore[attr-defined]
    return source.replaced(node.lineno, node.lineno, [line.decode()])  # type: ignore[attr-defined]


def _tests(source: Source) -> Iterator[ast.expr]:
    for fn in source.functions.values():
        for node in ast.walk(fn):
            if isinstance(node, (ast.If, ast.While, ast.IfExp)):
                yield from node.test.values if isinstance(node.test, ast.BoolOp) else [node.test]


def comparisons(source: Source, rng: random.Random) -> Iterator[Site]:
    """`a >= b` as `b <= a` or `not a < b`."""
    for test in _tests(source):
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and type(test.ops[0]) in _TURNED:
            left, right = source.piece(test.left), source.piece(test.comparators[0])
            plain = not any(isinstance(n, (ast.Subscript, ast.NamedExpr, ast.IfExp)) for n in ast.walk(test))
            if source.piece(test) and left and right and plain:
                turned = f"{right} {_TURNED[type(test.ops[0])]} {left}"
                negated = f"not {left} {_NEGATED[type(test.ops[0])]} {right}"
                new = rng.choice([turned, negated])
                yield lambda test=test, new=new: _with(source, test, new)


def products(source: Source, rng: random.Random) -> Iterator[Site]:
    """`a * b` as `b * a`."""
    for fn in source.functions.values():
        for node in ast.walk(fn):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) and source.piece(node):
                left, right = source.piece(node.left), source.piece(node.right)
                simple = all(isinstance(e, (ast.Name, ast.Attribute, ast.Constant)) for e in (node.left, node.right))
                if left and right and simple:
                    yield lambda node=node, new=f"{right} * {left}": _with(source, node, new)


def augmented(source: Source, rng: random.Random) -> Iterator[Site]:
    """`self.x += y` as `self.x = self.x + y`, and back."""
    for block in source.all_blocks():
        for node in block:
            if isinstance(node, ast.AugAssign) and type(node.op) in _OPERATORS and source.one_line(node):
                target, value = ast.unparse(node.target), ast.unparse(node.value)
                value = value if isinstance(node.value, (ast.Name, ast.Constant, ast.Attribute)) else f"({value})"
                new = f"{target} = {target} {_OPERATORS[type(node.op)]} {value}"
                if isinstance(node.target, ast.Attribute):
                    yield lambda node=node, new=new: _with(source, node, new)
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp) and source.one_line(node):
                target, op = node.targets[0], type(node.value.op)
                same = ast.unparse(target) == ast.unparse(node.value.left)
                if same and isinstance(target, ast.Attribute) and op in _OPERATORS:
                    new = f"{ast.unparse(target)} {_OPERATORS[op]}= {ast.unparse(node.value.right)}"
                    yield lambda node=node, new=new: _with(source, node, new)


def choices(source: Source, rng: random.Random) -> Iterator[Site]:
    """`x = a if c else b` as if and else, and back."""
    for block in source.all_blocks():
        for node in block:
            if isinstance(node, (ast.Assign, ast.Return)) and isinstance(node.value, ast.IfExp):
                if source.one_line(node) and (isinstance(node, ast.Return) or isinstance(node.targets[0], ast.Name)):
                    yield lambda node=node: _spread(source, node, node.value)
            elif isinstance(node, ast.If) and len(node.body) == len(node.orelse) == 1 and source.whole([node]):
                arms = (node.body[0], node.orelse[0])
                if all(isinstance(a, ast.Assign) and isinstance(a.targets[0], ast.Name) for a in arms):
                    same = ast.unparse(arms[0].targets[0]) == ast.unparse(arms[1].targets[0])  # type: ignore[attr-defined]
                    if same and all(len(a.targets) == 1 for a in arms):  # type: ignore[attr-defined]
                        yield lambda node=node: _gather(source, node)


def _spread(source: Source, node: ast.Assign | ast.Return, choice: ast.IfExp) -> str:
    blank, unit = source.blank(node), source.unit(node)
    head = "return" if isinstance(node, ast.Return) else f"{ast.unparse(node.targets[0])} ="
    test, yes, no = (ast.unparse(part) for part in (choice.test, choice.body, choice.orelse))
    new = [f"{blank}if {test}:", f"{blank}{unit}{head} {yes}", f"{blank}else:", f"{blank}{unit}{head} {no}"]
    return source.replaced(node.lineno, node.lineno, new)


def _gather(source: Source, node: ast.If) -> str:
    yes, no = node.body[0], node.orelse[0]
    assert isinstance(yes, ast.Assign) and isinstance(no, ast.Assign)
    value = f"{ast.unparse(yes.value)} if {ast.unparse(node.test)} else {ast.unparse(no.value)}"
    new = f"{source.blank(node)}{ast.unparse(yes.targets[0])} = {value}"
    return source.replaced(node.lineno, node.end_lineno or 0, [new])


def swapped_arms(source: Source, rng: random.Random) -> Iterator[Site]:
    """`if c: A else: B` as `if not c: B else: A`."""
    for node in _ifs(source):
        if node.orelse and source.movable(node.body) and source.movable(node.orelse) and _own_else(source, node):
            yield lambda node=node: _swap(source, node)


def _own_else(source: Source, node: ast.If) -> bool:
    """Whether the else branch is written as one, and not as elif."""
    between = source.lines[node.body[-1].end_lineno : node.orelse[0].lineno - 1]
    return any(line.strip().startswith("else") for line in between)


def _swap(source: Source, node: ast.If) -> str:
    blank = source.blank(node)
    new = [f"{blank}if not ({ast.unparse(node.test)}):", *source.run_lines(node.orelse)]
    new += [f"{blank}else:", *source.run_lines(node.body)]
    return source.replaced(node.lineno, node.end_lineno or 0, new)


def _ifs(source: Source) -> Iterator[ast.If]:
    for block in source.all_blocks():
        for node in block:
            if isinstance(node, ast.If) and source.whole([node]) and node.body[0].lineno > node.test.end_lineno:
                yield node


def nested_tests(source: Source, rng: random.Random) -> Iterator[Site]:
    """`if a and b:` as `if a:` with `if b:` in it, and back."""
    for node in _ifs(source):
        inner, test = node.body[0], node.test
        if node.orelse or not source.movable(node.body) or any(isinstance(n, ast.NamedExpr) for n in ast.walk(test)):
            continue
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            yield lambda node=node, test=test: _nest(source, node, test)
        if len(node.body) == 1 and isinstance(inner, ast.If) and not inner.orelse and source.movable(inner.body):
            yield lambda node=node, inner=inner: _merge(source, node, inner)


def _nest(source: Source, node: ast.If, test: ast.BoolOp) -> str:
    blank, unit = source.blank(node), source.unit(node)
    rest = " and ".join(f"({ast.unparse(v)})" for v in test.values[1:])
    head = [f"{blank}if {ast.unparse(test.values[0])}:", f"{blank}{unit}if {rest}:"]
    return source.replaced(node.lineno, node.end_lineno or 0, [*head, *shifted(source.run_lines(node.body), unit)])


def _merge(source: Source, node: ast.If, inner: ast.If) -> str:
    head = f"{source.blank(node)}if ({ast.unparse(node.test)}) and ({ast.unparse(inner.test)}):"
    body = indented_as(source.run_lines(inner.body), source.blank(inner.body[0]), source.blank(node.body[0]))
    return source.replaced(node.lineno, node.end_lineno or 0, [head, *body])


def early_else(source: Source, rng: random.Random) -> Iterator[Site]:
    """What follows `if c: return x` put into an else branch."""
    for block in source.all_blocks():
        for index, node in enumerate(block[:-1]):
            rest = block[index + 1 :]
            leaves = isinstance(node, ast.If) and isinstance(node.body[-1], (ast.Return, ast.Continue, ast.Raise))
            if leaves and not node.orelse and source.whole([node]) and source.movable(rest):
                yield lambda node=node, rest=rest: _into_else(source, node, rest)


def _into_else(source: Source, node: ast.stmt, rest: Block) -> str:
    new = [f"{source.blank(node)}else:", *shifted(source.run_lines(rest), source.unit(node))]
    return source.replaced(rest[0].lineno, rest[-1].end_lineno or 0, new)


def wrapped(source: Source, rng: random.Random) -> Iterator[Site]:
    """A run of statements inside `if True:`."""
    for block in source.all_blocks():
        for index in range(len(block)):
            run = block[index : index + rng.choice([1, 2, 3])]
            docstring = isinstance(run[0], ast.Expr) and isinstance(run[0].value, ast.Constant)
            if not docstring and source.movable(run):
                yield lambda run=run: _wrap(source, run)


def _wrap(source: Source, run: Block) -> str:
    new = [f"{source.blank(run[0])}if True:", *shifted(source.run_lines(run), source.unit(run[0]))]
    return source.replaced(run[0].lineno, run[-1].end_lineno or 0, new)


def walruses(source: Source, rng: random.Random) -> Iterator[Site]:
    """`n = f(x)` and `if n >= 1:` as `if (n := f(x)) >= 1:`."""
    for block in source.all_blocks():
        for node, after in pairwise(block):
            if not (isinstance(node, ast.Assign) and isinstance(after, ast.If) and source.one_line(node)):
                continue
            first = after.test.left if isinstance(after.test, ast.Compare) else after.test
            same = isinstance(first, ast.Name) and ast.unparse(node.targets[0]) == first.id and len(node.targets) == 1
            if same and source.whole([after]) and source.piece(after.test):
                walrus = f"({ast.unparse(first)} := {ast.unparse(node.value)})"
                yield lambda node=node, first=first, new=walrus: _drop(_with(source, first, new), node)


def _drop(text: str, node: ast.stmt) -> str:
    lines = text.split("\n")
    del lines[node.lineno - 1 : node.end_lineno]
    return "\n".join(lines)


def tuples(source: Source, rng: random.Random) -> Iterator[Site]:
    """`a, b = x, y` as two assignments, and two as one."""
    for block in source.all_blocks():
        for node in block:
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and is_pairwise(node) and source.one_line(node):
                pairs = zip(node.targets[0].elts, node.value.elts, strict=True)  # type: ignore[attr-defined]
                new = [f"{source.blank(node)}{ast.unparse(t)} = {ast.unparse(v)}" for t, v in pairs]
                yield lambda node=node, new=new: source.replaced(node.lineno, node.lineno, new)
        for node, after in _independent(source, block):
            targets, values = (", ".join(ast.unparse(x) for x in part) for part in _parts(node, after))
            new = [f"{source.blank(node)}{targets} = {values}"]
            yield lambda node=node, after=after, new=new: source.replaced(node.lineno, after.lineno, new)


def _parts(*nodes: ast.Assign) -> tuple[list[ast.expr], list[ast.expr]]:
    return [n.targets[0] for n in nodes], [n.value for n in nodes]


def _independent(source: Source, block: Block) -> Iterator[tuple[ast.Assign, ast.Assign]]:
    for node, after in pairwise(block):
        if not (isinstance(node, ast.Assign) and isinstance(after, ast.Assign)):
            continue
        adjacent = source.one_line(node) and source.one_line(after) and after.lineno == node.lineno + 1
        if adjacent and commute(reads_and_writes(node), reads_and_writes(after)):
            yield node, after


def annotations(source: Source, rng: random.Random) -> Iterator[Site]:
    """Annotations on locals."""
    for block in source.all_blocks():
        for node in block:
            target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
            if isinstance(target, ast.Name) and source.one_line(node):
                new = f"{target.id}: {rng.choice(['object', repr('Any')])}"
                yield lambda target=target, new=new: _with(source, target, new)


def keywords(source: Source, rng: random.Random) -> Iterator[Site]:
    """The last arguments of calls of the class's own methods by keyword, or those by keyword in another order."""
    known = signatures(source.tree)
    for fn in source.functions.values():
        for node in ast.walk(fn):
            if not isinstance(node, ast.Call) or any(isinstance(a, ast.Starred) for a in node.args):
                continue
            of_self = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "self"
            names = known.get(node.func.attr, []) if of_self else []  # type: ignore[attr-defined]
            if node.args and len(node.args) <= len(names) and source.piece(node.args[-1]):
                new = f"{names[len(node.args) - 1]}={source.piece(node.args[-1])}"
                yield lambda arg=node.args[-1], new=new: _with(source, arg, new)
            if len(node.keywords) > 1 and all(k.arg and _quiet(k.value) for k in node.keywords) and source.piece(node):
                words = rng.sample(node.keywords, len(node.keywords))
                arguments = [*map(ast.unparse, node.args), *(f"{k.arg}={ast.unparse(k.value)}" for k in words)]
                new = f"{ast.unparse(node.func)}({', '.join(arguments)})"
                yield lambda node=node, new=new: _with(source, node, new)


def _quiet(value: ast.expr) -> bool:
    return not any(isinstance(n, (ast.Call, ast.NamedExpr)) for n in ast.walk(value))


def statements(source: Source, rng: random.Random) -> Iterator[Site]:
    """Independent neighbours the other way round."""
    for block in source.all_blocks():
        for node, after in _independent(source, block):
            lines = [source.lines[after.lineno - 1], source.lines[node.lineno - 1]]
            yield lambda node=node, after=after, lines=lines: source.replaced(node.lineno, after.lineno, lines)


def method_order(text: str, rng: random.Random) -> str:
    """The methods of every class in another order."""
    source = Source(text)
    lines = list(source.lines)
    for cls in reversed([n for n in source.tree.body if isinstance(n, ast.ClassDef)]):
        methods = [n for n in cls.body if isinstance(n, ast.FunctionDef)]
        if len({m.name for m in methods}) < len(methods) or len(methods) < 2:
            continue
        spans = [(min([m.lineno, *(d.lineno for d in m.decorator_list)]) - 1, m.end_lineno or 0) for m in methods]
        texts = [lines[a:b] for a, b in spans]
        rng.shuffle(texts)
        for (first, last), new in reversed(list(zip(spans, texts, strict=True))):
            lines[first:last] = new
    return "\n".join(lines)
