"""Patches one at a time: the text after each of them, and which of them fit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from newtfix.errors import Refused, TreeError
from newtfix.model import Patch
from newtfix.patch.order import in_order, with_requirements
from newtfix.work import planning


def steps(
    pristine: Mapping[str, str],
    start: Mapping[str, str],
    present: Sequence[str],
    new: Sequence[str],
    patches: Mapping[str, Patch],
    final: Mapping[str, str],
) -> list[dict[str, str]]:
    """The texts of all files that differ from `pristine` after each patch of `new`, on top of those of `present`.

    Args:
        pristine: every file before any patch. start: the files that the patches of `present` changed.
        new: in the order to apply. final: what the files are to be with the last one.
    """
    if (quick := _quick(pristine, start, new, patches)) and quick[-1] == _changed(pristine, final):
        return quick
    sets = ([*present, *new[: number + 1]] for number in range(len(new)))
    return [_changed(pristine, planning.plan(pristine, names, patches).after) for names in sets]


def fitting(
    pristine: Mapping[str, str],
    present: Sequence[str],
    wanted: Sequence[str],
    patches: Mapping[str, Patch],
    foreign: Collection[str],
) -> tuple[tuple[str, ...], dict[str, Refused]]:
    """Those of `wanted` that fit together with `present`, and why the others do not.

    Args:
        pristine: every file before any patch. foreign: files that are not UTF-8.
    """
    refused: dict[str, Refused] = {}
    texts = dict(pristine)
    for name in in_order(with_requirements((*present, *wanted), patches)[0], patches):
        if (lacks := _lacks(patches[name], refused)) is not None:
            refused[name] = lacks
            continue
        try:
            after = planning.plan(texts, [name], patches).after
            _must_be_text(after, foreign)
        except Refused as problem:
            refused[name] = _by_itself(pristine, name, patches) or problem
        else:
            texts |= after
    return tuple(name for name in wanted if name not in refused), refused


def _by_itself(pristine: Mapping[str, str], name: str, patches: Mapping[str, Patch]) -> Refused | None:
    """Why a patch does not fit the tree as it is, whose lines the user can look at; None: it does."""
    try:
        planning.plan(pristine, [name], patches)
    except Refused as problem:
        return problem
    return None


def _quick(
    pristine: Mapping[str, str],
    start: Mapping[str, str],
    new: Iterable[str],
    patches: Mapping[str, Patch],
) -> list[dict[str, str]]:
    """Each patch on top of the text of the last one; nothing where a patch does not fit so."""
    texts = {**pristine, **start}
    found = []
    for name in new:
        try:
            texts |= planning.plan(texts, [name], patches).after
        except (Refused, TreeError):
            return []
        found.append(_changed(pristine, texts))
    return found


def _changed(pristine: Mapping[str, str], texts: Mapping[str, str]) -> dict[str, str]:
    return {path: text for path, text in texts.items() if text != pristine[path]}


def _lacks(patch: Patch, refused: Mapping[str, Refused]) -> Refused | None:
    """What is said of a patch that others are missing for; None: none is."""
    for others, why in ((patch.requires, "requires"), (patch.goes_with, "does harm without")):
        if missing := [name for name in others if name in refused]:
            return Refused(f"it {why} {', '.join(missing)}, which does not fit")
    return None


def _must_be_text(paths: Iterable[str], foreign: Collection[str]) -> None:
    if found := sorted({*paths} & {*foreign}):
        raise Refused(f"not UTF-8, and to be edited: {', '.join(found)}")
