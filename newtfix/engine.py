"""Planning: texts in, new texts and an account of every edit out. Nothing here reads, writes or prints."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from newtfix import pattern as pat
from newtfix.errors import Refused
from newtfix.model import Add, Edit, EditReport, Patch, PatchReport, Place, Plan, Shape, State, Where
from newtfix.order import in_order, with_requirements
from newtfix.roles import ROLES, Found, find_roles


@lru_cache(maxsize=256)
def _parse(text: str) -> cst.Module:
    return cst.parse_module(text)


class _Tree:
    """The tree as it stands while planning: texts by file, modules parsed when first needed."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self.sources = dict(sources)
        self.roles = find_roles(sources)
        self.modules: dict[str, cst.Module] = {}
        self.changed: set[str] = set()

    def module(self, file: str) -> cst.Module:
        if file not in self.modules:
            self.modules[file] = _parse(self.sources[file])
        return self.modules[file]

    def update(self, file: str, module: cst.Module) -> None:
        self.modules[file] = module
        self.changed.add(file)

    def text(self, file: str) -> str:
        return self.modules[file].code if file in self.changed else self.sources[file]


@dataclass(frozen=True)
class _Look:
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


def _enclosing(tree: _Tree, role: str, scope: str) -> tuple[str, pat.Path] | None:
    found = tree.roles.get(role)
    if found is None:
        return None
    path = _scope_path(tree.module(found.file), scope, found, ROLES[role].cls)
    return None if path is None else (found.file, path)


def _bind_where(tree: _Tree, conditions: tuple[Where, ...]) -> tuple[pat.Bindings | None, str]:
    """The holes that the conditions bind, or None and the condition that does not hold."""
    bound: pat.Bindings = {}
    for where in conditions:
        place = _enclosing(tree, where.role, where.scope)
        if place is None:
            return None, f"no {where.scope or where.role}"
        file, path = place
        module = tree.module(file)
        matches = pat.find(pat.parse_pattern(where.pattern), pat.at(module, path), bound, path)
        if where.absent:
            if matches:
                return None, f"{where.pattern} in {where.scope or file}, which another shape is for"
            continue
        if not matches:
            return None, f"{where.pattern} in {where.scope or file}"
        for match in matches[1:]:
            if not all(pat.same(match.bindings[k], v) for k, v in matches[0].bindings.items()):
                return None, f"{where.pattern} in {where.scope or file} to mean the same everywhere"
        bound.update(matches[0].bindings)
    return bound, ""


def _look(tree: _Tree, edit: Edit | Add) -> _Look:
    place = _enclosing(tree, edit.role, edit.scope)
    usual = ROLES[edit.role].usual
    found = tree.roles.get(edit.role)
    if place is None:
        file = found.file if found else ""
        if isinstance(edit, Edit) and edit.optional:
            return _Look(State.ABSENT, file, edit.scope)
        thing = edit.scope if found else f"a file with the {edit.role} (usually {usual})"
        return _Look(State.DRIFTED, file, edit.scope, expected=thing, found="nothing of that kind")
    file, path = place
    if isinstance(edit, Add):
        return _look_add(tree, edit, file, path)
    return _look_edit(tree, edit, file, path)


def _look_add(tree: _Tree, edit: Add, file: str, path: pat.Path) -> _Look:
    module = tree.module(file)
    wanted = _defined(pat.parse_pattern(edit.code, statements=True).statements)
    there = set(_defined(_body(pat.at(module, path))))
    missing = [name for name in wanted if name not in there]
    bound, unmet = _bind_where(tree, edit.where)
    if bound is None and missing:
        return _Look(State.DRIFTED, file, edit.scope, expected=unmet, found="nothing like it")
    state = State.APPLIED if not missing else State.AVAILABLE if len(missing) == len(wanted) else State.PARTIAL
    return _Look(state, file, edit.scope, expected=f"{', '.join(wanted)} defined", found=f"no {', '.join(missing)}")


def _body(scope: Any) -> Sequence[Any]:
    body: Sequence[Any] = scope.body if isinstance(scope, cst.Module) else scope.body.body
    return body


def _defined(statements: Sequence[Any]) -> list[str]:
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


