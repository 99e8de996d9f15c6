"""Whether the conditions of an edit hold in a tree, what they bind, and which of them breaks first."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Sequence
from typing import Any

import libcst as cst

from newtfix.match import pattern as pat
from newtfix.match import render
from newtfix.match.matching import Bindings, same
from newtfix.model import Where
from newtfix.plan.unmet import Unmet, place_of, readable
from newtfix.plan.working import WorkingTree, enclosing


def bind_where(tree: WorkingTree, conditions: tuple[Where, ...]) -> tuple[Bindings | None, Unmet | None]:
    """The holes that the conditions bind, or None and the first condition that does not hold."""
    if not conditions:
        return {}, None
    if conditions not in tree.known:
        bound, unmet = bind_where(tree, conditions[:-1])
        tree.known[conditions] = (None, unmet) if bound is None else _bind_one(tree, conditions[-1], bound)
    known: tuple[Bindings | None, Unmet | None] = tree.known[conditions]
    return known


def _bind_one(tree: WorkingTree, where: Where, bound: Bindings) -> tuple[Bindings | None, Unmet | None]:
    """The holes bound so far and those that one more condition binds, or None and what does not hold."""
    place = enclosing(tree, where.role, where.scope)
    patterns = (where.pattern,) if isinstance(where.pattern, str) else where.pattern
    if place is None:
        missing = Unmet(f"there is no {where.scope or where.role}", patterns[0])
        return (bound, None) if where.absent else (None, missing)
    file, path = place
    module = tree.module(file)
    root = render.at(module, path)
    scope = where.scope or file
    if where.together:
        if _in_one_method(patterns, root) is where.absent:
            both = " and ".join(f"`{readable(one)}`" for one in (patterns[0], patterns[-1]))
            has = "a method" if where.absent else "no method"
            return None, Unmet(f"{has} of {scope} has both {both}", "\n".join(patterns), file)
        return bound, None
    roots = [(path, root)]
    if where.near or where.far:
        roots = [
            (at, method)
            for at, method in methods_of(root, path)
            if (not where.near or has_any(where.near, method)) and not has_any(where.far, method)
        ]
    around = [match for source in where.outside for match in pat.search(source, root, bound, path)]
    found = [
        (source, match)
        for source in patterns
        for at, part in roots
        for match in pat.search(source, part, bound, at)
        if not any(pat.within(match, other) for other in around)
    ]
    if where.absent and found:
        return None, Unmet(f"the patch does not go with this code of {scope}", *_broken(file, *found[0]))
    if where.absent:
        return bound, None
    found = [one for one in found if not any(_is_part(one[1], other) for _, other in found)]
    if not found:
        return None, _missing(where, scope, file, patterns[0], root, path)
    if (unusable := _unusable(where, found, bound, _everywhere(module))) is not None:
        words, one = unusable
        return None, Unmet(words, *_broken(file, *one))
    return {**bound, **found[0][1].bindings}, None


def _is_part(match: pat.Match, other: pat.Match) -> bool:
    """Whether one of several patterns matched a part of what another one matched as a whole."""
    return match.path != other.path and pat.within(match, other)


def _missing(where: Where, scope: str, file: str, pattern: str, root: Any, path: pat.Path) -> Unmet:
    """What is said where no code is like a pattern, or none where it should be."""
    wanted = readable(pattern)
    if elsewhere := pat.search(pattern, root, {}, path):
        words = f"{scope} has `{wanted}`, but not where the patch needs it"
        return Unmet(words, *_broken(file, pattern, elsewhere[0]))
    if where.near:
        beside = readable(where.near[0])
        words = f"no method of {scope} with `{beside}` has `{wanted}`"
        return Unmet(words, where.near[0], file, nearest=words)
    words = f"{scope} has nothing like `{wanted}`"
    return Unmet(words, pattern.strip(), file, nearest=f"{words}; this is the nearest")


def _broken(file: str, source: str, match: pat.Match) -> tuple[str, str, pat.Path]:
    return source.strip(), file, place_of(match)


def _unusable(
    where: Where, found: Sequence[tuple[str, pat.Match]], bound: Bindings, everywhere: frozenset[str]
) -> tuple[str, tuple[str, pat.Match]] | None:
    """Why what the occurrences of a pattern caught cannot be used, and which of them; None: it can."""
    bindings = found[0][1].bindings
    for one in found[1:]:
        if not all(same(one[1].bindings[name], value) for name, value in bindings.items()):
            return f"{where.scope or where.role} has another form of this code elsewhere", one
    allowed = {*everywhere, *(_allowed(one, bound) for one in where.names)}
    for name in where.portable:
        if local := _local_names(bindings[name], allowed):
            return f"the patch takes this code to where there is no {local[0]}", found[0]
    return None


def _everywhere(module: cst.Module) -> frozenset[str]:
    """The names that Python has, and those that a module imports for all of it."""
    lines = [small for one in module.body if isinstance(one, cst.SimpleStatementLine) for small in one.body]
    imports = [one for one in lines if isinstance(one, (cst.Import, cst.ImportFrom))]
    names = [one.names for one in imports if not isinstance(one.names, cst.ImportStar)]
    parts = (alias.asname.name if alias.asname else alias.name for aliases in names for alias in aliases)
    return frozenset(part.value for part in parts if isinstance(part, cst.Name)) | set(dir(builtins))


def _allowed(name: str, bound: Bindings) -> str:
    """A name that moved code may mention; `$name` is the one that an earlier condition caught."""
    caught = bound.get(name.removeprefix("$")) if name.startswith("$") else None
    return caught.value if isinstance(caught, cst.Name) else name


def _in_one_method(patterns: Sequence[str], scope: Any) -> bool:
    """Whether some function of a class or module has all of these."""
    methods = [node for node in body_of(scope) if isinstance(node, cst.FunctionDef)]
    return any(all(pat.search(source, method) for source in patterns) for method in methods)


def methods_of(scope: Any, path: pat.Path) -> list[tuple[pat.Path, cst.CSTNode]]:
    """The functions of a class or module, and the paths to them."""
    inside = path if isinstance(scope, cst.Module) else (*path, ("body", None))
    return [
        ((*inside, ("body", index)), node)
        for index, node in enumerate(body_of(scope))
        if isinstance(node, cst.FunctionDef)
    ]


def has_any(sources: Sequence[str], method: cst.CSTNode) -> bool:
    return any(pat.search(source, method) for source in sources)


def _local_names(code: cst.CSTNode | Sequence[cst.CSTNode], allowed: Collection[str]) -> list[str]:
    """The plain names in expressions or arguments, attributes and keywords aside, that are not allowed."""
    names = [
        node.value
        for part in (code if isinstance(code, (list, tuple)) else (code,))
        for node, _, step in pat.spots(part)
        if isinstance(node, cst.Name)
        and node.value not in ("True", "False", "None")
        and step not in (("attr", None), ("keyword", None))
    ]
    return [name for name in names if name not in allowed]


def body_of(scope: Any) -> Sequence[Any]:
    """The statements of a module, class or function."""
    body: Sequence[Any] = scope.body if isinstance(scope, cst.Module) else scope.body.body
    return body
