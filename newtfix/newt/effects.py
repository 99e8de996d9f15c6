"""What a plan does to a tree's settings: those that nothing reads any more, and how long a burst is with them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from newtfix.code.syntax import dotted, walk
from newtfix.newt.tree import NewtTree

_EXAMPLE = 500  # steps of an episode, where the tree leaves it to the task


def without_effect(before: NewtTree, after: NewtTree) -> Iterator[str]:
    """Says which settings have no effect in the patched tree, and how many updates a burst of newt's seed steps is."""
    config = before.roles.get("config")
    if config is None:
        return
    fields = _fields(before, config.file, config.cls or "")
    changed = [file for file in before.python if before.sources[file] != after.sources[file]]
    fewer = [name for name in fields if _times(before, changed, name) > _times(after, changed, name)]
    for name in fewer:
        if not _named(before, name) or _named(after, name):
            continue
        yield f"{name} ({config.file}:{fields[name].lineno}) has no effect any more: nothing reads it."
    if "_burst" in after.methods("trainer").keys() - before.methods("trainer").keys():
        yield from _long_burst(after, {name: _number(field) for name, field in fields.items()})


def _fields(tree: NewtTree, file: str, cls: str) -> Mapping[str, ast.AnnAssign]:
    classes = [node for node in tree.module(file).body if isinstance(node, ast.ClassDef) and node.name == cls]
    nodes = [node for one in classes for node in one.body if isinstance(node, ast.AnnAssign)]
    return {dotted(node.target): node for node in nodes}


def _times(tree: NewtTree, files: Iterable[str], name: str) -> int:
    return sum(tree.sources[file].count(f".{name}") for file in files)


def _named(tree: NewtTree, name: str) -> bool:
    """Whether code reads an attribute of that name, or has the name as a string."""
    return any(
        (isinstance(node, ast.Attribute) and node.attr == name)
        or (isinstance(node, ast.Constant) and node.value == name)
        for file in tree.python
        if name in tree.sources[file]
        for node in walk(tree.module(file))
    )


def _number(field: ast.AnnAssign) -> int | None:
    match field.value:
        case ast.Constant(value=int(number)):
            return number
    return None


def _long_burst(tree: NewtTree, settings: Mapping[str, int | None]) -> Iterator[str]:
    burst = tree.methods("trainer")["_burst"].node
    if not any(isinstance(node, ast.Attribute) and node.attr == "seeding_coef" for node in walk(burst)):
        return
    coef, envs = settings.get("seeding_coef"), settings.get("num_envs")
    length = settings.get("episode_length") or _EXAMPLE
    many = f": {coef * envs * length:,} for {envs} environments and {length} steps an episode" if coef and envs else ""
    yield (
        "The burst makes as many updates at once as there are seed steps in this tree, "
        f"seeding_coef * num_envs * episode_length * world_size{many}. With the patch seeding they are "
        f"{max(1000, 5 * length):,}; burst_updates sets another number. newtfix scan counts with the tree's tasks."
    )
