"""What one edit sees in a tree: the file and scope it speaks of, and which of its shapes stand there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import libcst as cst

from newtfix.match import pattern as pat
from newtfix.match import render
from newtfix.match.carried import carry
from newtfix.match.deviation import deviation
from newtfix.match.held import Stopped
from newtfix.match.matching import Bindings, matched
from newtfix.match.touched import breaks
from newtfix.model import Add, AnyEdit, Carry, Edit, Shape, State, Where
from newtfix.newt.roles import ROLES
from newtfix.plan.conditions import bind_where, body_of, has_any, methods_of
from newtfix.plan.unmet import Unmet, first, place_of, readable
from newtfix.plan.working import WorkingTree, enclosing, not_meant

_UNKNOWN = "this code has a form that the patch does not know"


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
    unmet: Unmet | None = None


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


def look_at(tree: WorkingTree, edit: AnyEdit) -> Look:
    if edit not in tree.seen:
        tree.seen[edit] = _look_at(tree, edit)
    look: Look = tree.seen[edit]
    return look


def _look_at(tree: WorkingTree, edit: AnyEdit) -> Look:
    place = enclosing(tree, edit.role, edit.scope)
    role = ROLES[edit.role]
    found = tree.roles.get(edit.role)
    if found is not None and any(bind_where(tree, one)[0] is not None for one in not_meant(edit)):
        return Look(State.ABSENT, found.file, edit.scope)
    if place is None:
        file = found.file if found else ""
        if isinstance(edit, Carry) or (isinstance(edit, Edit) and edit.optional):
            return Look(State.ABSENT, file, edit.scope)
        members = f"{'a class with ' if role.cls else ''}{', '.join(sorted(role.members))}"
        thing = edit.scope if found else f"a file with the {edit.role} (usually {role.usual}): {members}"
        return Look(State.DRIFTED, file, edit.scope, expected=thing, found="nothing of that kind")
    file, path = place
    if isinstance(edit, Add):
        return _look_add(tree, edit, file, path)
    if isinstance(edit, Carry):
        return _look_carry(tree, edit, file, path)
    return _look_edit(tree, edit, file, path)


def _look_add(tree: WorkingTree, edit: Add, file: str, path: pat.Path) -> Look:
    module = tree.module(file)
    wanted = defined(pat.parse_pattern(edit.code, statements=True).statements)
    there = set(defined(body_of(render.at(module, path))))
    missing = [name for name in wanted if name not in there]
    if clash := _other_function(edit, body_of(render.at(module, path))):
        return Look(State.DRIFTED, file, edit.scope, expected=edit.code.strip(), found=clash)
    if 0 < len(missing) < len(wanted) and (clash := _own_function(edit, body_of(render.at(module, path)))):
        return Look(State.DRIFTED, file, edit.scope, expected=edit.code.strip(), found=clash)
    if clash := _other_import(edit, body_of(render.at(module, path)), missing):
        return Look(State.DRIFTED, file, edit.scope, expected=edit.code.strip(), found=clash)
    bound, unmet = bind_where(tree, edit.where)
    if bound is None and unmet is not None and missing:
        expected = f"what {', '.join(wanted)} can rely on"
        return Look(State.DRIFTED, file, edit.scope, expected=expected, found=unmet.words, unmet=unmet)
    state = State.APPLIED if not missing else State.AVAILABLE if len(missing) == len(wanted) else State.PARTIAL
    return Look(state, file, edit.scope, expected=f"{', '.join(wanted)} defined", found=f"no {', '.join(missing)}")


def _look_carry(tree: WorkingTree, edit: Carry, file: str, path: pat.Path) -> Look:
    function = render.at(tree.module(file), path)
    words = f"{edit.value}, and nothing but moves up to where it is returned"
    try:
        carried = carry(function, edit.taken, edit.value, edit.names, edit.at)
        there = {len(names) for names in carried.there}
        if there == {len(edit.names)}:
            for name, at in carried.there[0]:
                words = f"{name} up to where it is returned"
                carry(function, edit.taken, name, edit.names, at)
    except Stopped as stopped:
        inside = pat.path_to(function, stopped.statement)
        found = Unmet("the patch cannot tell what this does to it", edit.taken[0], file, (*path, *(inside or ())))
        return Look(State.DRIFTED, file, edit.scope, expected=words, found=found.words, unmet=found)
    places = tuple(pat.Match((*path, *(pat.path_to(function, one) or ())), {}) for one in carried.taken)
    if not places:
        return Look(State.ABSENT, file, edit.scope)
    if len(there) > 1 or not there <= {0, len(edit.names)}:
        return Look(State.DRIFTED, file, edit.scope, expected=words, found="some of it is there, and some is not")
    state = State.APPLIED if there == {len(edit.names)} else State.AVAILABLE
    return Look(state, file, edit.scope, matches=places, present=places if state is State.APPLIED else ())


def _own_function(edit: Add, body: Sequence[Any]) -> str:
    """A function of the tree's own by the name of one of several that belong together, where others are missing."""
    template = pat.parse_pattern(edit.code, statements=True).statements
    wanted = {one.name.value: one for one in template if isinstance(one, cst.FunctionDef)}
    for one in body:
        new = wanted.get(one.name.value) if isinstance(one, cst.FunctionDef) else None
        if new is not None and matched(new.body, one.body, {}) is None:
            return f"another {one.name.value}"
    return ""


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
    unmet: list[Unmet | None] = []
    for shape in edit.shapes:
        bound, missing = bind_where(tree, shape.where)
        if bound is None or missing is not None:
            unmet.append(missing)
            continue
        look = _look_shape(shape, root, path, bound)
        if look.state in (State.APPLIED, State.PARTIAL):
            return replace(look, file=file, symbol=edit.scope)
        if look.state is State.AVAILABLE:
            fitting.append(look)
        unmet.append(look.unmet)
    if len(fitting) > 1:
        fitting = [look for look in fitting if look.shape is not None and not look.shape.fallback] or fitting
    if len(fitting) == 1:
        return replace(fitting[0], file=file, symbol=edit.scope)
    told = _told(edit, unmet, file, root, path)
    expected, found = edit.shapes[0].before.strip(), told.words if told else _UNKNOWN
    if len(fitting) > 1:
        told, found = None, f"the patch knows {len(fitting)} forms of this code, and all of them fit"
    state = State.ABSENT if edit.optional and not fitting else State.DRIFTED
    return Look(state, file, edit.scope, expected=expected, found=found, unmet=told)


