"""Code elsewhere in a tree that relies on what patches change: how a method is called, what it returns or puts in."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from newtfix.code.syntax import Function, functions, nodes, parsed, parts, walk, words


@dataclass(frozen=True)
class Reliance:
    """A place that still counts on what was: `line` of the patched text, and a sentence about it."""

    file: str
    line: int
    what: str


def reliances(sources: Mapping[str, str], after: Mapping[str, str]) -> tuple[Reliance, ...]:
    """Calls with the old parameters, uses of the old number of results, and reads of entries that nothing sets now.

    Args:
        sources: the tree's texts as they were. after: the texts that were patched.
    """
    return tuple(_reliances(sources, after))


def _reliances(sources: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Reliance]:
    changed: dict[str, list[_Change]] = {}
    for file, text in after.items():
        before, now = functions(sources[file]), functions(text)
        for key in before.keys() & now.keys():
            old, new = before[key].node, now[key].node
            if before[key].lines != now[key].lines:
                change = _Change(before[key].cls, _signature(old), _signature(new), _results(old), _results(new))
                if change.matters:
                    changed.setdefault(new.name, []).append(change)
    texts = {file: text for file, text in {**sources, **after}.items() if file.endswith(".py")}
    lost = _entries_of([sources[file] for file in after]) - _entries_of(after.values())
    lost -= _entries_of(text for text in texts.values() if not lost.isdisjoint(words(text)))
    for file, text in texts.items():
        if any(f"{name}(" in text for name in changed):
            stale = list(_stale_calls(file, text, changed))
            there = {ast.dump(parent) for parent, *_ in _calls(parsed(sources[file]), changed)} if stale else ()
            yield from (one for dump, one in stale if dump in there)
        if any(entry in text for entry in lost):
            yield from _lost_entries(file, text, lost)
    taken = [Counter(pair for file in after for pair in _taken(those[file])) for those in (sources, after)]
    fewer, more = (dict(list(pairs)) for pairs in (taken[0] - taken[1], taken[1] - taken[0]))
    for name in fewer.keys() & more.keys():
        for file, text in sources.items():
            yield from _of_another(file, text, after.get(file, text), name, fewer[name], more[name])


def _taken(text: str) -> Iterator[tuple[str, int]]:
    """Functions and methods whose results are unpacked, each with how many values are taken."""
    for node in nodes(text):
        call, target = (node.value, node.targets[0]) if isinstance(node, ast.Assign) else (None, None)
        plain = isinstance(target, ast.Tuple) and not any(isinstance(part, ast.Starred) for part in target.elts)
        if isinstance(call, ast.Call) and isinstance(target, ast.Tuple) and plain:
            yield getattr(call.func, "attr", getattr(call.func, "id", "")), len(target.elts)


def _of_another(file: str, text: str, patched: str, name: str, gave: int, taken: int) -> Iterator[Reliance]:
    """Methods of this name of other classes that go on giving as many values as were taken."""
    if f"def {name}(" not in text:
        return
    own, now = functions(text), functions(patched)
    for key, method in own.items():
        as_it_was = method.cls and method.node.name == name and now[key].lines == method.lines
        if as_it_was and _given(own, method) == {gave}:
            yield Reliance(file, now[key].node.lineno, f"gives {gave} values by {key}, where {taken} are taken now")


def _given(own: Mapping[str, Function], method: Function) -> frozenset[int]:
    """How many values a method gives, or another one of its class for it."""
    found = _results(method.node)
    last = method.node.body[-1]
    if found == {0} and isinstance(last, ast.Return) and isinstance(last.value, ast.Call):
        other = own.get(f"{method.cls}.{getattr(last.value.func, 'attr', '')}")
        return _results(other.node) if other and ast.unparse(last.value.func).startswith("self.") else found
    return found


def _entries_of(texts: Iterable[str]) -> frozenset[str]:
    return frozenset().union(*map(_set_entries, texts))


@dataclass(frozen=True)
class _Signature:
    """Parameters of a method without `self`: all names, how many are required, and whether it takes any others."""

    names: tuple[str, ...]
    required: int
    keywords: frozenset[str]
    any_positional: bool
    any_keyword: bool

    def takes(self, call: ast.Call) -> bool:
        """Whether a call without * and ** fits."""
        given = {keyword.arg for keyword in call.keywords if keyword.arg}
        if len(call.args) > len(self.names) and not self.any_positional:
            return False
        if given - set(self.names) - self.keywords and not self.any_keyword:
            return False
        return set(self.names[len(call.args) : self.required]) <= given


@dataclass(frozen=True)
class _Change:
    """A method of a class that was patched: its parameters, and how many values it returns (0: that isn't plain)."""

    cls: str
    before: _Signature
    after: _Signature
    gave: frozenset[int]
    gives: frozenset[int]

    @property
    def matters(self) -> bool:
        return self.before != self.after or self.returns_otherwise

    @property
    def returns_otherwise(self) -> bool:
        return len(self.gave) == len(self.gives) == 1 and self.gave != self.gives and 0 not in self.gave | self.gives


def _calls(tree: ast.AST, names: Collection[str]) -> Iterator[tuple[ast.AST, ast.Call, str]]:
    """Calls of functions and methods with these names, each with what it is a part of, and the name."""
    for parent in walk(tree):
        for call in parts(parent):
            func = call.func if isinstance(call, ast.Call) else None
            name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
            if isinstance(call, ast.Call) and name in names:
                yield parent, call, name


def _stale_calls(file: str, text: str, changed: Mapping[str, list[_Change]]) -> Iterator[tuple[str, Reliance]]:
    own = functions(text)
    for statement in parsed(text).body:
        cls = statement.name if isinstance(statement, ast.ClassDef) else ""
        for parent, call, name in _calls(statement, changed):
            for change in changed[name]:
                if isinstance(call.func, ast.Attribute) is not bool(change.cls):
                    continue
                another = cls != change.cls and f"{cls}.{name}" in own and ast.unparse(call.func) == f"self.{name}"
                told = "" if another else _stale(name, parent, call, change)
                if told:
                    yield ast.dump(parent), Reliance(file, call.lineno, told)


def _stale(name: str, parent: ast.AST, call: ast.Call, change: _Change) -> str:
    spread = any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords)
    if not spread and change.before.takes(call) and not change.after.takes(call):
        return f"calls {name} with the parameters that it had"
    if not change.returns_otherwise:
        return ""
    (gave,), (gives,) = change.gave, change.gives
    target = parent.targets[0] if isinstance(parent, ast.Assign) and len(parent.targets) == 1 else None
    if isinstance(target, ast.Tuple) and not any(isinstance(part, ast.Starred) for part in target.elts):
        return f"takes {gave} values from {name}, which returns {gives}" if len(target.elts) == gave else ""
    if gave == 1 and isinstance(parent, (ast.Assign, ast.Return, ast.Attribute, ast.Subscript, ast.Call)):
        return f"takes one value from {name}, which returns {gives}"
    return ""


