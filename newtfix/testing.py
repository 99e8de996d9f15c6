"""For tests of patches: trees as texts, tables of code to rewrite and to leave alone, and what every patch owes.

Everything here raises AssertionError with what was expected and what was found, so it works with any test runner.
A tree is a folder, or the text of every file by its path in the tree.
"""

from __future__ import annotations

import ast
import difflib
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from newtfix.errors import NewtfixError, PatchError, Refused
from newtfix.files.tree import read_tree
from newtfix.model import Patch, State
from newtfix.newt.roles import find_roles
from newtfix.patch.sections import require_sections
from newtfix.plan.engine import inspect, plan
from newtfix.work.load import load_patches
from newtfix.work.places import base_tree, builtin_patches

Texts = Mapping[str, str]
Tree = Texts | Path


# --- trees and patches ------------------------------------------------------------------------------------------------


def load(*directories: Path | str) -> dict[str, Patch]:
    """The built-in patches and those of the folders, by id, in the order they are applied. Raises PatchError."""
    return load_patches([builtin_patches(), *map(Path, directories)])


def read(folder: Path | str) -> dict[str, str]:
    """The texts of a tree that lies in a folder. Raises TreeError where there is none."""
    return dict(read_tree(Path(folder)).sources)


def base() -> dict[str, str]:
    """The texts of newt_base, the newt-style tree that comes with newtfix."""
    return read(base_tree())


def variant(tree: Tree, file: str, *changes: tuple[str, str], everywhere: bool = False) -> dict[str, str]:
    """The tree with other code in one file.

    Args:
        changes: pairs of a text of the file and what stands there instead, made one after the other. The text must
            occur exactly once, or, with `everywhere`, at least once.

    Raises:
        AssertionError: a text is not there (as often), or the new file has a syntax error.
    """
    texts = _texts(tree)
    _hold(file in texts, f"the tree has no file {file}; it has {', '.join(texts)}")
    text = texts[file]
    for old, new in changes:
        count = text.count(old)
        times = "at least once" if everywhere else "once"
        _hold(count == 1 or (everywhere and count > 1), f"{count} times in {file}, expected {times}:\n{old}")
        text = text.replace(old, new)
    _compiles(file, text)
    return {**texts, file: text}


def apply(tree: Tree, *ids: str, patches: Mapping[str, Patch]) -> dict[str, str]:
    """The texts of the tree with these patches (none named: all) and what they require. Raises Refused."""
    texts = _texts(tree)
    return {**texts, **plan(texts, ids or patches, patches).after}


def changed_lines(before: Tree, after: Tree) -> dict[str, list[str]]:
    """For every file that differs, the lines that go (`-…`) and come (`+…`), in their order, nothing else."""
    old, new = _texts(before), _texts(after)
    changes = {file: _changes(old.get(file, ""), new.get(file, "")) for file in sorted({*old, *new})}
    return {file: lines for file, lines in changes.items() if lines}


def _changes(old: str, new: str) -> list[str]:
    if old == new:
        return []
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm=""))[2:]
    return [line for line in lines if not line.startswith("@@")]


# --- one row of a table -----------------------------------------------------------------------------------------------


def assert_rewrites(
    tree: Tree, name: str, patches: Mapping[str, Patch], file: str, there: Sequence[str] = (), gone: Sequence[str] = ()
) -> dict[str, str]:
    """The patch applies; afterwards `file` has every text of `there` and none of `gone`.

    The result compiles, is recognised from its code alone, and a second application leaves it as it is.

    Returns:
        The texts of the patched tree, to look at more.
    """
    texts = _texts(tree)
    after = _applied(texts, [name], patches)
    if after == texts:
        raise AssertionError(f"{name} changes nothing: it is {_state(texts, name, patches).value} in this tree")
    for text in there:
        _hold(text in after[file], f"{name} does not lead to this in {file}:\n{text}", texts, after)
    for text in gone:
        _hold(text not in after[file], f"{name} leaves this in {file}:\n{text}", texts, after)
    _is_recognised(texts, after, name, patches)
    return after


