"""Patterns: Python source with holes, matched against LibCST nodes and rendered back into them.

White space, comments, parentheses, quotes and trailing commas don't matter for a match. What a hole caught, and every
statement of the after-template that also stood in the before-pattern, keeps the tree's own bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from typing import Any

import libcst as cst

from newtfix.errors import PatchError

Bindings = dict[str, Any]
Step = tuple[str, int | None]
Path = tuple[Step, ...]

_HOLE = re.compile(r"\$(\$|\*|)([A-Za-z_]\w*)")
_KINDS = {"": "_hole_one_", "$": "_hole_many_", "*": "_hole_args_"}
_LAYOUT = frozenset(
    "lpar rpar leading_lines lines_after_decorators header footer trailing_whitespace semicolon comma "
    "equal dot colon lbracket rbracket lbrace rbrace indent newline empty_lines encoding default_indent "
    "default_newline has_trailing_newline first_line last_line first_colon second_colon start end".split()
)


@dataclass(frozen=True)
class Match:
    """Where a pattern matched: a path to an expression, or to a block and the run of its statements [start, stop)."""

    path: Path
    bindings: Mapping[str, Any]
    start: int = -1
    stop: int = -1

    @property
    def is_run(self) -> bool:
        return self.start >= 0


@dataclass(frozen=True)
class Pattern:
    """A parsed pattern: one expression, or a run of statements."""

    source: str
    expression: cst.BaseExpression | None
    statements: tuple[cst.BaseStatement, ...]


def _encode(source: str) -> str:
    def encoded(found: re.Match[str]) -> str:
        star = "*" if found[1] == "*" else ""
        return f"{star}{_KINDS[found[1]]}{found[2]}"

    return _HOLE.sub(encoded, source)


@cache
def parse_pattern(source: str, statements: bool = False) -> Pattern:
    """Parse a pattern; one that is a single expression matches anywhere, unless `statements` is asked for."""
    text = _encode(_dedent(source))
    if not statements:
        try:
            return Pattern(source, cst.parse_expression(text), ())
        except cst.ParserSyntaxError:
            pass
    return Pattern(source, None, tuple(cst.parse_module(text + "\n").body))


def _dedent(source: str) -> str:
    import textwrap

    return textwrap.dedent(source).strip("\n").rstrip()


# --- matching ---------------------------------------------------------------------------------------------------------


@cache
def _fields(kind: Any) -> tuple[str, ...]:
    names = (f.name for f in fields(kind))
    return tuple(n for n in names if n not in _LAYOUT and not n.startswith("whitespace"))


def _hole(node: Any, kind: str) -> str | None:
    if isinstance(node, cst.Name) and node.value.startswith(_KINDS[kind]):
        return node.value.removeprefix(_KINDS[kind])
    return None


def _many(node: Any) -> str | None:
    """The name of a hole for many statements or arguments, if `node` is one."""
    if isinstance(node, cst.SimpleStatementLine) and len(node.body) == 1 and isinstance(node.body[0], cst.Expr):
        return _hole(node.body[0].value, "$")
    if isinstance(node, cst.Arg) and node.star == "*":
        return _hole(node.value, "*")
    return None


def same(a: Any, b: Any) -> bool:
    """Whether two nodes are the same code, whatever their layout."""
    if a is b:
        return True
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if type(a) is not type(b):
        return False
    if isinstance(a, cst.SimpleString):
        return bool(a.evaluated_value == b.evaluated_value)
    if not isinstance(a, cst.CSTNode):
        return bool(a == b)
    return all(same(getattr(a, name), getattr(b, name)) for name in _fields(type(a)))


def _bind(name: str, node: Any, bound: Bindings) -> Bindings | None:
    if name == "_":
        return bound
    if name in bound:
        return bound if same(bound[name], node) else None
    return {**bound, name: node}


def _match(pattern: Any, node: Any, bound: Bindings) -> Bindings | None:
    one = _hole(pattern, "")
    if one is not None:
        return _bind(one, node, bound) if isinstance(node, cst.BaseExpression) else None
    if isinstance(pattern, (list, tuple)):
        return _match_sequence(pattern, node, bound) if isinstance(node, (list, tuple)) else None
    if isinstance(pattern, cst.IndentedBlock) and isinstance(node, cst.SimpleStatementSuite):
        node = cst.IndentedBlock([cst.SimpleStatementLine([small]) for small in node.body])
    if type(pattern) is not type(node):
        return None
    if isinstance(pattern, cst.SimpleString):
        return bound if pattern.evaluated_value == node.evaluated_value else None
    if not isinstance(pattern, cst.CSTNode):
        return bound if pattern == node else None
    if isinstance(pattern, cst.Parameters) and pattern.star_arg is not None and isinstance(pattern.star_arg, cst.Param):
        name = _hole(pattern.star_arg.name, "*")
        if name is not None:
            return _match_parameters(pattern, node, name, bound)
    kind: Any = type(pattern)
    for name in _fields(kind):
        mine = getattr(pattern, name)
        if isinstance(mine, cst.MaybeSentinel) or _unsaid(name, mine):
            continue
        result = _match(mine, getattr(node, name), bound)
        if result is None:
            return None
        bound = result
    return bound


def _unsaid(field: str, value: Any) -> bool:
    """Whether a pattern leaves a part open by not naming it: an else branch, decorators."""
    return (field == "orelse" and value is None) or (field == "decorators" and not value)


def _match_parameters(pattern: cst.Parameters, node: cst.Parameters, name: str, bound: Bindings) -> Bindings | None:
    """Parameters that start as the pattern's do; the hole catches the whole list."""
    head = list(node.params[: len(pattern.params)])
    result = _match_sequence(pattern.params, head, bound)
    return None if result is None else _bind(name, node, result)


