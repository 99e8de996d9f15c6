"""Templates rendered into LibCST nodes, and nodes put into a module.

What a hole caught, and every statement of the after-template that also stood in the before-pattern, keeps the tree's
own bytes; new code takes on the indentation and the line endings of its surroundings.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from typing import Any

import libcst as cst

from newtfix.code.equivalent import is_docstring
from newtfix.errors import PatchError
from newtfix.match.matching import INSIDE, SEQUENCES, around, fields_of, hole, is_node, many, same, unsaid
from newtfix.match.pattern import Match, Path, Pattern, walk


def _substitute(node: Any, bound: Mapping[str, Any]) -> Any:
    """The template with its holes filled: statements and arguments are spliced in, expressions stand for themselves."""
    one = hole(node, "")
    if one is not None:
        return _filling(bound, one)
    outer = around(node)
    if outer is not None:
        chain, inside = _filling(bound, outer), _substitute(node.slice[0].slice.value, bound)
        return inside if chain is INSIDE else chain.deep_replace(_here(chain), inside)
    if isinstance(node, (list, tuple)):
        out: list[Any] = []
        for element in node:
            name = many(element)
            if name is None:
                out.append(_substitute(element, bound))
            else:
                out.extend(_filling(bound, name))
        last = many(node[-1]) if node else None
        return _without_last_comma(out) if last is not None and not _filling(bound, last) else out
    if type(node) is cst.Parameters and type(node.star_arg) is cst.Param:
        name = hole(node.star_arg.name, "*")
        if name is not None:
            return _with_parameters(_substitute(node.params, bound), _filling(bound, name), node.kwonly_params)
    kind: Any = type(node)
    if not is_node(kind) or kind is cst.Name:
        return node
    changes: dict[str, Any] = {}
    for name in fields_of(kind):
        child = getattr(node, name)
        if is_node(type(child)) or type(child) in SEQUENCES:
            new = _substitute(child, bound)
            if new is not child:
                changes[name] = new
    return node.with_changes(**changes) if changes else node


def _here(chain: cst.CSTNode) -> cst.CSTNode:
    """The place in what a hole for moves and casts caught where something else goes in."""
    return next(node for node in walk(chain) if isinstance(node, cst.Name) and node.value == INSIDE.value)


def _with_parameters(first: Sequence[cst.Param], caught: cst.Parameters, more: Sequence[cst.Param]) -> cst.Parameters:
    """Parameters that a hole caught, with those in front of it and new ones behind them."""
    caught = caught.with_changes(params=[*first, *caught.params])
    if not more:
        return caught
    if isinstance(caught.star_arg, cst.MaybeSentinel) and not caught.kwonly_params:
        return caught.with_changes(params=[*caught.params, *more])
    return caught.with_changes(kwonly_params=[*caught.kwonly_params, *more])


def _without_last_comma(arguments: list[Any]) -> list[Any]:
    """Arguments behind whose last one a hole caught nothing."""
    if arguments and isinstance(arguments[-1], cst.Arg):
        arguments[-1] = arguments[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return arguments


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


def _laid_out(node: Any, style: Style) -> Any:
    """Template code as its surroundings are: indentation of blocks and continuation lines, docstrings."""
    if isinstance(node, (list, tuple)):
        parts = [_laid_out(part, style) for part in node]
        return node if all(map(operator.is_, parts, node)) else parts
    if not is_node(type(node)):
        return node
    changes: dict[str, Any] = {}
    for name in _all_fields(node.__class__):
        part = getattr(node, name)
        new = _laid_out(part, style)
        if new is not part:
            changes[name] = new
    kind = type(node)
    if kind is cst.IndentedBlock:
        changes["indent"] = style.unit
    elif kind is cst.ParenthesizedWhitespace:
        changes["last_line"] = cst.SimpleWhitespace(_indented(node.last_line.value, style))
    elif kind is cst.SimpleString and "\n" in node.value:
        first, *rest = node.value.split("\n")
        lines = [first, *(style.indentation + _indented(line, style) if line.strip() else line for line in rest)]
        changes["value"] = style.newline.join(lines)
    return node.with_changes(**changes) if changes else node


@cache
def _all_fields(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _indented(text: str, style: Style) -> str:
    levels, rest = divmod(len(text) - len(text.lstrip(" ")), 4)
    return style.unit * levels + " " * rest + text.lstrip(" ")


@lru_cache(maxsize=512)
def adapt(template: Pattern, style: Style) -> tuple[Any, ...]:
    """The statements of a template laid out in a given style."""
    return tuple(_laid_out(statement, style) for statement in template.statements)


def render_new(template: Pattern, bound: Mapping[str, Any], style: Style) -> list[Any]:
    """Statements that replace nothing."""
    filled: list[Any] = _substitute(adapt(template, style), bound)
    return filled


def render_statements(template: Pattern, match: Match, matched: Sequence[Any], style: Style) -> list[Any]:
    """The statements that take the place of the `matched` run."""
    caught = {s for value in match.bindings.values() if isinstance(value, tuple) for s in value}
    pool = list(matched)
    rendered = _reuse(render_new(template, match.bindings, style), pool, caught)
    if rendered and any(matched[0] is left for left in pool) and not any(rendered[0] is m for m in matched):
        rendered[0] = rendered[0].with_changes(leading_lines=matched[0].leading_lines)
    return rendered


def render_expression(template: Pattern, match: Match, original: cst.BaseExpression) -> cst.BaseExpression:
    """The expression that takes the place of `original`, whose parentheses it keeps, as it does its repeated parts."""
    new: cst.BaseExpression = _substitute(template.expression, match.bindings)
    own = [node for node in walk(original) if node is not original and isinstance(node, _COMPOSED)]
    new = _KeepParts(own).rebuilt(new)
    if isinstance(new, cst.Call) and isinstance(original, cst.Call) and same(new.func, original.func):
        new = _with_layout(new, original)
    new = _with_elements(new, original)
    if getattr(original, "lpar", None) and not getattr(new, "lpar", None):
        new = new.with_changes(lpar=original.lpar, rpar=original.rpar)
    return new


def _with_layout(new: cst.Call, old: cst.Call) -> cst.Call:
    """A call whose arguments stand as they did."""
    if len(new.args) == len(old.args) == 1:
        new = new.with_changes(
            args=[new.args[0].with_changes(value=_with_elements(new.args[0].value, old.args[0].value))]
        )
    return new.with_changes(args=own_elements(new.args, old.args), whitespace_before_args=old.whitespace_before_args)


def _with_elements(new: Any, old: Any) -> Any:
    """A dict whose elements stand as they did."""
    if not (isinstance(new, cst.Dict) and isinstance(old, cst.Dict)):
        return new
    return new.with_changes(elements=own_elements(new.elements, old.elements), lbrace=old.lbrace, rbrace=old.rbrace)


def own_elements(new: Sequence[Any], old: Sequence[Any]) -> list[Any]:
    """Arguments or elements, those that were there as they stood; those that are new as the one in front of them."""
    out: list[Any] = []
    for element in new:
        own = next((mine for mine in old if mine is element or same(mine, element)), None)
        if own is None and out and isinstance(out[-1].comma, cst.Comma):
            own = element.with_changes(comma=out[-1].comma)
        out.append(own or element)
    if out and old and not isinstance(old[-1].comma, cst.Comma):
        out[-1] = out[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return out


_COMPOSED = (cst.BinaryOperation, cst.BooleanOperation, cst.Comparison, cst.Call, cst.Subscript, cst.Tuple, cst.List)


class _KeepParts(cst.CSTTransformer):
    """Puts parts of the tree's own expression, with their layout, where a new one repeats them."""

    def __init__(self, own: Sequence[Any]) -> None:
        self.own = own

    def rebuilt(self, expression: cst.BaseExpression) -> cst.BaseExpression:
        new: Any = expression.visit(self)
        return new if isinstance(new, cst.BaseExpression) else expression

    def on_visit(self, node: cst.CSTNode) -> bool:
        return not any(node is mine for mine in self.own)

    def on_leave(self, original_node: Any, updated_node: Any) -> Any:
        if not isinstance(original_node, _COMPOSED):
            return updated_node
        return next((mine for mine in self.own if same(mine, original_node)), updated_node)


