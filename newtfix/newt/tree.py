"""A newt-style tree as facts see it: the classes that play its roles, their methods, and what a call in them means."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from newtfix.code.syntax import dotted, parsed, walk
from newtfix.code.values import Function
from newtfix.code.view import view
from newtfix.newt.roles import Found


@dataclass(frozen=True, eq=False)
class Method:
    """A method of a class that plays a role, and the file in which it is written."""

    file: str
    name: str
    node: Function


@dataclass(frozen=True)
class Broken:
    """Where a tree breaks what a patch relies on: the line, the code that stands there, and what it does."""

    file: str
    line: int
    what: str


class NewtTree:
    """The texts of a tree, the files of its roles, and its syntax, read once.

    What only reports or checks is not seen, and names for settings are spelled out, as in `newtfix.code.view`.
    """

    def __init__(self, sources: Mapping[str, str], roles: Mapping[str, Found]) -> None:
        self.sources, self.roles = sources, roles
        self._modules: dict[str, ast.Module] = {}
        self._methods: dict[str, dict[str, Method]] = {}

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
        number = node if isinstance(node, int) else getattr(node, "lineno", 0)
        return Broken(file, number, f"{what}: {self.line(file, number)}")

    def methods(self, role: str) -> Mapping[str, Method]:
        """The methods of the class that plays a role, those of its bases in the tree included."""
        if role not in self._methods:
            found = self.roles.get(role)
            self._methods[role] = {} if found is None or found.cls is None else self._of_class(found.file, found.cls)
        return self._methods[role]

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
    def python(self) -> tuple[str, ...]:
        """The files of the tree that are Python."""
        return tuple(file for file in self.sources if file.endswith(".py"))

    @cached_property
    def _functions(self) -> Mapping[str, Method | None]:
        """The functions of the roles' modules by name; None for a name that several have."""
        found: dict[str, Method | None] = {}
        for file in {one.file for one in self.roles.values()}:
            for node in _functions(self.module(file).body):
                found[node.name] = None if node.name in found else Method(file, node.name, node)
        return found

    def called(self, role: str, call: ast.Call) -> Method | None:
        """The function of the tree that a call in a role's class means."""
        name = dotted(call.func)
        if name.startswith("self."):
            return self.methods(role).get(name.removeprefix("self."))
        return self._functions.get(name.rpartition(".")[2]) if name else None

    def helper(self, role: str, call: ast.Call) -> Function | None:
        """The same as a syntax tree; not what plays a part of its own, such as `self.agent`."""
        found = self.called(role, call)
        return found.node if found is not None else None

    def calls(self, role: str, name: str) -> Iterator[tuple[Method, ast.Call]]:
        """Where the methods of a role call something by this name, as `self.env.reset`."""
        for method in self.methods(role).values():
            for node in walk(method.node):
                if isinstance(node, ast.Call) and dotted(node.func) == name:
                    yield method, node


@lru_cache(maxsize=512)
def _syntax(text: str) -> ast.Module:
    try:
        return parsed(view(text).code)
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def _functions(body: Iterable[ast.stmt]) -> Iterator[Function]:
    return (node for node in body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