def _match_sequence(pattern: Sequence[Any], nodes: Sequence[Any], bound: Bindings) -> Bindings | None:
    found = _match_prefix(pattern, nodes, bound, whole=True)
    return None if found is None else found[0]


def _match_prefix(
    pattern: Sequence[Any], nodes: Sequence[Any], bound: Bindings, whole: bool
) -> tuple[Bindings, int] | None:
    """Match `pattern` at the beginning of `nodes` (or all of them): the bindings and how many nodes it took."""
    if not pattern:
        return (bound, 0) if not whole or not nodes else None
    many = _many(pattern[0])
    if many is None:
        if not nodes:
            return None
        first = _match(pattern[0], nodes[0], bound)
        if first is None:
            return None
        rest = _match_prefix(pattern[1:], nodes[1:], first, whole)
        return None if rest is None else (rest[0], rest[1] + 1)
    last = len(pattern) == 1
    for taken in [len(nodes)] if last else range(len(nodes) + 1):
        caught = _bind(many, tuple(nodes[:taken]), bound) if many != "_" else bound
        if caught is None:
            continue
        rest = _match_prefix(pattern[1:], nodes[taken:], caught, whole)
        if rest is not None:
            return rest[0], rest[1] + taken
    return None


@cache
def _child_fields(kind: type) -> tuple[str, ...]:
    return tuple(n for n in _fields(kind) if n not in ("value",) or kind not in (cst.Name, cst.Integer, cst.Float))


def walk(root: cst.CSTNode) -> Iterator[tuple[Path, cst.CSTNode]]:
    """Every node below `root`, itself included, in source order, with the path that leads to it."""
    stack: list[tuple[Path, cst.CSTNode]] = [((), root)]
    while stack:
        path, node = stack.pop()
        yield path, node
        below: list[tuple[Path, cst.CSTNode]] = []
        for name in _child_fields(type(node)):
            child = getattr(node, name)
            if isinstance(child, cst.CSTNode):
                below.append(((*path, (name, None)), child))
            elif isinstance(child, (list, tuple)):
                below += [((*path, (name, i)), part) for i, part in enumerate(child) if isinstance(part, cst.CSTNode)]
        stack += reversed(below)


@lru_cache(maxsize=256)
def _by_type(root: cst.CSTNode) -> dict[type, list[tuple[Path, cst.CSTNode]]]:
    """The nodes below `root` by their type."""
    nodes: dict[type, list[tuple[Path, cst.CSTNode]]] = {}
    for path, node in walk(root):
        nodes.setdefault(type(node), []).append((path, node))
    return nodes


def find(pattern: Pattern, root: cst.CSTNode, bound: Bindings | None = None, path: Path = ()) -> list[Match]:
    """All places below `root` where the pattern matches, none inside another. `path` leads to `root`."""
    matches: list[Match] = []
    nodes = _by_type(root)
    if pattern.expression is not None:
        for here, node in nodes.get(type(pattern.expression), ()):
            bindings = _match(pattern.expression, node, bound or {})
            if bindings is not None:
                matches.append(Match((*path, *here), bindings))
        return _outermost(matches)
    for kind in (cst.Module, cst.IndentedBlock):
        for here, node in nodes.get(kind, ()):
            matches += _find_runs(pattern.statements, (*path, *here), node, bound or {})
    return _outermost(matches)


def _find_runs(pattern: tuple[cst.BaseStatement, ...], path: Path, block: Any, bound: Bindings) -> list[Match]:
    runs: list[Match] = []
    start = 0
    while start < len(block.body):
        found = _match_prefix(pattern, block.body[start:], bound, whole=False)
        if found is None or found[1] == 0:
            start += 1
            continue
        runs.append(Match(path, found[0], start, start + found[1]))
        start += found[1]
    return runs