def _reuse(statements: Sequence[Any], pool: list[Any], caught: set[Any]) -> list[Any]:
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


def _keep_layout(statement: Any, pool: list[Any], caught: set[Any], coming: Sequence[Any]) -> Any:
    """A simple statement that takes the place of another of its kind keeps what stands above and behind that."""
    for mine in pool:
        if mine in caught or not _supersedes(statement, mine) or any(same(later, mine) for later in coming):
            continue
        _take(pool, mine)
        statement = _with_own_parentheses(statement, mine)
        return statement.with_changes(leading_lines=mine.leading_lines, trailing_whitespace=mine.trailing_whitespace)
    return statement


def _with_own_parentheses(new: Any, old: Any) -> Any:
    """A return of several values, laid out over lines as the old one was."""
    a, b = new.body[0], old.body[0]
    values: list[Any] = [getattr(statement, "value", None) for statement in (a, b)]
    if not (isinstance(a, cst.Return) and all(isinstance(value, cst.Tuple) for value in values)):
        return new
    elements = own_elements(values[0].elements, values[1].elements)
    value = values[0].with_changes(elements=elements, lpar=values[1].lpar, rpar=values[1].rpar)
    return new.with_changes(
        body=[a.with_changes(value=value, whitespace_after_return=b.whitespace_after_return), *new.body[1:]]
    )