def _told(edit: Edit, unmet: Sequence[Unmet | None], file: str, root: cst.CSTNode, path: pat.Path) -> Unmet | None:
    """What to say of the conditions that the forms of an edit break; not that one is for trees of another kind."""
    wanted = {where.pattern for shape in edit.shapes for where in shape.where if not where.absent}
    told = [
        (shape, one if one.file else replace(one, file=file))
        for shape, one in zip(edit.shapes, unmet, strict=True)
        if one is not None and (one.path is None or one.code not in wanted)
    ]
    there = [one for shape, one in told if pat.search(shape.before, root, {}, path)]
    others = [one for _, one in told if one.path is not None]
    return first(there) or _deviation(edit, file, root, path) or first(others)


def _deviation(edit: Edit, file: str, root: cst.CSTNode, path: pat.Path) -> Unmet | None:
    """Where code that begins as one of the shapes goes on in another way, or does what the shape does not allow."""
    for shape in edit.shapes:
        pattern = pat.parse_pattern(shape.before, statements=not pat.is_expression(shape.after))
        for match in pat.find(pattern, root, {}, path):
            if (statement := breaks(match, shape.untouched)) is not None:
                inside = pat.path_to(root, statement)
                words = "the patch does not go with what this does there"
                return Unmet(words, shape.before, file, None if inside is None else (*path, *inside))
    for shape in edit.shapes:
        pattern = pat.parse_pattern(shape.before, statements=not pat.is_expression(shape.after))
        if (at := deviation(pattern, root)) is not None:
            return Unmet(
                "from here on, the code has a form that the patch does not know", shape.before, file, (*path, *at)
            )
    return None


def _look_shape(shape: Shape, root: cst.CSTNode, path: pat.Path, bound: Bindings) -> Look:
    present_source = shape.after if shape.present is None else shape.present
    if not any(pat.is_mentioned(source, root) for source in (shape.before, present_source)):
        return Look(State.DRIFTED, shape=shape)
    # Statements, or nothing, can only take the place of statements.
    pattern = pat.parse_pattern(shape.before, statements=not pat.is_expression(shape.after))
    run = pattern.expression is None
    places = [one for one in methods_of(root, path) if has_any(shape.near, one[1])] if shape.near else [(path, root)]
    found = [match for at, part in places for match in pat.find(pattern, part, bound, at)]
    before = [m for m in found if not _contains(m, shape.without, root, path) and breaks(m, shape.untouched) is None]
    present = pat.search(present_source, root, bound, path, statements=run and shape.present is None)
    stray = _stray(shape, root, path, (*before, *present))
    if present:
        outside = [m for m in before if not any(_overlap(m, p) for p in present)]
        state = State.PARTIAL if (outside or stray) and shape.count is None else State.APPLIED
        return Look(state, shape=shape, matches=tuple(outside), present=tuple(present))
    if before and stray:
        elsewhere = Unmet(
            f"`{readable(shape.every)}` stands in another place, too", shape.every, path=place_of(stray[0])
        )
        return Look(State.DRIFTED, shape=shape, matches=tuple(stray), unmet=elsewhere)
    if before and (shape.count is None or len(before) == shape.count):
        return Look(State.AVAILABLE, shape=shape, matches=tuple(before))
    many = Unmet(f"the patch expects {shape.count} such place, and there are {len(before)}", shape.before)
    return Look(State.DRIFTED, shape=shape, unmet=replace(many, path=place_of(before[-1])) if before else None)


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