def assert_leaves_alone(tree: Tree, name: str, patches: Mapping[str, Patch], state: State = State.APPLIED) -> None:
    """The patch has nothing to do: the tree has the fix (`State.APPLIED`), or nothing to fix (`State.ABSENT`)."""
    texts = _texts(tree)
    found = _state(texts, name, patches)
    _hold(found is state, f"{name} is {found.value} in this tree, expected {state.value}")
    after = _applied(texts, [name], patches)
    _hold(after == texts, f"{name} changes a tree in which it is {state.value}:", texts, after)


def assert_refused(tree: Tree, name: str, patches: Mapping[str, Patch], says: str = "") -> Refused:
    """The patch does not fit, and the refusal names it and a place and matches the regular expression `says`.

    Returns:
        The refusal.
    """
    texts = _texts(tree)
    try:
        after = apply(texts, name, patches=patches)
    except Refused as refusal:
        said = f"{refusal}\n{refusal.detail}"
        _hold(
            bool(re.search(rf"'{re.escape(name)}'(.|\n)*\.py\b", said)),
            f"the refusal names no place of {name}:\n{said}",
        )
        _hold(bool(re.search(says, said)), f"the refusal does not say {says!r}:\n{said}")
        found = _state(texts, name, patches)
        _hold(found in (State.DRIFTED, State.PARTIAL), f"{name} is refused, but its state is {found.value}:\n{said}")
        return refusal
    raise AssertionError(f"{name} is not refused; it makes these changes:{_shown(texts, after)}")


# --- what every patch owes --------------------------------------------------------------------------------------------


def check_contract(
    tree: Tree,
    patches: Mapping[str, Patch],
    name: str,
    *,
    others: Iterable[str] | None = None,
    pairs: bool = False,
    documented: bool = True,
) -> dict[str, str]:
    """Prove for one patch, on a tree that it has something to fix in, what every patch owes.

    Alone it applies, to files of its declared roles only; the result compiles and is recognised from the code, a second
    application changes nothing, and reverting it gives every byte back. Together with the others, it does not matter
    when it comes: put in one after the other in the order of the list, all of them give the text that they give at
    once; and a tree that gets it before or after all the others has it and them.

    Args:
        others: ids of the patches to combine it with (default: all that fit the tree).
        pairs: combine it with each of the others alone, too; with all built-in patches this takes several seconds.
        documented: the docstring must have the sections of docs/patches.md.

    Returns:
        The texts of the tree with this patch.

    Raises:
        AssertionError: the patch owes something, in words.
    """
    texts = _texts(tree)
    if documented:
        _is_documented(patches[name])
    after = _applied(texts, [name], patches)
    found = _state(texts, name, patches)
    _hold(found is State.AVAILABLE, f"nothing can be proved: {name} is {found.value} in this tree, not available")
    _keeps_to_its_roles(texts, after, name, patches)
    _is_recognised(texts, after, name, patches)
    _can_be_reverted(tree, after, name, patches)
    company = _company(texts, name, patches) if others is None else [other for other in patches if other in set(others)]
    for together in ([company] if company else []) + ([[other] for other in company] if pairs else []):
        _goes_with(texts, after, name, together, patches)
    return after


def _is_documented(patch: Patch) -> None:
    try:
        require_sections(patch)
    except PatchError as problem:
        raise AssertionError(str(problem)) from problem


def _keeps_to_its_roles(texts: Texts, after: Texts, name: str, patches: Mapping[str, Patch]) -> None:
    """Only files of the roles that the patch, or one that it requires, declares have changed."""
    needed = plan(texts, [name], patches).order
    declared = {edit.role for needed_id in needed for edit in patches[needed_id].edits}
    allowed = {found.file for role, found in find_roles(texts).items() if role in declared}
    strange = sorted({file for file in after if after[file] != texts.get(file)} - allowed)
    _hold(not strange, f"{name} changes {', '.join(strange)}, which plays none of its roles ({', '.join(declared)})")


def _is_recognised(texts: Texts, after: Texts, name: str, patches: Mapping[str, Patch]) -> None:
    """The new code compiles, says that the patch is in, and is not changed by applying it again."""
    for file in after:
        if file.endswith(".py") and after[file] != texts.get(file):
            _compiles(file, after[file])
    found = _state(after, name, patches)
    _hold(found is State.APPLIED, f"{name} was applied, but its state is then {found.value}")
    again = _applied(after, [name], patches)
    _hold(again == after, f"a second application of {name} changes something:", after, again)