def _supersedes(new: Any, old: Any) -> bool:
    """Whether both return, or both assign to one of the same names, or both declare the same field."""
    if not (isinstance(new, cst.SimpleStatementLine) and isinstance(old, cst.SimpleStatementLine)):
        return False
    a, b = new.body[0], old.body[0]
    if isinstance(a, cst.Assign) and isinstance(b, cst.Assign):
        return not _targets(a).isdisjoint(_targets(b))
    if isinstance(a, cst.AnnAssign) and isinstance(b, cst.AnnAssign):
        return same(a.target, b.target)
    return isinstance(a, cst.Return) and isinstance(b, cst.Return)


def _targets(assign: cst.Assign) -> set[str]:
    """The plain names that an assignment binds."""
    names = (node for target in assign.targets for node in walk(target.target))
    return {node.value for node in names if isinstance(node, cst.Name)}


def _reuse_compound(statement: Any, pool: list[Any], caught: set[Any]) -> Any:
    changed = _changed_header(statement, pool, caught)
    if changed is None:
        statement = statement.with_changes(body=_reuse_block(statement.body, statement.body, pool, caught))
        orelse = getattr(statement, "orelse", None)
        if isinstance(orelse, cst.Else):
            block = _reuse_block(orelse.body, orelse.body, pool, caught)
            statement = statement.with_changes(orelse=orelse.with_changes(body=block))
        return statement
    _take(pool, changed)
    layout: dict[str, Any] = {"leading_lines": changed.leading_lines}
    if isinstance(statement, cst.FunctionDef):
        layout["params"] = _own_parameters(statement.params, changed.params)
        layout["returns"] = statement.returns or changed.returns
        statement = _with_docstring(statement, changed)
    for field in ("orelse", "decorators"):
        if hasattr(statement, field) and unsaid(field, getattr(statement, field)):
            layout[field] = getattr(changed, field)
    if "decorators" in layout:
        layout["lines_after_decorators"] = changed.lines_after_decorators
    theirs = getattr(changed, "orelse", None)
    if isinstance(theirs, cst.Else) and isinstance(statement.orelse, cst.Else) and "orelse" not in layout:
        own = _reuse_block(statement.orelse.body, theirs.body, list(theirs.body.body), caught)
        layout["orelse"] = theirs.with_changes(body=own)
    block = _reuse_block(statement.body, changed.body, list(changed.body.body), caught)
    return statement.with_changes(body=block, **layout)


def _with_docstring(new: cst.FunctionDef, old: cst.FunctionDef) -> cst.FunctionDef:
    """The template's function with the docstring of the one it replaces, unless it has its own."""
    if is_docstring(new.body.body[:1]) and is_docstring(new.body.body[1:2]):  # a hole has caught the old one
        return new.with_changes(body=new.body.with_changes(body=[new.body.body[0], *new.body.body[2:]]))
    if is_docstring(new.body.body[:1]) or not is_docstring(old.body.body[:1]):
        return new
    return new.with_changes(body=new.body.with_changes(body=[old.body.body[0], *new.body.body]))


def _own_parameters(new: cst.Parameters, old: cst.Parameters) -> cst.Parameters:
    """The template's parameters; those that were there keep what is said of them, annotations say."""
    own = {parameter.name.value: parameter for parameter in old.params}
    return new.with_changes(params=[own.get(parameter.name.value, parameter) for parameter in new.params])


def _changed_header(statement: Any, pool: list[Any], caught: set[Any]) -> Any:
    """The statement of the pool whose header or body the template changes: not one that it repeats further inside."""
    inside = [node for node in walk(statement) if node is not statement and type(node) is type(statement)]
    for mine in pool:
        if type(mine) is not type(statement) or mine in caught or not isinstance(mine.body, cst.IndentedBlock):
            continue
        if _same_header(statement, mine) or not any(_same_header(node, mine) for node in inside):
            return mine
    return None


def _same_header(a: Any, b: Any) -> bool:
    """Whether two compound statements differ in their blocks only."""
    empty: dict[str, Any] = {"body": cst.IndentedBlock([])}
    if hasattr(a, "orelse"):
        empty["orelse"] = None
    return same(a.with_changes(**empty), b.with_changes(**empty))


def _reuse_block(block: Any, layout: Any, pool: list[Any], caught: set[Any]) -> Any:
    return layout.with_changes(body=_reuse(block.body, pool, caught))


def _take(pool: list[Any], statement: Any) -> None:
    pool[:] = [left for left in pool if left is not statement]


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
