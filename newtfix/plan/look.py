"""What one edit sees in a tree: the file and scope it speaks of, and which of its shapes stand there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import libcst as cst

from newtfix.code.view import restored, view
from newtfix.match import pattern as pat
from newtfix.match import render
from newtfix.match.matching import Bindings, same
from newtfix.match.touched import breaks
from newtfix.model import Add, Edit, Shape, State, Where
from newtfix.newt.roles import ROLES, Found, find_roles
from newtfix.newt.tree import NewtTree


class WorkingTree:
    """The tree as it stands while planning: texts by file, modules (as patterns see them) parsed when first needed."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self.sources = dict(sources)
        self.roles = find_roles(sources)
        self.pristine = NewtTree(sources, self.roles)
        self.modules: dict[str, cst.Module] = {}
        self.changed: set[str] = set()
        # What conditions bind, and what edits see, as the tree stands.
        self.known: dict[tuple[Where, ...], tuple[Bindings | None, str]] = {}
        self.seen: dict[int, tuple[Edit | Add, Look]] = {}

    def module(self, file: str) -> cst.Module:
        if file not in self.modules:
            self.modules[file] = view(self.sources[file])
        return self.modules[file]

    def update(self, file: str, module: cst.Module) -> None:
        self.modules[file] = module
        self.changed.add(file)
        here = {role for role, found in self.roles.items() if found.file == file}
        self.known = {where: known for where, known in self.known.items() if here.isdisjoint(_roles(where))}
        self.seen = {key: seen for key, seen in self.seen.items() if here.isdisjoint(_roles_of(seen[0]))}

    def text(self, file: str) -> str:
        return restored(self.modules[file], self.sources[file]) if file in self.changed else self.sources[file]


@dataclass(frozen=True)
class Look:
    """What one edit sees: the file, the nodes in scope, and for every shape what matched."""

    state: State
    file: str = ""
    symbol: str = ""
    shape: Shape | None = None
    matches: tuple[pat.Match, ...] = ()
    present: tuple[pat.Match, ...] = ()
    expected: str = ""
    found: str = ""
    roots: tuple[pat.Path, ...] = ()


@cache
def _roles(conditions: tuple[Where, ...]) -> frozenset[str]:
    return frozenset(where.role for where in conditions)


def _roles_of(edit: Edit | Add) -> frozenset[str]:
    """The roles of the files that decide what an edit sees."""
    conditions = (edit.where,) if isinstance(edit, Add) else [shape.where for shape in edit.shapes]
    return frozenset({edit.role}).union(*map(_roles, (*_not_meant(edit), *conditions)))


def _scope_path(module: cst.Module, scope: str, role: Found, usual: str | None) -> pat.Path | None:
    """The path to the class or function that a scope names; () is the module, None: there is no such thing."""
    path: pat.Path = ()
    body: Sequence[Any] = module.body
    for depth, name in enumerate(part for part in scope.split(".") if part):
        wanted = role.cls if depth == 0 and name == usual and role.cls else name
        for index, node in enumerate(body):
            if isinstance(node, (cst.ClassDef, cst.FunctionDef)) and node.name.value == wanted:
                path = (*path, *((("body", None),) if depth else ()), ("body", index))
                body = node.body.body if isinstance(node.body, cst.IndentedBlock) else []
                break
        else:
            return None
    return path


def enclosing(tree: WorkingTree, role: str, scope: str) -> tuple[str, pat.Path] | None:
    found = tree.roles.get(role)
    if found is None:
        return None
    path = _scope_path(tree.module(found.file), scope, found, ROLES[role].cls)
    return None if path is None else (found.file, path)


def bind_where(tree: WorkingTree, conditions: tuple[Where, ...]) -> tuple[Bindings | None, str]:
    """The holes that the conditions bind, or None and the condition that does not hold."""
    if not conditions:
        return {}, ""
    if conditions not in tree.known:
        bound, unmet = bind_where(tree, conditions[:-1])
        tree.known[conditions] = (None, unmet) if bound is None else _bind_one(tree, conditions[-1], bound)
    return tree.known[conditions]


