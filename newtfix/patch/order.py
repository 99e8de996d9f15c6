"""Which patches a wish implies, and the order they are applied in: requirements first, then by place in the list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from newtfix.errors import PatchError
from newtfix.model import Patch


def with_requirements(
    wanted: Iterable[str], patches: Mapping[str, Patch]
) -> tuple[frozenset[str], dict[str, tuple[str, ...]]]:
    """The wanted ids with everything they require, and for each id that was pulled in, the ids that need it."""
    asked = frozenset(wanted)
    needed = set(asked)
    queue = sorted(asked)
    pulled: dict[str, set[str]] = {}
    while queue:
        name = queue.pop()
        for requirement in patches[name].requires:
            if requirement not in patches:
                raise PatchError(
                    f"patch {name!r} requires {requirement!r}, which is not among the patches",
                    where=patches[name].origin,
                    hint="If it is in another folder, name that with --patches too.",
                )
            if requirement not in asked:
                pulled.setdefault(requirement, set()).add(name)
            if requirement not in needed:
                needed.add(requirement)
                queue.append(requirement)
    return frozenset(needed), {name: tuple(sorted(by)) for name, by in sorted(pulled.items())}


def in_order(ids: Iterable[str], patches: Mapping[str, Patch]) -> list[str]:
    """The canonical order of a set of patches: topological by `requires` and `after`, ties by id.

    It is the order of all known patches, so that what comes after what doesn't depend on which of them are wanted.
    """
    wanted = set(ids)
    graph = {name: patches.keys() & {*patches[name].requires, *patches[name].after} for name in sorted(patches)}
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError as problem:
        circle = problem.args[1]
        raise PatchError(
            f"patches require or follow one another in a circle: {' -> '.join(circle)}",
            where=", ".join(dict.fromkeys(patches[name].origin for name in circle if patches[name].origin)),
            hint="Take one of these ids out of `requires` or `after`.",
        ) from None
    order: list[str] = []
    ready = sorted(sorter.get_ready())
    while ready:
        name = ready.pop(0)
        order.append(name)
        sorter.done(name)
        ready = sorted([*ready, *sorter.get_ready()])
    return [name for name in order if name in wanted]
