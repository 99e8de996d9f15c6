"""A newt-style tree as facts see it: the classes that play its roles, their methods, and what a call in them means."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

from newtfix.code.flow import Flow
from newtfix.code.imports import origin
from newtfix.code.names import Names, Write, bindings
from newtfix.code.paths import path_to
from newtfix.code.syntax import dotted, walk
from newtfix.code.values import Function
from newtfix.code.values import bound as bound_to
from newtfix.code.view import syntax
from newtfix.newt.roles import Found
from newtfix.newt.usual import SPELLED_OUT


@dataclass(frozen=True, eq=False)
class Method:
    """A method of a class that plays a role, and the file in which it is written."""

    file: str
    name: str
    node: Function


@dataclass(frozen=True)
class Broken:
    """Where a tree breaks what a patch relies on: the line, the code that stands there, and what it does.

    `relies` is what the patch relies on, as a sentence.
    """

    file: str
    line: int
    what: str
    relies: str = ""


class NewtTree:
    """The texts of a tree, the files of its roles, and its syntax, read once.

    What only reports or checks is not seen, and names for settings are spelled out, as in `newtfix.code.view`.
    """

    def __init__(self, sources: Mapping[str, str], roles: Mapping[str, Found]) -> None:
        self.sources, self.roles = sources, roles
        self._modules: dict[str, ast.Module] = {}
        self._methods: dict[str, dict[str, Method]] = {}
        self._names: dict[str, dict[str, Names]] = {}

    def module(self, file: str) -> ast.Module:
        """The syntax of a file, with the lines of its text; empty where it cannot be read."""
        if file not in self._modules:
            self._modules[file] = _syntax(self.sources[file])
        return self._modules[file]

    def line(self, file: str, number: int) -> str:
        """A line as its owner wrote it."""
        lines = self.sources[file].splitlines()
        return lines[number - 1].strip() if 0 < number <= len(lines) else ""

    def broken(self, method: Method, node: ast.AST | int, what: str) -> Broken:
        """What a place in a method breaks, with the code that stands there."""
        return self.broken_in(method.file, node, what)

    def broken_in(self, file: str, node: ast.AST | int, what: str) -> Broken:
        """The same for a place in a file."""
        lines = (node,) if isinstance(node, int) else (getattr(one, "lineno", 0) for one in walk(node))
        number = next(filter(None, lines), 0)  # a part of `with` or of a comprehension has no line of its own
        return Broken(file, number, f"{what}: {self.line(file, number)}")

    def methods(self, role: str) -> Mapping[str, Method]:
        """The methods of the class that plays a role, those of its bases in the tree included."""
        if role not in self._methods:
            found = self.roles.get(role)
            self._methods[role] = {} if found is None or found.cls is None else self._of_class(found.file, found.cls)
        return self._methods[role]

    def versions(self, role: str, name: str) -> Iterable[Method]:
        """A method of the class that plays a role, and those that classes derived from it have in its place."""
        found = self.roles.get(role)
        if (own := self.methods(role).get(name)) is not None:
            yield own
        for file, cls in self.derived(role, str(found.cls)) if found is not None and found.cls else ():
            yield from (Method(file, name, one) for one in _functions(cls.body) if one.name == name)

    def derived(self, role: str, name: str) -> Iterator[tuple[str, ast.ClassDef]]:
        """The classes of the tree that are made of one in the file of a role, by this name or another."""
        found = self.roles.get(role)
        for file in (one for one in self.python if name in self.sources[one]) if found is not None else ():
            for cls in (node for node in walk(self.module(file)) if isinstance(node, ast.ClassDef)):
                for base in map(dotted, cls.bases):
                    same = found is not None and origin(file, base, self.sources) == (found.file, name)
                    if same or base.rpartition(".")[2] == name:
                        yield file, cls

    def of_class(self, role: str, cls: str) -> Iterable[Method]:
        """The methods of a class in the file of a role."""
        found = self.roles.get(role)
        return self._of_class(found.file, cls).values() if found is not None else ()

    def _of_class(self, file: str, cls: str) -> dict[str, Method]:
        own: dict[str, Method] = {}
        for node in self.module(file).body:
            if isinstance(node, ast.ClassDef) and node.name == cls:
                for base in node.bases:
                    name = dotted(base).rpartition(".")[2]
                    home = self._home(name) if name != cls else None
                    own |= self._of_class(home, name) if home is not None else {}
                own |= {part.name: Method(file, part.name, part) for part in _functions(node.body)}
        return own

    def _home(self, cls: str) -> str | None:
        """The file that defines a class, if one does."""
        homes = [file for file in self.python if f"class {cls}" in self.sources[file] and cls in self._classes(file)]
        return homes[0] if len(homes) == 1 else None

    def _classes(self, file: str) -> frozenset[str]:
        return frozenset(node.name for node in self.module(file).body if isinstance(node, ast.ClassDef))

    @cached_property
    def key(self) -> frozenset[tuple[str, str]]:
        """What all that is said of the tree depends on."""
        return frozenset(self.sources.items())

    @cached_property
    def python(self) -> tuple[str, ...]:
        """The files of the tree that are Python."""
        return tuple(file for file in self.sources if file.endswith(".py"))

    def files_with(self, *names: str) -> Iterator[str]:
        """The Python files of the tree in which one of some names, as `a.b`, can occur, or as an attribute: `.b`."""
        wanted = [[(part, _looks(part, number)) for number, part in enumerate(name.split("."))] for name in names]
        for file in self.python:
            text = self.sources[file]
            if any(all(part in text and word.search(text) for part, word in parts) for parts in wanted):
                yield file

    @cached_property
    def _functions(self) -> Mapping[str, Method | None]:
        """The functions of the roles' modules by name; None for a name that several have."""
        found: dict[str, Method | None] = {}
        for file in {one.file for one in self.roles.values()}:
            for node in _functions(self.module(file).body):
                found[node.name] = None if node.name in found else Method(file, node.name, node)
        return found

    def called(self, role: str, call: ast.Call, names: Names | None = None) -> Method | None:
        """The function of the tree that a call in a role's class means; `names`: what names stand for there."""
        own = sorted(one.removeprefix("self.") for one in names.of(call.func)) if names is not None else []
        if found := [one for one in own if one in self.methods(role)]:
            return self.methods(role)[found[0]]
        name = dotted(call.func)
        if name.startswith("self."):
            return self.methods(role).get(name.removeprefix("self."))
        return self._functions.get(name.rpartition(".")[2]) if name else None

    def helper(self, role: str, call: ast.Call) -> Function | None:
        """The same as a syntax tree; not what plays a part of its own, such as `self.agent`."""
        found = self.called(role, call)
        return found.node if found is not None else None

    def names(self, role: str, method: Method) -> Names:
        """What the names in a method of a role stand for."""
        if role not in self._names:
            methods = self.methods(role)
            shared: dict[str, frozenset[str]] = {}
            for one in methods.values():
                for name, others in (*_names_of(one.node, ()).same().items(), *self._held(methods, one)):
                    shared[name] = shared.get(name, frozenset()) | others
            self._names[role] = {
                name: _names_of(one.node, tuple({**self._imported(one.file), **shared}.items()))
                for name, one in methods.items()
            }
        own = self.methods(role).get(method.name) is method
        return (
            self._names[role][method.name]
            if own
            else _names_of(method.node, tuple(self._imported(method.file).items()))
        )

    def _imported(self, file: str) -> Mapping[str, frozenset[str]]:
        """What a file imports under another name."""
        return _imports(self.module(file))

    def writes(self, role: str, method: Method | Names, *names: str) -> Iterator[Write]:
        """What a method, or a function that it calls, writes of these."""
        own = self.names(role, method) if isinstance(method, Method) else method
        yield from own.writes(*names)
        for call in (node for node in own.nodes if isinstance(node, ast.Call)) if own.mention(*names) else ():
            helper = self.helper(role, call)
            given = [(None, one) for one in call.args] + [(one.arg, one.value) for one in call.keywords]
            for parameter, value in bound_to(helper, given) if helper is not None else ():
                if helper is not None and own.is_of(value, *names):
                    flow = Flow(helper, lambda inner: self.helper(role, inner))
                    flow.parameter(parameter)
                    if helper.args in flow.mutated:
                        yield Write(call, value, None, False)

    def _held(self, methods: Mapping[str, Method], method: Method) -> Iterator[tuple[str, frozenset[str]]]:
        """The methods that attributes hold, compiled or wrapped otherwise: `self.plan = self._compiled(self._plan)`."""
        for target, value, _ in (one for node in walk(method.node) for one in bindings(node)):
            calls = [part for part in walk(value) if isinstance(part, ast.Call)] if value is not None else []
            given = {dotted(argument) for call in calls for argument in call.args}
            if held := {name for name in given if name.removeprefix("self.") in methods}:
                yield dotted(target), frozenset(held)

    def scopes(self, file: str) -> list[Names]:
        """The functions and methods of a file, and the rest of it, each with what its names stand for."""
        return _scopes(self.module(file))

    def function(self, role: str, name: str) -> tuple[str, Names] | None:
        """A function of the module that plays a role: its file, and what its names stand for."""
        found = self.roles.get(role)
        for node in walk(self.module(found.file)) if found is not None else ():
            if isinstance(node, ast.FunctionDef) and node.name == name and found is not None:
                return found.file, _names_of(node, tuple(self._imported(found.file).items()))
        return None

    def calls(self, role: str, name: str) -> Iterator[tuple[Method, ast.Call]]:
        """Where the methods of a role call something, as `self.env.reset`, by this name or another."""
        for method in self.methods(role).values():
            for call in self.names(role, method).calls(name):
                yield method, call

    def ways_within(
        self, role: str, method: Method, node: ast.AST, but: tuple[ast.AST, ...] = ()
    ) -> Iterator[list[ast.AST]]:
        """The nodes around a node of a method, from outside inwards, where a function within is called, too."""
        path, names = path_to(method.node, node), self.names(role, method)
        inner = [one for one in path[1:-1] if isinstance(one, (*_FUNCTIONS, ast.Lambda)) and one not in but]
        calls = [call for one in _called_as(inner[-1], names) for call in names.calls(one)] if inner else []
        calls = [call for call in calls if call not in walk(inner[-1])]
        for call in calls:
            own = path[path.index(inner[-1]) :]
            yield from ([*way, *own] for way in self.ways_within(role, method, call, (*but, inner[-1])))
        if not calls:
            yield path

    def ways(self, role: str, method: Method, node: ast.AST, but: tuple[Method, ...] = ()) -> Iterator[list[ast.AST]]:
        """The same, with what is around each call of the method."""
        calls = self.calls(role, f"self.{method.name}")
        callers = [(caller, call) for caller, call in calls if caller is not method and caller not in but]
        for path in self.ways_within(role, method, node):
            for caller, call in callers:
                yield from ([*way, *path] for way in self.ways(role, caller, call, (*but, method)))
            if not callers:
                yield path

    def broken_on(self, role: str, method: Method, node: ast.AST, what: str) -> Broken:
        """What a place breaks on a way to a place in a method: the place may be in another method."""
        own = (one for one in self.methods(role).values() if node in walk(one.node))
        return self.broken(next(own, method), node, what)