def _bind_one(tree: WorkingTree, where: Where, bound: Bindings) -> tuple[Bindings | None, str]:
    """The holes bound so far and those that one more condition binds, or None and what does not hold."""
    place = enclosing(tree, where.role, where.scope)
    if place is None:
        return (bound, "") if where.absent else (None, f"no {where.scope or where.role}")
    file, path = place
    module = tree.module(file)
    patterns = (where.pattern,) if isinstance(where.pattern, str) else where.pattern
    root, said = render.at(module, path), f"{patterns[0].strip()} in {where.scope or file}"
    if where.together:
        if _in_one_method(patterns, root) is where.absent:
            return None, f"{said} {'not ' * where.absent}together with {patterns[-1].strip()}"
        return bound, ""
    roots = [(path, root)]
    if where.near or where.far:
        roots = [
            (at, method)
            for at, method in _methods(root, path)
            if (not where.near or _has_any(where.near, method)) and not _has_any(where.far, method)
        ]
    around = [match for source in where.outside for match in pat.search(source, root, bound, path)]
    matches = [
        match
        for source in patterns
        for at, part in roots
        for match in pat.search(source, part, bound, at)
        if not any(pat.within(match, other) for other in around)
    ]
    if where.absent:
        return (None, f"{_first(where, patterns, roots, bound)}, which does not go with it") if matches else (bound, "")
    if not matches:
        return None, f"no {said}"
    if unmet := _unusable(where, matches, bound):
        return None, f"no {said}{unmet}"
    return {**bound, **matches[0].bindings}, ""


def _first(where: Where, patterns: Sequence[str], roots: Sequence[tuple[pat.Path, Any]], bound: Bindings) -> str:
    """The first of the patterns that occurs, and where it was looked for."""
    found = next(one for one in patterns if any(pat.search(one, part, bound, at) for at, part in roots))
    return f"{found.strip()} in {where.scope or where.role}"


def _unusable(where: Where, matches: Sequence[pat.Match], bound: Bindings) -> str:
    """Why what the occurrences of a pattern caught cannot be used; "": it can."""
    first = matches[0].bindings
    if not all(same(match.bindings[name], value) for match in matches[1:] for name, value in first.items()):
        return " to mean the same everywhere"
    allowed = [_allowed(one, bound) for one in where.names]
    for name in where.portable:
        if local := _local_names(first[name], allowed):
            return f" with ${name} written by {allowed[0]} alone, not with the name {local[0]}"
    return ""


def _allowed(name: str, bound: Bindings) -> str:
    """A name that moved code may mention; `$name` is the one that an earlier condition caught."""
    caught = bound.get(name.removeprefix("$")) if name.startswith("$") else None
    return caught.value if isinstance(caught, cst.Name) else name


def _in_one_method(patterns: Sequence[str], scope: Any) -> bool:
    """Whether some function of a class or module has all of these."""
    methods = [node for node in _body(scope) if isinstance(node, cst.FunctionDef)]
    return any(all(pat.search(source, method) for source in patterns) for method in methods)


def _methods(scope: Any, path: pat.Path) -> list[tuple[pat.Path, cst.CSTNode]]:
    """The functions of a class or module, and the paths to them."""
    inside = path if isinstance(scope, cst.Module) else (*path, ("body", None))
    return [
        ((*inside, ("body", index)), node)
        for index, node in enumerate(_body(scope))
        if isinstance(node, cst.FunctionDef)
    ]


def _has_any(sources: Sequence[str], method: cst.CSTNode) -> bool:
    return any(pat.search(source, method) for source in sources)


def _local_names(code: cst.CSTNode | Sequence[cst.CSTNode], allowed: Sequence[str]) -> list[str]:
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


def look_by_hand(tree: WorkingTree, conditions: tuple[Where, ...]) -> Look | None:
    """What a tree has in words of its own, if all conditions hold."""
    if not conditions or bind_where(tree, conditions)[0] is None:
        return None
    first = next(where for where in conditions if not where.absent)
    place = enclosing(tree, first.role, first.scope)
    assert place is not None
    file, path = place
    patterns = (first.pattern,) if isinstance(first.pattern, str) else first.pattern
    root = render.at(tree.module(file), path)
    found = [match for source in patterns for match in pat.search(source, root, {}, path)]
    return Look(State.APPLIED, file, first.scope, present=tuple(found))


def look_at(tree: WorkingTree, edit: Edit | Add) -> Look:
    if id(edit) not in tree.seen:
        tree.seen[id(edit)] = edit, _look_at(tree, edit)
    return tree.seen[id(edit)][1]


