"""What the result of patching must satisfy before anything is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from newtfix.code.unassigned import unassigned
from newtfix.code.undefined import undefined_names
from newtfix.errors import Refused
from newtfix.model import Patch, State
from newtfix.newt.roles import find_roles, other_agents, outline, overrides
from newtfix.plan.account import ONLY_WHERE, examine
from newtfix.plan.attributes import unknown_attributes, unread_settings
from newtfix.plan.callers import reliances
from newtfix.plan.working import WorkingTree


def prove(
    sources: Mapping[str, str], after: Mapping[str, str], order: Sequence[str], patches: Mapping[str, Patch]
) -> WorkingTree:
    """The tree with the result in it. Raises Refused unless the result is sound.

    It compiles; it uses no names, attributes or methods that are not there, and none before it has a value; nothing
    elsewhere relies on what was; and applying the same patches to it again would change nothing.
    """
    for file, text in after.items():
        try:
            compile(text, file, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as problem:
            where = f"in {file}, line {getattr(problem, 'lineno', 0)}: {problem}"
            raise Refused("the patched text does not compile", where=where, hint="please report this") from problem
    for place, fault in (*_unknown(sources, after), *_elsewhere(sources, after)):
        raise Refused(
            f"{named(order)} would {fault}",
            where=f"in {place}",
            hint="the tree's code is not as the patches know it there; nothing was written",
        )
    patched = WorkingTree({**sources, **after})
    if after:
        _recognised(patched, order, patches)
    return patched


def named(order: Sequence[str]) -> str:
    return f"patch{'es' * (len(order) > 1)} {', '.join(map(repr, order))}"


def _unknown(sources: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Places, and what the patched code would do there that this tree does not allow."""
    for file, text in after.items():
        for place, name in sorted(undefined_names(text) - undefined_names(sources[file])):
            yield f"{file}, {place}", f"use the name {name!r}, which this tree does not have there"
        for place, name in unassigned(sources[file], text):
            yield f"{file}, {place}", f"leave {name!r} without a value on some way through the code"
    for file, cls, attribute in unknown_attributes(sources, after):
        yield f"{file}, {cls}", f"use {attribute}, which this tree does not have"
    for file, name in unread_settings(sources, after):
        yield file, f"drop code that reads the setting {name!r}, which nothing else does"
    for file, method in _still_called(sources, after):
        yield file, f"take the method {method!r} away, which is used in a way that they do not know"


def _elsewhere(sources: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Callers, subclasses and other agents that count on what was."""
    for reliance in reliances(sources, after):
        yield f"{reliance.file}:{reliance.line}", f"break code that {reliance.what}"
    roles = find_roles(sources)
    for found in roles.values():
        for place in overrides(sources, found, after, relied_on=True) if found.file in after else ():
            yield place, f"change {found.cls} alone, and not a class that is made of it"
    trainer, agent = roles["trainer"], roles["agent"]
    asks = "return_stats=True"
    if asks in after.get(trainer.file, "") and asks not in sources[trainer.file]:
        for place in other_agents(sources, agent):
            yield place, f"have {trainer.cls} ask for return_stats, which this agent lacks"


def _still_called(sources: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Methods that the patches took away, and a file that refers to them."""
    for file, text in after.items():
        before, now = outline(sources[file]), outline(text)
        gone = {name for cls, names in before.classes.items() for name in names - now.classes.get(cls, frozenset())}
        for name in sorted(gone):
            for user, code in {**sources, **after}.items():
                if re.search(rf"\.{name}\b", code):
                    yield user, name


def _recognised(tree: WorkingTree, order: Sequence[str], patches: Mapping[str, Patch]) -> None:
    for name in order:
        report = examine(tree, patches[name], places=False).report
        state = report.state
        for one in report.edits:
            if one.edit == ONLY_WHERE and state is State.DRIFTED:
                raise Refused(
                    f"patch {name!r} would do only a part of what it should in this tree",
                    where=f"{one.file}: {one.found}",
                    hint=f"change that line, or leave the patch out (newtfix show {name}); nothing was written",
                )
        if state not in (State.APPLIED, State.ABSENT):
            raise Refused(
                f"patch {name!r} would not be recognised after it was applied (state: {state.value})",
                hint="please report this; nothing was written",
            )