def _look_edit(tree: _Tree, edit: Edit, file: str, path: pat.Path) -> _Look:
    root = pat.at(tree.module(file), path)
    if edit.unless and _bind_where(tree, edit.unless)[0] is not None:
        return _Look(State.ABSENT, file, edit.scope)
    for forms, state in ((edit.present, State.APPLIED), (edit.given, State.ABSENT)):
        for source in forms:
            there = pat.find(pat.parse_pattern(source), root, {}, path)
            if there:
                return _Look(state, file, edit.scope, present=tuple(there))
    fitting: list[_Look] = []
    unmet: list[str] = []
    for shape in edit.shapes:
        bound, missing = _bind_where(tree, shape.where)
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
    if len(fitting) == 1:
        return replace(fitting[0], file=file, symbol=edit.scope)
    if len(fitting) > 1:
        expected, found = "exactly one shape to match", f"{len(fitting)} shapes match"
    else:
        shapes = [s.before.strip() for s in edit.shapes]
        expected, found = shapes[0], "; ".join(dict.fromkeys(unmet)) or "nothing like it"
    state = State.ABSENT if edit.optional and not fitting else State.DRIFTED
    return _Look(state, file, edit.scope, expected=expected, found=found, roots=(path,))


def _look_shape(shape: Shape, root: cst.CSTNode, path: pat.Path, bound: pat.Bindings) -> _Look:
    run = pat.parse_pattern(shape.before).expression is None
    before = pat.find(pat.parse_pattern(shape.before), root, bound, path)
    present_source = shape.after if shape.present is None else shape.present
    present = pat.find(pat.parse_pattern(present_source, run and shape.present is None), root, bound, path)
    if present:
        outside = [m for m in before if not any(_overlap(m, p) for p in present)]
        state = State.PARTIAL if outside and shape.count is None else State.APPLIED
        return _Look(state, shape=shape, matches=tuple(outside), present=tuple(present))
    if before and (shape.count is None or len(before) == shape.count):
        return _Look(State.AVAILABLE, shape=shape, matches=tuple(before))
    count = f"{len(before)} places where {shape.count} are expected" if before else ""
    return _Look(State.DRIFTED, shape=shape, matches=tuple(before), found=count)


def _overlap(a: pat.Match, b: pat.Match) -> bool:
    shared = min(len(a.path), len(b.path))
    return a.path[:shared] == b.path[:shared]


# --- applying ---------------------------------------------------------------------------------------------------------


def _apply_edit(tree: _Tree, look: _Look) -> None:
    assert look.shape is not None
    module = tree.module(look.file)
    for match in sorted(look.matches, key=_document_order, reverse=True):
        if match.is_run:
            module = _replace_run(module, match, pat.parse_pattern(look.shape.after, statements=True))
        else:
            original = pat.at(module, match.path)
            new = pat.render_expression(pat.parse_pattern(look.shape.after), match, original)
            module = pat.replace_at(module, match.path, new)
    tree.update(look.file, module)


def _document_order(match: pat.Match) -> tuple[tuple[str, int], ...]:
    steps = tuple((name, -1 if index is None else index) for name, index in match.path)
    return (*steps, ("", match.start))


def _replace_run(module: cst.Module, match: pat.Match, template: pat.Pattern) -> cst.Module:
    block = pat.at(module, match.path)
    matched = block.body[match.start : match.stop]
    new = pat.render_statements(template, match, matched, pat.style_at(module, match.path))
    body = [*block.body[: match.start], *new, *block.body[match.stop :]]
    changed: cst.Module = pat.replace_at(module, match.path, block.with_changes(body=body))
    return changed


