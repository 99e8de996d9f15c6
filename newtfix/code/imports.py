"""Which files of a tree import which, and what they take from each other."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from newtfix.code.syntax import blocks, dotted, nodes, statements, walk

EVERYTHING = "*"


@dataclass(frozen=True)
class Imported:
    """A name that an import binds in a file: to a file of the tree as a module, or to what that file calls `name`."""

    local: str
    file: str
    name: str = ""


@lru_cache(maxsize=1024)
def imported(file: str, text: str, files: frozenset[str]) -> tuple[Imported, ...]:
    """What a file imports from others of a tree, wherever in it; packages on the way to a module are imported too.

    Of an import whose name a later one takes over, the file is imported and nothing is bound. Where `try` imports a
    name from a file that is there, what else its handlers would import under that name does not count.
    """
    found: list[Imported] = []
    instead: dict[ast.AST, set[str]] = {}
    for node in statements(text):
        if isinstance(node, ast.Try):
            bound = {one.local for part in node.body for one in _bound(part, file, files)} - {""}
            for part in (part for handler in node.handlers for part in walk(handler)):
                instead.setdefault(part, set()).update(bound)
        for one in _bound(node, file, files):
            if one.local not in instead.get(node, ()):
                found.append(Imported("", one.file) if (node, one.local) in _bound_anew(text) else one)
    return tuple(one for one in dict.fromkeys(found) if one.file != file)


def _bound(node: ast.AST, file: str, files: frozenset[str]) -> Iterator[Imported]:
    """What a statement imports from files of the tree."""
    if isinstance(node, ast.ImportFrom):
        module = f"{'.' * node.level}{node.module or ''}"
        yield from _packages(file, module, files)
        for alias in node.names:
            local = alias.asname or alias.name
            inner = _resolve(file, module + "." * (module.strip(".") != "") + alias.name, files)
            if inner:
                yield Imported(local, inner)
            elif outer := _resolve(file, module, files):
                yield Imported(local, outer, alias.name)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            yield from _packages(file, alias.name, files)
            if target := _resolve(file, alias.name, files):
                yield Imported(alias.asname or alias.name, target)


@lru_cache(maxsize=512)
def _bound_anew(text: str) -> frozenset[tuple[ast.AST, str]]:
    """The imports, each with a name, that a later one in the same block binds before anything else mentions it."""
    found: set[tuple[ast.AST, str]] = set()
    for block in blocks(text):
        bound: dict[str, ast.AST] = {}
        for statement in block:
            if not isinstance(statement, ast.Import | ast.ImportFrom):
                for node in walk(statement) if bound else ():
                    bound.pop(getattr(node, "id", ""), None)
                continue
            for local in {alias.asname or alias.name for alias in statement.names} - {EVERYTHING}:
                if local in bound:
                    found.add((bound[local], local))
                bound[local] = statement
    return frozenset(found)


def _packages(file: str, module: str, files: frozenset[str]) -> Iterator[Imported]:
    """The packages above a module, which run when it is imported; nothing of theirs is bound."""
    parts = module.strip(".").split(".")
    dots = "." * (len(module) - len(module.lstrip(".")))
    for end in range(1, len(parts)):
        if target := _resolve(file, dots + ".".join(parts[:end]), files):
            yield Imported("", target)


@lru_cache(maxsize=8192)
def _resolve(file: str, module: str, files: frozenset[str]) -> str:
    """The file of a module as another file names it; "" where it is none of the tree's.

    An absolute name is looked for from the file's own folder upwards, for a script finds modules beside it, and then
    without its first parts, for the tree may be a package itself.
    """
    folder = PurePosixPath(file).parent
    level = len(module) - len(module.lstrip("."))
    path = module.strip(".").replace(".", "/")
    if level:
        for _ in range(level - 1):
            folder = folder.parent
        return _file(folder / path, files)
    if path.partition("/")[0] in sys.stdlib_module_names:
        return ""
    for start in (folder, *folder.parents):
        if found := _file(start / path, files):
            return found
    return next((found for inner in _inner(path) if (found := _file(PurePosixPath(inner), files))), "")


def _inner(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.partition("/")[2]
        yield path


def _file(path: PurePosixPath, files: frozenset[str]) -> str:
    name = path.as_posix()
    return next((one for one in (f"{name}.py", f"{name}/__init__.py".removeprefix("./")) if one in files), "")


@lru_cache(maxsize=1024)
def taken(file: str, text: str, files: frozenset[str]) -> Mapping[str, frozenset[str]]:
    """For each file that another one imports, the names that it takes from there; `*` stands for all."""
    found: dict[str, set[str]] = {}
    modules: dict[str, str] = {}
    for one in imported(file, text, files):
        found.setdefault(one.file, set()).update({one.name} - {""})
        if not one.name and one.local:
            modules[one.local] = one.file
    for node in nodes(text) if modules else ():
        if isinstance(node, ast.Attribute) and (target := modules.get(dotted(node.value))):
            found[target].add(node.attr)
    return {target: frozenset(names) for target, names in found.items()}


def reached(starts: Iterable[str], sources: Mapping[str, str]) -> frozenset[str]:
    """Some files and all that they import, directly or through others."""
    files = frozenset(sources)
    found: set[str] = set()
    pending = [file for file in starts if file in files]
    while pending:
        file = pending.pop()
        if file not in found:
            found.add(file)
            pending += taken(file, sources[file], files)
    return frozenset(found)


def importers(targets: Iterable[str], sources: Mapping[str, str], but: frozenset[str] = frozenset()) -> frozenset[str]:
    """Some files and all that import them, directly or through others; files of `but` do not count."""
    by: dict[str, list[str]] = {}
    for file, text in sources.items():
        for target in taken(file, text, frozenset(sources)) if file not in but else ():
            by.setdefault(target, []).append(file)
    found: set[str] = set()
    pending = list(targets)
    while pending:
        file = pending.pop()
        if file not in found:
            found.add(file)
            pending += by.get(file, ())
    return frozenset(found)


def origin(file: str, name: str, sources: Mapping[str, str]) -> tuple[str, str]:
    """Where a dotted name that a file reads was defined: a file of the tree and a name there; ("", "") elsewhere."""
    return _origin(file, name, sources, frozenset())


def _origin(file: str, name: str, sources: Mapping[str, str], seen: frozenset[tuple[str, str]]) -> tuple[str, str]:
    if (file, name) in seen:
        return "", ""
    head, _, last = name.rpartition(".")
    known = imported(file, sources[file], frozenset(sources))
    for one in known:
        if head and one.local == head and not one.name:
            return _origin(one.file, last, sources, seen | {(file, name)})
        if not head and one.local == name and one.name:
            return _origin(one.file, one.name, sources, seen | {(file, name)})
    if head:
        return "", ""
    if not _defines(sources[file], name):
        for one in known:
            if one.name == EVERYTHING and _defines(sources[one.file], name):
                return one.file, name
        return "", ""
    return file, name


@lru_cache(maxsize=1024)
def _defines(text: str, name: str) -> bool:
    return any(isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name for node in statements(text))