def _outermost(matches: list[Match]) -> list[Match]:
    kept: list[Match] = []
    for match in matches:
        if not any(_within(match, other) for other in kept):
            kept.append(match)
    return kept


def _within(inner: Match, outer: Match) -> bool:
    if inner.path[: len(outer.path)] != outer.path or inner.path == outer.path:
        return inner.path == outer.path and not inner.is_run
    if not outer.is_run:
        return True
    index = inner.path[len(outer.path)][1]
    return index is not None and outer.start <= index < outer.stop


# --- rendering --------------------------------------------------------------------------------------------------------


def _substitute(node: Any, bound: Mapping[str, Any]) -> Any:
    """The template with its holes filled: statements and arguments are spliced in, expressions stand for themselves."""
    one = _hole(node, "")
    if one is not None:
        return _filling(bound, one)
    if isinstance(node, (list, tuple)):
        out: list[Any] = []
        for element in node:
            many = _many(element)
            if many is None:
                out.append(_substitute(element, bound))
            else:
                out.extend(_filling(bound, many))
        return out
    if isinstance(node, cst.Parameters) and isinstance(node.star_arg, cst.Param):
        name = _hole(node.star_arg.name, "*")
        if name is not None:
            return _filling(bound, name)
    if not isinstance(node, cst.CSTNode) or isinstance(node, cst.Name):
        return node
    changes: dict[str, Any] = {}
    for name in _fields(type(node)):
        child = getattr(node, name)
        if isinstance(child, (cst.CSTNode, list, tuple)):
            new = _substitute(child, bound)
            if new is not child:
                changes[name] = new
    return node.with_changes(**changes) if changes else node


def _filling(bound: Mapping[str, Any], name: str) -> Any:
    if name not in bound:
        raise PatchError(f"the after-template uses ${name}, which nothing binds")
    return bound[name]


@dataclass(frozen=True)
class Style:
    """How the surroundings of new code are laid out: one level of indentation, all of it, and the line ending."""

    unit: str
    indentation: str
    newline: str