def _apply_add(tree: _Tree, edit: Add, file: str) -> None:
    place = _enclosing(tree, edit.role, edit.scope)
    assert place is not None
    module, path = tree.module(file), place[1]
    scope = pat.at(module, path)
    block_path = path if isinstance(scope, cst.Module) else (*path, ("body", None))
    block = pat.at(module, block_path)
    there = set(_defined(block.body))
    bound = _bind_where(tree, edit.where)[0] or {}
    template = pat.render_new(pat.parse_pattern(edit.code, statements=True), bound, pat.style_at(module, block_path))
    new = [s for s in template if not set(_defined([s])) <= there]
    index = _insertion_index(block.body, edit, new)
    blank = [cst.EmptyLine(indent=False)] * (2 if isinstance(scope, cst.Module) else 1)
    spaced = [s.with_changes(leading_lines=blank) if isinstance(s, (cst.FunctionDef, cst.ClassDef)) else s for s in new]
    body = [*block.body[:index], *spaced, *block.body[index:]]
    tree.update(file, pat.replace_at(module, block_path, block.with_changes(body=body)))


def _insertion_index(body: Sequence[Any], edit: Add, new: Sequence[Any]) -> int:
    for index, statement in enumerate(body):
        if edit.after is not None and edit.after in _defined([statement]):
            return index + 1
    simple = [i for i, s in enumerate(body) if isinstance(s, cst.SimpleStatementLine)]
    if all(isinstance(s, cst.SimpleStatementLine) for s in new) and simple:
        imports = [i for i in simple if isinstance(body[i].body[0], (cst.Import, cst.ImportFrom))]
        return (imports or simple)[-1] + 1
    return len(body)


# --- reporting --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def _positions(module: cst.Module) -> Mapping[cst.CSTNode, Any]:
    return MetadataWrapper(module, unsafe_skip_copy=True).resolve(PositionProvider)


def _lines(tree: _Tree, file: str, matches: Iterable[pat.Match]) -> tuple[Place, ...]:
    module = tree.module(file)
    positions = _positions(module)
    text = module.code.splitlines()
    places = []
    for match in matches:
        node = pat.at(module, match.path)
        if match.is_run:
            node = node.body[match.start]
        line = positions[node].start.line
        places.append(Place(file, line, text[line - 1].strip()))
    return tuple(places)


def _nearest(tree: _Tree, look: _Look) -> Place | None:
    """The line of the file most like the code that an edit looked for."""
    if not look.file or not look.expected:
        return None
    wanted = [line.strip() for line in look.expected.splitlines() if len(line.strip()) > 8 and "$$" not in line]
    best: tuple[float, Place] | None = None
    for number, line in enumerate(tree.text(look.file).splitlines(), 1):
        for want in wanted:
            ratio = difflib.SequenceMatcher(None, want, line.strip()).ratio()
            if ratio > 0.5 and (best is None or ratio > best[0]):
                best = ratio, Place(look.file, number, line.strip())
    return best[1] if best else None


def _report(tree: _Tree, patch: Patch, edit: Edit | Add, look: _Look, places: bool) -> EditReport:
    lines: tuple[Place, ...] = ()
    if places and look.file and (look.matches or look.present):
        lines = _lines(tree, look.file, look.present or look.matches)
    candidate = _nearest(tree, look) if look.state is State.DRIFTED else None
    return EditReport(
        patch.id, edit.id, look.file, look.symbol, look.state, lines, look.expected, look.found, candidate
    )


def _state(looks: Sequence[_Look]) -> State:
    states = {look.state for look in looks} - {State.ABSENT}
    if not states:
        return State.ABSENT
    if State.PARTIAL in states or {State.APPLIED, State.AVAILABLE} <= states:
        return State.PARTIAL
    if State.DRIFTED in states:
        return State.PARTIAL if State.APPLIED in states else State.DRIFTED
    return states.pop()


def _inspect(tree: _Tree, patch: Patch, places: bool) -> tuple[PatchReport, list[_Look]]:
    looks = [_look(tree, edit) for edit in patch.edits]
    reports = tuple(_report(tree, patch, e, look, places) for e, look in zip(patch.edits, looks, strict=True))
    telling = [
        look
        for e, look in zip(patch.edits, looks, strict=True)
        if not (isinstance(e, Add) and e.optional and look.state is not State.DRIFTED)
    ]
    return PatchReport(patch.id, _state(telling), reports), looks


