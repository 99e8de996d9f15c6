"""Whether a piece of code matches a piece of a pattern, and what its holes catch."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import fields
from functools import cache, lru_cache
from typing import Any

import libcst as cst

from newtfix.code.equivalent import CASTS, EQUIVALENTS
from newtfix.match.holes import KINDS

Bindings = dict[str, Any]

SEQUENCES = (list, tuple)
_STARRED = (cst.StarredElement, cst.StarredDictElement)
_VALUES = (cst.SimpleString, cst.Integer, cst.Float)
_LAYOUT = frozenset(
    "lpar rpar leading_lines lines_after_decorators header footer trailing_whitespace semicolon comma "
    "equal dot colon lbracket rbracket lbrace rbrace indent newline empty_lines encoding default_indent "
    "default_newline has_trailing_newline first_line last_line first_colon second_colon start end".split()
)

# Holes that catch variables only, of names that people give to such a thing.
LIKE = {
    "like_mu": re.compile(r"(^|_)(mu|mean|loc|center)s?\d*($|_)", re.IGNORECASE),
    "like_std": re.compile(r"(std|stdev|stddev|sigma|spread|scale)s?\d*($|_)", re.IGNORECASE),
    "variable": re.compile(""),
}
# Holes that catch expressions that mention such a thing only.
ABOUT = {
    "key_mu": re.compile(r"^['\"](\w*_)?(mu|mean|loc|center)['\"]$"),
    "key_std": re.compile(r"^['\"](\w*_)?(std|sigma|spread)['\"]$"),
    "other_horizon": re.compile(r"\bcfg\.(?!horizon\b)\w*horizon"),
    "duration": re.compile(r"\bcfg\.\w*(steps|duration|period|length|anneal)$"),
    "any_mu": re.compile(r"^[\w.]*?(^|_|\.)(mu|mean|loc|center)s?\d*$"),
    "any_std": re.compile(r"^[\w.]*?(std|stdev|stddev|sigma|spread)s?\d*$"),
    "seeding": re.compile(r"\b_?seed(ing)?_?(coef|steps)\b"),
    "whole": re.compile(r"^[\w.]+$|^torch\.cat\("),
    "all_losses": re.compile(r"(?=[\s\S]*consistency_coef)(?=[\s\S]*reward_coef)(?=[\s\S]*value_coef)"),
    "number": re.compile(r"^[\d.]+(e-?\d+)?$"),
    "rho_name": re.compile(r"^rho\w*$"),
    "temporal": re.compile(r"^(self\.)?rho\b|\brho$"),
}
_FIELDS: dict[type, tuple[str, ...]] = {}


def fields_of(kind: Any) -> tuple[str, ...]:
    """The fields of a node that are code and not layout."""
    if kind not in _FIELDS:
        names = (f.name for f in fields(kind))
        _FIELDS[kind] = tuple(n for n in names if n not in _LAYOUT and not n.startswith("whitespace"))
    return _FIELDS[kind]


_NODES: dict[type, bool] = {}
_EXPRESSIONS: dict[type, bool] = {}


def is_node(kind: type) -> bool:
    """Whether a class is one of LibCST's nodes; asking an instance is slow, as they are abstract base classes."""
    if kind not in _NODES:
        _NODES[kind] = issubclass(kind, cst.CSTNode)
    return _NODES[kind]


@cache
def is_statement(kind: Any) -> bool:
    return issubclass(kind, cst.BaseStatement)


def is_expression_kind(kind: type) -> bool:
    if kind not in _EXPRESSIONS:
        _EXPRESSIONS[kind] = issubclass(kind, cst.BaseExpression)
    return _EXPRESSIONS[kind]


def hole(node: Any, kind: str) -> str | None:
    if type(node) is cst.Name and node.value.startswith(KINDS[kind]):
        return node.value.removeprefix(KINDS[kind])
    return None


def many(node: Any) -> str | None:
    """The name of a hole for many statements, arguments or elements, if `node` is one."""
    if type(node) is cst.SimpleStatementLine and len(node.body) == 1 and type(node.body[0]) is cst.Expr:
        return hole(node.body[0].value, "$")
    if (type(node) is cst.Arg and node.star == "*") or type(node) in _STARRED:
        return hole(node.value, "*")
    if type(node) is cst.SubscriptElement and type(node.slice) is cst.Index and node.slice.star == "*":
        return hole(node.slice.value, "*")
    return None


def value_of(literal: Any) -> Any:
    """What a string or a number in the code amounts to."""
    return _evaluated(literal.value)


@cache
def _evaluated(literal: str) -> Any:
    return ast.literal_eval(literal)


def same(a: Any, b: Any) -> bool:
    """Whether two nodes are the same code, whatever their layout."""
    if a is b:
        return True
    if type(a) in SEQUENCES and type(b) in SEQUENCES:
        return len(a) == len(b) and all(map(same, a, b))
    if type(a) is not type(b):
        return False
    if type(a) is cst.SimpleString:
        return bool(value_of(a) == value_of(b))
    if not is_node(type(a)):
        return bool(a == b)
    return all(same(getattr(a, name), getattr(b, name)) for name in fields_of(type(a)))


@lru_cache(maxsize=65536)
def _code(node: cst.CSTNode) -> str:
    return cst.Module([]).code_for_node(node)