def _not_meant(edit: Edit | Add) -> Iterator[tuple[Where, ...]]:
    """Sets of conditions: where one holds, the tree has nothing that the edit speaks of."""
    yield from (one for one in (edit.unless, *(edit.or_unless if isinstance(edit, Edit) else ())) if one)


def _look_at(tree: WorkingTree, edit: Edit | Add) -> Look:
    place = enclosing(tree, edit.role, edit.scope)
    role = ROLES[edit.role]
    found = tree.roles.get(edit.role)
    if found is not None and any(bind_where(tree, one)[0] is not None for one in _not_meant(edit)):
        return Look(State.ABSENT, found.file, edit.scope)
    if place is None:
        file = found.file if found else ""
        if isinstance(edit, Edit) and edit.optional:
            return Look(State.ABSENT, file, edit.scope)
        members = f"{'a class with ' if role.cls else ''}{', '.join(sorted(role.members))}"
        thing = edit.scope if found else f"a file with the {edit.role} (usually {role.usual}): {members}"
        return Look(State.DRIFTED, file, edit.scope, expected=thing, found="nothing of that kind")
    file, path = place
    if isinstance(edit, Add):
        return _look_add(tree, edit, file, path)
    return _look_edit(tree, edit, file, path)


def _look_add(tree: WorkingTree, edit: Add, file: str, path: pat.Path) -> Look:
    module = tree.module(file)
    wanted = defined(pat.parse_pattern(edit.code, statements=True).statements)
    there = set(defined(_body(render.at(module, path))))
    missing = [name for name in wanted if name not in there]
    if clash := _other_function(edit, _body(render.at(module, path))):
        return Look(State.DRIFTED, file, edit.scope, expected=edit.code.strip(), found=clash)
    if clash := _other_import(edit, _body(render.at(module, path)), missing):
        return Look(State.DRIFTED, file, edit.scope, expected=edit.code.strip(), found=clash)
    bound, unmet = bind_where(tree, edit.where)
    if bound is None and missing:
        return Look(State.DRIFTED, file, edit.scope, expected=f"what {', '.join(wanted)} can rely on", found=unmet)
    state = State.APPLIED if not missing else State.AVAILABLE if len(missing) == len(wanted) else State.PARTIAL
    return Look(state, file, edit.scope, expected=f"{', '.join(wanted)} defined", found=f"no {', '.join(missing)}")


def _other_function(edit: Add, body: Sequence[Any]) -> str:
    """A function of the tree's own by the name of one that is to be added, which cannot be called as that is."""
    template = pat.parse_pattern(edit.code, statements=True).statements
    wanted = {one.name.value: one for one in template if isinstance(one, cst.FunctionDef)}
    for one in body:
        if isinstance(one, cst.FunctionDef) and (new := wanted.get(one.name.value)) is not None:
            given = len(new.params.params)
            needed = [param for param in one.params.params if param.default is None]
            some = [param for param in one.params.kwonly_params if param.default is None]
            many = isinstance(one.params.star_arg, cst.Param)
            if some or len(needed) > given or (len(one.params.params) < given and not many):
                return f"another {one.name.value}, with other parameters"
    return ""


def _other_import(edit: Add, body: Sequence[Any], missing: Sequence[str]) -> str:
    """The statement that gives an imported name another meaning: `import x` where `from x import x` is meant."""
    template = pat.parse_pattern(edit.code, statements=True).statements
    imports = [s for s in template if isinstance(s, cst.SimpleStatementLine) and isinstance(s.body[0], cst.ImportFrom)]
    if missing or len(imports) < len(template):
        return ""
    names = set(defined(template))
    for statement in body:
        if names & set(defined([statement])) and not isinstance(statement.body[0], cst.ImportFrom):
            return cst.Module([statement]).code.strip()
    return ""


def _body(scope: Any) -> Sequence[Any]:
    body: Sequence[Any] = scope.body if isinstance(scope, cst.Module) else scope.body.body
    return body


def defined(statements: Sequence[Any]) -> list[str]:
    """The names that statements define: functions, classes, fields, imports."""
    names: list[str] = []
    for statement in statements:
        if isinstance(statement, (cst.FunctionDef, cst.ClassDef)):
            names.append(statement.name.value)
        for small in statement.body if isinstance(statement, cst.SimpleStatementLine) else ():
            if isinstance(small, cst.AnnAssign):
                targets: list[Any] = [small.target]
            elif isinstance(small, cst.Assign):
                targets = [target.target for target in small.targets]
            elif isinstance(small, (cst.Import, cst.ImportFrom)) and not isinstance(small.names, cst.ImportStar):
                targets = [alias.asname.name if alias.asname else alias.name for alias in small.names]
            else:
                targets = []
            names += [target.value for target in targets if isinstance(target, cst.Name)]
    return names