def _lost_entries(file: str, text: str, lost: frozenset[str]) -> Iterator[Reliance]:
    for node in nodes(text):
        entry = _entry(node)
        if entry in lost and isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            yield Reliance(file, node.lineno, f"reads the entry {entry!r}, which nothing sets any more")


@lru_cache(maxsize=512)
def _set_entries(text: str) -> frozenset[str]:
    """String keys of dictionaries, and those that are assigned to."""
    found: set[str] = set()
    for node in nodes(text):
        if isinstance(node, ast.Dict):
            found |= {key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            found.add(_entry(node))
        elif isinstance(node, ast.Call):
            found |= {keyword.arg for keyword in node.keywords if keyword.arg}
    return frozenset(found - {""})


def _entry(node: ast.AST) -> str:
    key = node.slice if isinstance(node, ast.Subscript) else None
    return key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else ""


def _signature(function: ast.FunctionDef) -> _Signature:
    arguments = function.args
    names = tuple(a.arg for a in (*arguments.posonlyargs, *arguments.args))[1:]
    return _Signature(
        names,
        len(names) - len(arguments.defaults),
        frozenset(a.arg for a in arguments.kwonlyargs),
        arguments.vararg is not None,
        arguments.kwarg is not None,
    )


def _results(function: ast.FunctionDef) -> frozenset[int]:
    """How many values its returns give: 0 for a call, or where that is not plain to see."""
    found: set[int] = set()
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Return):
            found.add(_count(node.value))
        if not isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            pending += parts(node)
    return frozenset(found)


def _count(value: ast.expr | None) -> int:
    if isinstance(value, ast.Tuple):
        return 0 if any(isinstance(part, ast.Starred) for part in value.elts) else len(value.elts)
    return 1 if isinstance(value, (ast.Name, ast.Attribute, ast.Subscript)) else 0