def _syntax(text: str) -> ast.Module:
    try:
        return syntax(text, SPELLED_OUT)
    except (SyntaxError, ValueError):
        return ast.Module([], [])


@lru_cache(maxsize=4096)
def _names_of(function: ast.AST, shared: tuple[tuple[str, frozenset[str]], ...]) -> Names:
    return Names(function, dict(shared))


_WORD = r"\b"
_BEHIND = r"""[.'"](?:\s|\\|#[^\n]*\n)*"""  # what stands before an attribute


@cache
def _looks(part: str, number: int) -> re.Pattern[str]:
    """A part of a name in code: a word, and behind another one an attribute, or a text for `getattr`."""
    return re.compile(f"{_BEHIND if number else _WORD}{part}{_WORD}")


@lru_cache(maxsize=512)
def _imports(module: ast.Module) -> Mapping[str, frozenset[str]]:
    found = (node for node in walk(module) if isinstance(node, ast.alias) and node.asname)
    return {node.asname: frozenset({node.name}) for node in found if node.asname}


@lru_cache(maxsize=512)
def _scopes(module: ast.Module) -> list[Names]:
    classes = [node for node in module.body if isinstance(node, ast.ClassDef)]
    functions = [one for body in (module.body, *(cls.body for cls in classes)) for one in _functions(body)]
    rest = [one for one in module.body if one not in functions and one not in classes]
    rest += [one for cls in classes for one in cls.body if one not in functions]
    rest += [
        ast.copy_location(ast.Expr(one), one)
        for node in (*classes, *functions)
        for one in (*node.decorator_list, *(node.bases if isinstance(node, ast.ClassDef) else ()))
    ]
    return [Names(one, _imports(module)) for one in (*functions, ast.Module(rest, []))]


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _called_as(function: ast.AST, names: Names) -> list[str]:
    """The names of a function within a function."""
    if isinstance(function, _FUNCTIONS):
        return [function.name]
    return [dotted(target) for node in names.nodes for target, value, _ in bindings(node) if value is function]


def _functions(body: Iterable[ast.stmt]) -> Iterator[Function]:
    return (node for node in body if isinstance(node, _FUNCTIONS))