def _look_edit(tree: WorkingTree, edit: Edit, file: str, path: pat.Path) -> Look:
    root = render.at(tree.module(file), path)
    for forms, state in ((edit.present, State.APPLIED), (edit.given, State.ABSENT)):
        for source in forms:
            there = pat.search(source, root, {}, path)
            if there:
                return Look(state, file, edit.scope, present=tuple(there))
    fitting: list[Look] = []
    unmet: list[str] = []
    for shape in edit.shapes:
        bound, missing = bind_where(tree, shape.where)
        if bound is None:
            unmet.append(missing)
            continue
        look = _look_shape(shape, root, path, bound)
        if look.state in (State.APPLIED, State.PARTIAL):
            return replace(look, file=file, symbol=edit.scope)
        if look.state is State.AVAILABLE:
            fitting.append(look)
        elif look.found:
            unmet.append(look.found)
    if len(fitting) > 1:
        fitting = [look for look in fitting if look.shape is not None and not look.shape.fallback] or fitting
    if len(fitting) == 1:
        return replace(fitting[0], file=file, symbol=edit.scope)
    if len(fitting) > 1:
        expected, found = "exactly one shape to match", f"{len(fitting)} shapes match"
    else:
        shapes = [s.before.strip() for s in edit.shapes]
        expected, found = shapes[0], "; ".join(dict.fromkeys(unmet)) or "nothing like it"
    state = State.ABSENT if edit.optional and not fitting else State.DRIFTED
    return Look(state, file, edit.scope, expected=expected, found=found, roots=(path,))


def _look_shape(shape: Shape, root: cst.CSTNode, path: pat.Path, bound: Bindings) -> Look:
    present_source = shape.after if shape.present is None else shape.present
    if not any(pat.is_mentioned(source, root) for source in (shape.before, present_source)):
        return Look(State.DRIFTED, shape=shape)
    # Statements, or nothing, can only take the place of statements.
    pattern = pat.parse_pattern(shape.before, statements=not pat.is_expression(shape.after))
    run = pattern.expression is None
    places = [one for one in _methods(root, path) if _has_any(shape.near, one[1])] if shape.near else [(path, root)]
    found = [match for at, part in places for match in pat.find(pattern, part, bound, at)]
    before = [m for m in found if not _contains(m, shape.without, root, path) and not breaks(m, shape.untouched)]
    present = pat.search(present_source, root, bound, path, statements=run and shape.present is None)
    stray = _stray(shape, root, path, (*before, *present))
    if present:
        outside = [m for m in before if not any(_overlap(m, p) for p in present)]
        state = State.PARTIAL if (outside or stray) and shape.count is None else State.APPLIED
        return Look(state, shape=shape, matches=tuple(outside), present=tuple(present))
    if before and stray:
        return Look(State.DRIFTED, shape=shape, matches=tuple(stray), found=f"{shape.every} in another place, too")
    if before and (shape.count is None or len(before) == shape.count):
        return Look(State.AVAILABLE, shape=shape, matches=tuple(before))
    count = f"{len(before)} places where {shape.count} are expected" if before else ""
    return Look(State.DRIFTED, shape=shape, matches=tuple(before), found=count)


def _contains(match: pat.Match, sources: str | tuple[str, ...], root: cst.CSTNode, path: pat.Path) -> bool:
    """Whether code like one of `sources` is in a place where a pattern matched."""
    each = (sources,) if isinstance(sources, str) else sources
    return any(pat.within(found, match) for source in each if source for found in pat.search(source, root, {}, path))


def _stray(shape: Shape, root: cst.CSTNode, path: pat.Path, places: Sequence[pat.Match]) -> list[pat.Match]:
    """Where code that belongs in the places of a shape stands outside of them."""
    found = pat.search(shape.every, root, {}, path) if shape.every else []
    return [match for match in found if not any(_overlap(match, place) for place in places)]


def _overlap(a: pat.Match, b: pat.Match) -> bool:
    shared = min(len(a.path), len(b.path))
    return a.path[:shared] == b.path[:shared]