def inspect(sources: Mapping[str, str], patches: Mapping[str, Patch]) -> dict[str, PatchReport]:
    """The state of every patch in a tree, from its code alone. Raises TreeError when it is no newt-style tree."""
    tree = _Tree(sources)
    reports = {patch.id: _inspect(tree, patch, places=True)[0] for patch in patches.values()}
    for name, report in reports.items():
        if report.state in (State.DRIFTED, State.PARTIAL) and patches[name].requires:
            reports[name] = _inspect_with_requirements(sources, patches, report)
    return reports


def _inspect_with_requirements(
    sources: Mapping[str, str], patches: Mapping[str, Patch], report: PatchReport
) -> PatchReport:
    """The state of a patch once what it requires is in: code that only its requirements bring is not missing."""
    try:
        required = plan(sources, patches[report.id].requires, patches)
    except Refused:
        return report
    tree = _Tree({**sources, **required.after})
    again = _inspect(tree, patches[report.id], places=False)[0]
    return replace(report, state=again.state) if again.state is State.AVAILABLE else report


def plan(sources: Mapping[str, str], wanted: Iterable[str], patches: Mapping[str, Patch]) -> Plan:
    """Apply `wanted`, and what they require, to texts in memory, and prove the result.

    Args:
        sources: text of every file by its path in the tree. wanted: patch ids. patches: all known patches by id.

    Returns:
        The plan; its texts depend on the set of patches alone, not on the order in which they are named.

    Raises:
        Refused: an edit found neither the code to fix nor the fix, or the result is not sound.
        TreeError: no newt-style tree, or a file to edit has a syntax error.
    """
    ids, pulled_in = with_requirements(wanted, patches)
    order = in_order(ids, patches)
    tree = _Tree(sources)
    reports: dict[str, PatchReport] = {}
    for name in order:
        report, looks = _inspect(tree, patches[name], places=False)
        reports[name] = report
        _fits(tree, patches[name], report, looks)
        for edit in patches[name].edits if report.state is State.AVAILABLE else ():
            look = _look(tree, edit)
            if look.state is not State.AVAILABLE:
                continue
            if isinstance(edit, Add):
                _apply_add(tree, edit, look.file)
            else:
                _apply_edit(tree, look)
    after = {file: tree.text(file) for file in sorted(tree.changed)}
    _prove(sources, after, order, patches)
    before = {file: sources[file] for file in after}
    return Plan(tuple(order), pulled_in, reports, before, after)


def _fits(tree: _Tree, patch: Patch, report: PatchReport, looks: Sequence[_Look]) -> None:
    if report.state not in (State.DRIFTED, State.PARTIAL):
        return
    bad = next(
        (r for r in report.edits if r.state is State.DRIFTED),
        next((r for r in report.edits if r.state in (State.PARTIAL, State.AVAILABLE)), report.edits[0]),
    )
    where = f"edit {bad.edit!r} in {bad.file or '(no file)'}{', ' + bad.symbol if bad.symbol else ''}"
    lines = [where, f"expected: {bad.expected.strip()}" if bad.expected else "", f"found: {bad.found}"]
    if bad.candidate is not None:
        lines.append(f"nearest: {bad.candidate.file}:{bad.candidate.line}: {bad.candidate.text}")
    message = f"patch {patch.id!r} does not fit this tree"
    if report.state is State.PARTIAL:
        message = f"patch {patch.id!r} is there in part only"
    raise Refused(
        message,
        where="\n".join(line for line in lines if line),
        hint=f"newtfix show {patch.id} prints what the patch looks for; nothing was written",
    )


def _prove(
    sources: Mapping[str, str], after: Mapping[str, str], order: Sequence[str], patches: Mapping[str, Patch]
) -> None:
    """The result compiles, and applying the same patches to it again would change nothing."""
    for file, text in after.items():
        try:
            compile(text, file, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as problem:
            where = f"{file}, line {getattr(problem, 'lineno', 0)}: {problem}"
            raise Refused("the patched text does not compile", where=where, hint="please report this") from problem
    if not after:
        return
    tree = _Tree({**sources, **after})
    for name in order:
        state = _inspect(tree, patches[name], places=False)[0].state
        if state not in (State.APPLIED, State.ABSENT):
            raise Refused(
                f"patch {name!r} would not be recognised after it was applied (state: {state.value})",
                hint="please report this; nothing was written",
            )