def _can_be_reverted(tree: Tree, after: Texts, name: str, patches: Mapping[str, Patch]) -> None:
    """In a folder: applying writes the planned texts, reverting gives back every byte and leaves no record."""
    raw = read_tree(tree).raw if isinstance(tree, Path) else {file: text.encode() for file, text in tree.items()}
    with tempfile.TemporaryDirectory(prefix="newtfix-contract-") as folder:
        root = Path(folder, "tree")
        for file, content in raw.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_bytes(content)
        _write(root, [name], patches)
        other = {file: text for file, text in read(root).items() if text != after[file]}
        _hold(not other, f"{name} writes other texts into a folder than were planned:", after, {**after, **other})
        _write(root, [], patches)
        left = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        strange = sorted({*left, *raw} - {file for file in raw if left.get(file) == raw[file]})
        _hold(not strange, f"reverting {name} does not give back {', '.join(strange)}")


def _write(root: Path, wanted: Sequence[str], patches: Mapping[str, Patch]) -> None:
    from newtfix.work.outcome import compute, save
    from newtfix.work.session import find_target, writing

    with writing(find_target(root), ()) as session:
        ours = replace(session, patches=patches)
        save(ours, compute(ours, wanted))


def _company(texts: Texts, name: str, patches: Mapping[str, Patch]) -> list[str]:
    """The other patches that fit the tree, in their order."""
    others = [other for other in patches if other != name]
    return others if _fit(texts, others, patches) else [other for other in others if _fit(texts, [other], patches)]


def _fit(texts: Texts, ids: Sequence[str], patches: Mapping[str, Patch]) -> bool:
    try:
        plan(texts, ids, patches)
    except Refused:
        return False
    return True


def _goes_with(texts: Texts, after: Texts, name: str, others: Sequence[str], patches: Mapping[str, Patch]) -> None:
    """Whenever the patch comes, the tree gets it and the others. `others` are in their order; `after` has it alone."""
    among = f"{name} with {', '.join(others)}"
    whole = _applied(texts, [name, *others], patches)
    order = list(patches)
    early = [other for other in others if order.index(other) < order.index(name)]
    late = [other for other in others if other not in early]
    first, last = _in_steps(after, [others], patches), _in_steps(texts, [others, [name]], patches)
    in_order = last if not late else first if not early else _in_steps(texts, [early, [name], late], patches)
    _hold(in_order == whole, f"{among}: one by one gives another text than at once:", whole, in_order)
    for when, result in (("before", first), ("after", last)):
        for one in (name, *others) if result != whole else ():
            found = _state(result, one, patches)
            good = found in (State.APPLIED, State.ABSENT)
            _hold(good, f"{among}: with {name} put in {when} the others, {one} is {found.value}")


def _in_steps(texts: Texts, steps: Sequence[Sequence[str]], patches: Mapping[str, Patch]) -> Texts:
    for ids in steps:
        texts = _applied(texts, ids, patches)
    return texts


# --- in words ---------------------------------------------------------------------------------------------------------


def _texts(tree: Tree) -> dict[str, str]:
    return read(tree) if isinstance(tree, Path) else dict(tree)


def _state(texts: Texts, name: str, patches: Mapping[str, Patch]) -> State:
    return inspect(texts, patches, [name])[name].state


def _applied(texts: Texts, ids: Sequence[str], patches: Mapping[str, Patch]) -> dict[str, str]:
    """As `apply`; a refusal, or an error in a patch, is a failed test."""
    try:
        return apply(texts, *ids, patches=patches)
    except NewtfixError as problem:
        raise AssertionError(f"{', '.join(ids)} cannot be applied:\n{problem}") from problem


def _compiles(file: str, text: str) -> None:
    try:
        ast.parse(text)
    except SyntaxError as problem:
        raise AssertionError(f"{file} has a syntax error, {problem}:\n{(problem.text or '').rstrip()}") from problem


def _shown(before: Texts, after: Texts) -> str:
    """What changes, for a message."""
    return "".join("\n".join(("", file, *lines)) for file, lines in changed_lines(before, after).items())


def _hold(condition: bool, message: str, *sides: Texts) -> None:
    """Fail with the message, and what differs between two sides, unless the condition holds."""
    if not condition:
        raise AssertionError(message + (_shown(*sides) if sides else ""))
