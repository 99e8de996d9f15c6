"""What holds a value in a function, alone or among others, and expressions of another value in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import libcst as cst

from newtfix.code.equivalent import CASTS
from newtfix.match.matching import SEQUENCES, fields_of, is_node
from newtfix.match.pattern import walk
from newtfix.match.render import own_elements

# What gives the same values in another place, type or order.
_MOVES = CASTS | frozenset(
    "clone cuda half bfloat16 pin_memory view reshape permute transpose swapaxes movedim squeeze unsqueeze flatten "
    "unflatten expand repeat narrow index_select flip roll contiguous t".split()
)
_JOINS = frozenset(
    "cat concat concatenate stack vstack hstack empty_like zeros_like flip roll index_select squeeze unsqueeze".split()
)
_SHAPE = frozenset("shape size dtype device ndim dim".split())
_LISTS = frozenset(("tuple", "list"))


class Stopped(Exception):
    """A statement after which the value is no longer what it was, or is nowhere to be found."""

    def __init__(self, statement: cst.CSTNode) -> None:
        super().__init__()
        self.statement = statement


class Values:
    """What holds a value in a function, as far as its code was read, and the new values beside it."""

    def __init__(self, function: cst.FunctionDef, is_source: Callable[[Any], bool], at: int, count: int) -> None:
        self.function, self.is_source, self.at, self.count = function, is_source, at, count
        self.width = 0  # of the batches
        self.beside: dict[str, tuple[str, ...]] = {}  # a variable that holds the value, and the new ones beside it
        self.batches: dict[str, int] = {}  # a variable that holds a batch, and which of its elements is the value

    def place_in_batch(self, node: Any) -> int | None:
        """Which element of a batch the value is; None: this is no batch."""
        if self.is_source(node):
            return self.at
        if variable(node):
            return self.batches.get(variable(node))
        if isinstance(node, cst.Call):
            return self.place_in_call(node)
        if isinstance(node, (cst.GeneratorExp, cst.ListComp)):
            loop = node.for_in
            plain = loop.inner_for_in is None and not loop.ifs
            place = self.place_in_batch(loop.iter)
            return place if place is not None and plain and isinstance(loop.target, (cst.Name, cst.Tuple)) else None
        return None

    def place_in_call(self, node: cst.Call) -> int | None:
        """A batch as a whole that was moved, made a list of, joined with others, or taken apart by a method."""
        func = node.func
        if isinstance(func, cst.Attribute) and (place := self.place_in_batch(func.value)) is not None:
            return None if func.attr.value == "get" else place
        given = [argument.value for argument in node.args if argument.keyword is None and not argument.star]
        places = [self.place_in_batch(one) for one in given]
        name = variable(func)
        if not places or places[0] is None:
            return None
        own = name.startswith("self.") or name in _LISTS
        return places[0] if own or (name == "zip" and len(set(places)) == 1) else None

    def holds(self, node: Any) -> bool:
        """Whether an expression is the value, moved or joined with others of its kind."""
        if variable(node) in self.beside:
            return True
        if isinstance(node, cst.Call):
            given = [argument.value for argument in node.args]
            if isinstance(node.func, cst.Attribute) and node.func.attr.value in _MOVES and self.holds(node.func.value):
                return not any(map(self.reads, given))
            if not given or not self.all_hold(given[0]):
                return False
            if variable(node.func).rpartition(".")[2] in _JOINS:
                return not any(map(self.reads, given[1:]))
            return all(self.holds(one) or not self.reads(one) for one in given) and self.is_done_to_others(node)
        if isinstance(node, cst.Subscript):
            return self.holds(node.value) and not any(map(self.reads, node.slice))
        if isinstance(node, cst.IfExp):
            return self.holds(node.body) and self.holds(node.orelse) and not self.reads(node.test)
        return False

    def all_hold(self, node: Any) -> bool:
        if isinstance(node, (cst.Tuple, cst.List)):
            return bool(node.elements) and all(self.holds(one.value) for one in node.elements)
        return self.holds(node)

    def is_done_to_others(self, call: cst.Call) -> bool:
        """Whether a function gets all other elements of the batch as well, task numbers too: it moves or joins them."""
        name = variable(call.func)
        calls = (node for node in walk(self.function) if isinstance(node, cst.Call) and variable(node.func) == name)
        others = [one for one in calls if one.args and not self.reads(one.args[0])]
        return bool(name) and 1 < self.width <= len(others) + 1

    def inserted(self, node: Any) -> tuple[Any, int] | None:
        """Values of which one is carried, with the new ones behind it, and which one that is; None: nothing of that."""
        if isinstance(node, (cst.Tuple, cst.List)):
            held = [not isinstance(one, cst.StarredElement) and self.all_hold(one.value) for one in node.elements]
            if sum(held) != 1 or len(held) < 2:
                return None
            at = held.index(True)
            news = [cst.Element(self.twin(node.elements[at].value, number)) for number in range(self.count)]
            elements = [*node.elements[: at + 1], *news, *node.elements[at + 1 :]]
            return node.with_changes(elements=own_elements(elements, node.elements)), at
        if isinstance(node, cst.Call) and node.args and variable(node.func) in (*_LISTS, "map"):
            last = node.args[-1]
            found = self.inserted(last.value)
            return found and (node.with_changes(args=[*node.args[:-1], last.with_changes(value=found[0])]), found[1])
        if isinstance(node, (cst.GeneratorExp, cst.ListComp)):
            loop = node.for_in
            found = None if loop.inner_for_in is not None or loop.ifs else self.inserted(loop.iter)
            return found and (node.with_changes(for_in=loop.with_changes(iter=found[0])), found[1])
        return None

    def twin(self, node: Any, number: int) -> Any:
        """The same expression of the new value instead."""
        return node.visit(_Twin({name: cst.Name(new[number]) for name, new in self.beside.items()}))

    def reads(self, node: Any) -> bool:
        """Whether the value, or a batch with it, is a part of an expression, and not only its shape."""
        if isinstance(node, cst.Attribute) and node.attr.value in _SHAPE:
            return False
        if variable(node) in self.beside or self.place_in_batch(node) is not None:
            return True
        parts = _parts(node)
        if _asks(node):
            parts = [one for one in parts if self.place_in_batch(one) is None]
        return any(map(self.reads, parts))

    def must_not_read(self, node: Any, line: Any) -> None:
        if self.reads(node):
            raise Stopped(line)

    def must_leave(self, node: Any, line: Any) -> None:
        """Raise Stopped where a statement changes the value in place, or takes a batch apart in a way of its own."""
        changing = isinstance(node, cst.Call) and (
            (isinstance(node.func, cst.Attribute) and _in_place(node.func.attr.value) and self.holds(node.func.value))
            or any(a.keyword is not None and a.keyword.value == "out" and self.reads(a.value) for a in node.args)
        )
        if changing:
            raise Stopped(line)
        if self.place_in_batch(node) is not None:
            return
        for part in _parts(node):
            if self.place_in_batch(part) is not None and not _asks(node):
                raise Stopped(line)
            self.must_leave(part, line)


class _Twin(cst.CSTTransformer):
    """Variables replaced by others, not what attributes and keywords are called."""

    def __init__(self, table: dict[str, cst.Name]) -> None:
        super().__init__()
        self.table = table

    def visit_Attribute(self, node: cst.Attribute) -> bool:
        return False

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.BaseExpression:
        new = self.table.get(variable(original_node))
        return new or original_node.with_changes(value=original_node.value.visit(self))

    def visit_Arg(self, node: cst.Arg) -> bool:
        return False

    def leave_Arg(self, original_node: cst.Arg, updated_node: cst.Arg) -> cst.Arg:
        return original_node.with_changes(value=original_node.value.visit(self))

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:
        return self.table.get(original_node.value, updated_node)


def variable(node: Any) -> str:
    """A name with its attributes, as `self.a`; "" for anything else."""
    if isinstance(node, cst.Name):
        return node.value
    owner = variable(node.value) if isinstance(node, cst.Attribute) else ""
    return f"{owner}.{node.attr.value}" if owner else ""


def _parts(node: Any) -> list[Any]:
    """What an expression or statement consists of, not what attributes and keywords are called."""
    found: list[Any] = []
    for name in fields_of(type(node)):
        child = getattr(node, name)
        if name not in ("attr", "keyword") or not isinstance(child, cst.Name):
            found += [part for part in (child if type(child) in SEQUENCES else (child,)) if is_node(type(part))]
    return found


def _in_place(method: str) -> bool:
    return method.endswith("_") and not method.startswith("_")


def _asks(node: Any) -> bool:
    """Whether an expression asks something of a batch as a whole, or for an entry of it by name."""
    if isinstance(node, cst.Subscript):
        index = node.slice[0].slice
        return len(node.slice) == 1 and isinstance(index, cst.Index) and isinstance(index.value, cst.SimpleString)
    return isinstance(node, (cst.Attribute, cst.ComparisonTarget, cst.Comparison))