def _bind(name: str, node: Any, bound: Bindings) -> Bindings | None:
    if name == "_":
        return bound
    if name in LIKE and not (type(node) is cst.Name and LIKE[name].search(node.value)):
        return None
    if name in ABOUT and not ABOUT[name].search(_code(node)):
        return None
    if name in bound:
        return bound if same(bound[name], node) else None
    return {**bound, name: node}


INSIDE = cst.Name("_hole_here_")
_GIVEN_BY = CASTS | frozenset("long int clone cuda numpy half bfloat16 flatten ravel reshape view".split())


def around(node: Any) -> str | None:
    """The name of a hole for what stands around an expression, if `node` is one."""
    return hole(node.value, "@") if type(node) is cst.Subscript else None


def _match_around(pattern: cst.Subscript, name: str, node: Any, bound: Bindings) -> Bindings | None:
    """The innermost part of a chain of moves, casts and reshapes that the pattern fits; the hole catches the chain."""
    inner: Any = pattern.slice[0].slice
    chain = [node]
    while type(node) is cst.Call and type(node.func) is cst.Attribute and node.func.attr.value in _GIVEN_BY:
        node = node.func.value
        chain.append(node)
    for part in reversed(chain):
        found = matched(inner.value, part, bound)
        if found is not None:
            return _bind(name, INSIDE if part is chain[0] else chain[0].deep_replace(part, INSIDE), found)
    return None


def matched(pattern: Any, node: Any, bound: Bindings) -> Bindings | None:
    one = hole(pattern, "")
    if one is not None:
        return _bind(one, node, bound) if is_expression_kind(type(node)) else None
    outer = around(pattern)
    if outer is not None:
        return _match_around(pattern, outer, node, bound) if is_expression_kind(type(node)) else None
    kind: Any = type(pattern)
    if kind in SEQUENCES:
        return _match_sequence(pattern, node, bound) if type(node) in SEQUENCES else None
    if kind is cst.IndentedBlock and type(node) is cst.SimpleStatementSuite:
        node = cst.IndentedBlock([cst.SimpleStatementLine([small]) for small in node.body])
    found = _match_parts(pattern, node, bound) if kind is type(node) else None
    if found is None and kind in EQUIVALENTS and is_node(type(node)):
        for other in EQUIVALENTS[kind](pattern, node):
            found = _match_parts(pattern, other, bound)
            if found is not None:
                break
    return found


def _match_parts(pattern: Any, node: Any, bound: Bindings) -> Bindings | None:
    """Match two nodes of one type, part by part."""
    kind: Any = type(pattern)
    if kind in _VALUES:
        return bound if value_of(pattern) == value_of(node) else None
    if not is_node(kind):
        return bound if pattern == node else None
    if kind is cst.Parameters and type(pattern.star_arg) is cst.Param:
        name = hole(pattern.star_arg.name, "*")
        if name is not None:
            return _match_parameters(pattern, node, name, bound)
    for name, mine, plain in _said(pattern):
        theirs = getattr(node, name)
        if plain:
            if mine != theirs:
                return None
            continue
        result = matched(mine, theirs, bound)
        if result is None:
            return None
        bound = result
    return bound


@cache
def _said(pattern: cst.CSTNode) -> list[tuple[str, Any, bool]]:
    """The parts that a pattern names, and whether they are plain values; of an attribute first its name."""
    names = reversed(fields_of(type(pattern))) if type(pattern) is cst.Attribute else fields_of(type(pattern))
    parts = ((name, getattr(pattern, name)) for name in names)
    return [
        (name, part, not (type(part) in SEQUENCES or is_node(type(part))))
        for name, part in parts
        if part is not cst.MaybeSentinel.DEFAULT and not unsaid(name, part)
    ]


def unsaid(field: str, value: Any) -> bool:
    """Whether a pattern leaves a part open by not naming it: an else branch, decorators, annotations."""
    return (field in ("orelse", "annotation", "returns") and value is None) or (field == "decorators" and not value)


def _match_parameters(pattern: cst.Parameters, node: cst.Parameters, name: str, bound: Bindings) -> Bindings | None:
    """Parameters that start as the pattern's do; the hole catches the rest."""
    first = len(pattern.params)
    result = _match_sequence(pattern.params, node.params[:first], bound)
    return None if result is None else _bind(name, node.with_changes(params=node.params[first:]), result)


def _match_sequence(pattern: Sequence[Any], nodes: Sequence[Any], bound: Bindings) -> Bindings | None:
    found = matched_prefix(pattern, nodes, bound, whole=True)
    return None if found is None else found[0]


def matched_prefix(
    pattern: Sequence[Any], nodes: Sequence[Any], bound: Bindings, whole: bool
) -> tuple[Bindings, int] | None:
    """Match `pattern` at the beginning of `nodes` (or all of them): the bindings and how many nodes it took."""
    if not pattern:
        return (bound, 0) if not whole or not nodes else None
    caught_by = many(pattern[0])
    if caught_by is None:
        if not nodes:
            return None
        first = matched(pattern[0], nodes[0], bound)
        if first is None:
            return None
        rest = matched_prefix(pattern[1:], nodes[1:], first, whole)
        return None if rest is None else (rest[0], rest[1] + 1)
    last = len(pattern) == 1
    for taken in [len(nodes)] if last else range(len(nodes) + 1):
        caught = _bind(caught_by, tuple(nodes[:taken]), bound) if caught_by != "_" else bound
        if caught is None:
            continue
        rest = matched_prefix(pattern[1:], nodes[taken:], caught, whole)
        if rest is not None:
            return rest[0], rest[1] + taken
    return None