class _Adapt(cst.CSTTransformer):
    """Lays template code out as its surroundings are: indentation of blocks and continuation lines, docstrings."""

    def __init__(self, style: Style) -> None:
        self.style = style

    def _indent(self, text: str) -> str:
        levels, rest = divmod(len(text) - len(text.lstrip(" ")), 4)
        return self.style.unit * levels + " " * rest + text.lstrip(" ")

    def leave_IndentedBlock(
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.IndentedBlock:
        return updated_node.with_changes(indent=self.style.unit)

    def leave_ParenthesizedWhitespace(
        self, original_node: cst.ParenthesizedWhitespace, updated_node: cst.ParenthesizedWhitespace
    ) -> cst.ParenthesizedWhitespace:
        last = updated_node.last_line
        return updated_node.with_changes(last_line=cst.SimpleWhitespace(self._indent(last.value)))

    def leave_SimpleString(self, original_node: cst.SimpleString, updated_node: cst.SimpleString) -> cst.SimpleString:
        if "\n" not in updated_node.value:
            return updated_node
        first, *rest = updated_node.value.split("\n")
        lines = [first, *(self.style.indentation + self._indent(line) if line.strip() else line for line in rest)]
        return updated_node.with_changes(value=self.style.newline.join(lines))


def adapt(statements: Sequence[Any], style: Style) -> list[Any]:
    """Template statements laid out in a given style."""
    return [statement.visit(_Adapt(style)) for statement in statements]


def render_new(template: Pattern, bound: Mapping[str, Any], style: Style) -> list[Any]:
    """Statements that replace nothing."""
    filled: list[Any] = _substitute(adapt(template.statements, style), bound)
    return filled


def render_statements(template: Pattern, match: Match, matched: Sequence[Any], style: Style) -> list[Any]:
    """The statements that take the place of the `matched` run."""
    caught = {id(s) for value in match.bindings.values() if isinstance(value, tuple) for s in value}
    pool = list(matched)
    rendered = _reuse(render_new(template, match.bindings, style), pool, caught)
    if rendered and any(matched[0] is left for left in pool) and not any(rendered[0] is m for m in matched):
        rendered[0] = rendered[0].with_changes(leading_lines=matched[0].leading_lines)
    return rendered


def render_expression(template: Pattern, match: Match, original: cst.BaseExpression) -> cst.BaseExpression:
    """The expression that takes the place of `original`, whose parentheses it keeps."""
    new: cst.BaseExpression = _substitute(template.expression, match.bindings)
    if getattr(original, "lpar", None) and not getattr(new, "lpar", None):
        new = new.with_changes(lpar=original.lpar, rpar=original.rpar)
    return new


def _reuse(statements: Sequence[Any], pool: list[Any], caught: set[int]) -> list[Any]:
    """Put the tree's own statements where the template repeats them.

    A compound statement whose header or body the template changes keeps its comments, its layout and its else branch.
    `pool` holds the matched statements that are not yet used; `caught` the ids of those that holes caught whole.
    """
    out: list[Any] = []
    for index, statement in enumerate(statements):
        own = next((mine for mine in pool if mine is statement or same(statement, mine)), None)
        if own is not None:
            _take(pool, own)
            out.append(own)
        elif isinstance(getattr(statement, "body", None), cst.IndentedBlock):
            out.append(_reuse_compound(statement, pool, caught))
        else:
            out.append(_keep_layout(statement, pool, caught, statements[index + 1 :]))
    return out


def _keep_layout(statement: Any, pool: list[Any], caught: set[int], coming: Sequence[Any]) -> Any:
    """A simple statement that takes the place of another of its kind keeps what stands above and behind that."""
    for mine in pool:
        if id(mine) in caught or not _supersedes(statement, mine) or any(same(later, mine) for later in coming):
            continue
        _take(pool, mine)
        return statement.with_changes(leading_lines=mine.leading_lines, trailing_whitespace=mine.trailing_whitespace)
    return statement


def _supersedes(new: Any, old: Any) -> bool:
    """Whether both return, or both assign to one of the same names."""
    if not (isinstance(new, cst.SimpleStatementLine) and isinstance(old, cst.SimpleStatementLine)):
        return False
    a, b = new.body[0], old.body[0]
    if isinstance(a, cst.Assign) and isinstance(b, cst.Assign):
        return not _targets(a).isdisjoint(_targets(b))
    return isinstance(a, cst.Return) and isinstance(b, cst.Return)


def _targets(assign: cst.Assign) -> set[str]:
    """The plain names that an assignment binds."""
    names = (node for target in assign.targets for _, node in walk(target.target))
    return {node.value for node in names if isinstance(node, cst.Name)}


def _reuse_compound(statement: Any, pool: list[Any], caught: set[int]) -> Any:
    changed = next((mine for mine in pool if type(mine) is type(statement) and id(mine) not in caught), None)
    if changed is None or not isinstance(changed.body, cst.IndentedBlock):
        statement = statement.with_changes(body=_reuse_block(statement.body, statement.body, pool, caught))
        orelse = getattr(statement, "orelse", None)
        if isinstance(orelse, cst.Else):
            block = _reuse_block(orelse.body, orelse.body, pool, caught)
            statement = statement.with_changes(orelse=orelse.with_changes(body=block))
        return statement
    _take(pool, changed)
    layout: dict[str, Any] = {"leading_lines": changed.leading_lines}
    for field in ("orelse", "decorators"):
        if hasattr(statement, field) and _unsaid(field, getattr(statement, field)):
            layout[field] = getattr(changed, field)
    if "decorators" in layout:
        layout["lines_after_decorators"] = changed.lines_after_decorators
    block = _reuse_block(statement.body, changed.body, list(changed.body.body), caught)
    return statement.with_changes(body=block, **layout)


def _reuse_block(block: Any, layout: Any, pool: list[Any], caught: set[int]) -> Any:
    return layout.with_changes(body=_reuse(block.body, pool, caught))


def _take(pool: list[Any], statement: Any) -> None:
    pool[:] = [left for left in pool if left is not statement]


# --- changing a module ------------------------------------------------------------------------------------------------


def at(root: cst.CSTNode, path: Path) -> Any:
    """The node that a path leads to."""
    node: Any = root
    for name, index in path:
        node = getattr(node, name)
        if index is not None:
            node = node[index]
    return node


def replace_at(root: Any, path: Path, new: Any) -> Any:
    """A copy of `root` with another node at `path`; everything else is shared."""
    if not path:
        return new
    (name, index), rest = path[0], path[1:]
    child = getattr(root, name)
    if index is None:
        return root.with_changes(**{name: replace_at(child, rest, new)})
    changed = list(child)
    changed[index] = replace_at(changed[index], rest, new)
    return root.with_changes(**{name: changed})


def style_at(module: cst.Module, path: Path) -> Style:
    """The layout of the block that `path` leads to or through, and the indentation of its statements."""
    indentation, unit = "", module.default_indent
    node: Any = module
    for name, index in path:
        node = getattr(node, name)
        if index is not None:
            node = node[index]
        if isinstance(node, cst.IndentedBlock):
            unit = node.indent if node.indent is not None else module.default_indent
            indentation += unit
    return Style(unit, indentation, module.default_newline)
