"""New values beside one that a function takes out of a batch: what is done to it is done to them, up to the return."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import libcst as cst

from newtfix.match.held import Stopped, Values, variable
from newtfix.match.matching import LIKE, SEQUENCES, matched
from newtfix.match.pattern import parse_pattern
from newtfix.match.render import own_elements

_COMPOUND = (cst.If, cst.For, cst.While, cst.With, cst.Try)


@dataclass(frozen=True)
class Carried:
    """A function in which new values go beside one that was there; `taken`: the statements that take it from a batch.

    `there`: for each of these, such values that it takes already, and at which place in the batch.
    """

    function: cst.FunctionDef
    taken: tuple[cst.CSTNode, ...]
    there: tuple[tuple[tuple[str, int], ...], ...]
    names: frozenset[str]


def carry(function: cst.FunctionDef, taken: Sequence[str], value: str, names: Sequence[str], at: int) -> Carried:
    """Carry values called `names` beside element `at` of the batches that expressions like `taken` give in a function.

    Raises Stopped.
    """
    patterns = [parse_pattern(source).expression for source in taken]
    way = _Way(
        function,
        lambda node: type(node) is cst.Call and any(matched(one, node, {}) is not None for one in patterns),
        value,
        tuple(names),
        at,
    )
    body = function.body.with_changes(body=way.block(function.body.body))
    return Carried(function.with_changes(body=body), tuple(way.taken), tuple(way.there), frozenset(way.made))


class _Way(Values):
    """The way of a value through a function, statement by statement."""

    def __init__(
        self, function: cst.FunctionDef, is_source: Callable[[Any], bool], value: str, names: tuple[str, ...], at: int
    ) -> None:
        super().__init__(function, is_source, at, len(names))
        self.value, self.names = value, names
        self.taken: list[cst.CSTNode] = []
        self.there: list[tuple[tuple[str, int], ...]] = []
        self.made: set[str] = set()
        self.foreign: dict[str, cst.CSTNode] = {}  # variables taken out of something else, and where

    def block(self, body: Sequence[Any]) -> list[Any]:
        return [new for statement in body for new in self.statement(statement)]

    def statement(self, statement: Any) -> list[Any]:
        if isinstance(statement, cst.SimpleStatementLine):
            return self.simple(statement)
        if not isinstance(statement, _COMPOUND):
            self.must_not_read(statement, statement)
            return [statement]
        if isinstance(statement, cst.For):
            statement = self.loop(statement)
        changes: dict[str, Any] = {"body": self.suite(statement.body)}
        for name in ("handlers", "orelse", "finalbody"):
            part = getattr(statement, name, None)
            if isinstance(part, cst.If):
                changes[name] = self.statement(part)[0]
            elif part is not None and type(part) not in SEQUENCES:
                changes[name] = part.with_changes(body=self.suite(part.body))
            elif part:
                changes[name] = [one.with_changes(body=self.suite(one.body)) for one in part]
        return [statement.with_changes(**changes)]

    def loop(self, loop: cst.For) -> cst.For:
        """A loop over the parts of a batch, which does the same to all."""
        found = self.inserted(loop.iter)
        if self.place_in_batch(loop.iter) is None and found is None:
            self.must_not_read(loop.iter, loop)
        return loop if found is None else loop.with_changes(iter=found[0])

    def suite(self, suite: Any) -> Any:
        if isinstance(suite, cst.IndentedBlock):
            return suite.with_changes(body=self.block(suite.body))
        self.must_not_read(suite, suite)
        return suite

    def simple(self, line: cst.SimpleStatementLine) -> list[Any]:
        small = line.body[0]
        if len(line.body) > 1:
            self.must_not_read(line, line)
        elif isinstance(small, cst.Return) and small.value is not None:
            return [line.with_changes(body=[small.with_changes(value=self.returned(small.value, line))])]
        elif isinstance(small, cst.Assign) and len(small.targets) == 1:
            return self.assigned(line, small, small.targets[0].target, small.value)
        elif isinstance(small, cst.AnnAssign) and small.value is not None:
            return self.assigned(line, small, small.target, small.value)
        elif isinstance(small, (cst.Assign, cst.AugAssign, cst.Del)):
            self.must_not_read(small, line)
        else:
            self.must_leave(small, line)
        return [line]

    def returned(self, value: Any, line: Any) -> Any:
        if self.place_in_batch(value) is not None:
            return value
        found = self.inserted(value)
        if found is None and not self.taken and not self.reads(value):
            self.must_leave(value, line)
            if (unknown := self.from_elsewhere(value)) is not None:
                raise Stopped(unknown)
            return value
        if found is None:
            raise Stopped(line)
        return found[0]

    def from_elsewhere(self, returned: Any) -> cst.CSTNode | None:
        """The statement that took the value that is returned out of something that is not known to be a batch."""
        values = returned.elements if isinstance(returned, (cst.Tuple, cst.List)) else ()
        names = [variable(one.value) for one in values]
        there = all(any(LIKE[f"like_{new}"].search(name) for name in names) for new in self.names)
        return self.foreign.get(names[self.at]) if len(names) > self.at and not there else None

    def assigned(self, line: Any, small: Any, target: Any, value: Any) -> list[Any]:
        if isinstance(target, (cst.Tuple, cst.List)):
            return self.unpacked(line, small, target, value)
        place = self.place_in_batch(value)
        found = self.inserted(value) if place is None else None
        if place is not None or found is not None:
            new, place = found or (value, place)
            if not variable(target):
                raise Stopped(line)
            self.batches[variable(target)] = place or 0
            return [line if found is None else line.with_changes(body=[small.with_changes(value=new)])]
        if not self.holds(value):
            self.must_leave(value, line)
            self.forget(target, line)
            return [line]
        first, targets = self.targets(target, line)
        news = [self.twin(value, number) for number in range(self.count)]
        pairs = zip(targets, news, strict=True)
        return [*first, line, *(_line(cst.Assign([cst.AssignTarget(one)], new)) for one, new in pairs)]

    def unpacked(self, line: Any, small: Any, target: Any, value: Any) -> list[Any]:
        """Several targets at once: those of a batch, or each with a value of its own."""
        if isinstance(value, (cst.Tuple, cst.List)) and self.all_hold(value):
            first, news = [], []
            for one in target.elements:
                before, targets = self.targets(one.value, line)
                first += before
                news.append(targets)
            return [*first, line, *(self.apart(small, target, value, news, n) for n in range(self.count))]
        if isinstance(value, (cst.Tuple, cst.List)) and len(value.elements) == len(target.elements):
            return self.pairwise(line, small, target, value)
        found = self.inserted(value)
        place = self.place_in_batch(value) if found is None else found[1]
        if place is None:
            self.must_leave(value, line)
            for element in target.elements:
                self.forget(element.value, line)
                self.foreign[variable(element.value)] = line
            return [line]
        new = self.take(target, place, line)
        changes = {} if found is None else {"value": found[0]}
        return [_with_target(line, small, new, **changes)]

    def apart(self, small: Any, target: Any, value: Any, news: Sequence[Any], number: int) -> Any:
        """The same of the new values alone."""
        each = [one.with_changes(value=new[number]) for one, new in zip(target.elements, news, strict=True)]
        return _with_target(_line(small), small, target.with_changes(elements=each), value=self.twin(value, number))

    def pairwise(self, line: Any, small: Any, target: Any, value: Any) -> list[Any]:
        lefts: list[Any] = []
        rights: list[Any] = []
        first: list[Any] = []
        for left, right in zip(target.elements, value.elements, strict=True):
            place = self.place_in_batch(right.value)
            if place is not None and isinstance(left.value, (cst.Tuple, cst.List)):
                left = left.with_changes(value=self.take(left.value, place, line))
            elif place is not None and variable(left.value):
                self.batches[variable(left.value)] = place
            lefts.append(left)
            rights.append(right)
            if not self.holds(right.value):
                if place is None:
                    self.must_leave(right.value, line)
                    self.forget(left.value, line)
                continue
            before, targets = self.targets(left.value, line)
            first += before
            lefts += [cst.Element(one) for one in targets]
            rights += [cst.Element(self.twin(right.value, number)) for number in range(self.count)]
        new = value.with_changes(elements=own_elements(rights, value.elements))
        return [
            *first,
            _with_target(line, small, target.with_changes(elements=own_elements(lefts, target.elements)), value=new),
        ]

    def take(self, target: Any, place: int, line: Any) -> Any:
        """The targets of a batch with the new values behind the one that is there."""
        elements = list(target.elements)
        if len(elements) <= place or any(isinstance(one, cst.StarredElement) for one in elements[: place + 1]):
            raise Stopped(line)
        one = elements[place].value
        self.taken.append(line)
        self.width = len(elements)
        known = [(one.value.value, i) for i, one in enumerate(elements) if isinstance(one.value, cst.Name)]
        own = (next((k for k in known if LIKE[f"like_{name}"].search(k[0])), None) for name in self.names)
        self.there.append(tuple(one for one in own if one is not None))
        _, targets = self.targets(one, line)
        elements[place + 1 : place + 1] = [cst.Element(new) for new in targets]
        return target.with_changes(elements=own_elements(elements, target.elements))

    def targets(self, target: Any, line: Any) -> tuple[list[Any], list[Any]]:
        """Where the new values go that belong beside one with this target, and statements that make room for them."""
        indexed = isinstance(target, cst.Subscript)
        whole = target.value if indexed else target
        name = variable(whole)
        if not name:
            raise Stopped(line)
        fresh = name not in self.beside
        if fresh:
            self.beside[name] = tuple(self.called(name, new) for new in self.names)
            self.made.update(self.beside[name])
        self.batches.pop(name, None)
        if not indexed:
            return [], [cst.Name(one) for one in self.beside[name]]
        rooms = (f"{one} = torch.empty_like({name})" for one in self.beside[name])
        first = [cst.parse_statement(room) for room in rooms] if fresh else []
        return first, [target.with_changes(value=cst.Name(one)) for one in self.beside[name]]

    def called(self, name: str, new: str) -> str:
        own = name.rpartition(".")[2]
        own = own.lstrip("_") if "." in name else own
        best = re.sub(f"{self.value}s?", new, own)
        called = best if best not in {own, *self.made} else f"{own}_{new}"
        while called in self.made:
            called += "_"
        return called

    def forget(self, target: Any, line: Any) -> None:
        """Something else is set: what was changed in part, or has no new values any more, cannot be carried."""
        if isinstance(target, cst.Subscript):
            self.must_not_read(target.value, line)
        name = variable(target)
        if name in self.beside:
            raise Stopped(line)
        self.batches.pop(name, None)


def _with_target(line: Any, small: Any, target: Any, **changes: Any) -> Any:
    where = (
        {"targets": [small.targets[0].with_changes(target=target)]}
        if isinstance(small, cst.Assign)
        else {"target": target}
    )
    return line.with_changes(body=[small.with_changes(**where, **changes)])


def _line(small: Any) -> cst.SimpleStatementLine:
    return cst.SimpleStatementLine([small])
