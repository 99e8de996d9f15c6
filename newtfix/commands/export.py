"""`newtfix export`: writes patches as a series of patch files."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from newtfix import report
from newtfix.commands.wishes import none_fits, refusal
from newtfix.errors import Refused, UsageError
from newtfix.files.export import series, write_series
from newtfix.files.git import Repository, find_repository, in_the_way, with_carriage_returns
from newtfix.model import Plan
from newtfix.work.outcome import plan_for, pristine_sources
from newtfix.work.places import DEFAULT_TREE
from newtfix.work.session import Session, applied_by, choose, find_target, open_session
from newtfix.work.steps import fitting, steps

_AM = ("git am", "git am --keep-cr")


def run(
    folder: Path,
    ids: Sequence[str],
    everything: bool,
    relative_to: str | None,
    force: bool,
    tree: Path | None,
    named: Sequence[Path],
    as_json: bool,
    only_fitting: bool = False,
) -> int:
    if relative_to not in (None, "tree", "repo"):
        raise UsageError(f"paths cannot be relative to {relative_to!r}", hint="Say --relative-to tree, or repo.")
    session = open_session(find_target(tree), named)
    repository = None if session.target.new else find_repository(session.target.root)
    prefix = _prefix(session, repository, relative_to)
    chosen = choose(ids, everything, session.patches) or session.requested or tuple(session.patches)
    chosen, refused = _fitting(session, chosen) if only_fitting else (chosen, {})
    done = plan_for(session, chosen)
    way = _way(session, done)
    files = series({**session.tree.raw, **session.pristine}, way, session.patches, prefix)
    if not files:
        raise Refused(f"{session.target.root} has all of this already, so there is nothing to export")
    write_series(folder, files, force)
    exported = [name for name in applied_by(done) if any(file.endswith(f"-{name}.patch") for file in files)]
    if as_json:
        report.emit_json(
            {
                "tree": str(session.target.root),
                "folder": str(folder),
                "prefix": prefix,
                "patches": exported,
                "files": list(files),
                "refused": [{"id": name, "error": one.message, "where": one.where} for name, one in refused.items()],
                "notes": [*session.notes, *done.notes],
            }
        )
        return 0
    changed = {path for _, texts in way for path in texts}
    command = _git_command(session, repository, changed) if repository else ""
    first = in_the_way(repository, changed) if repository and command in _AM and not session.applied else ()
    left_out = [line for name, one in refused.items() for line in refusal(name, one)]
    top = repository.top if repository and prefix else session.target.root
    if session.target.new:
        report.say(
            f"{DEFAULT_TREE} is not there yet; copy newt_base, which others are copied from, before you use this."
        )
    words = _words(session, folder, top, exported, command)
    for line in (*session.notes, *done.notes, *left_out, *first, *words):
        report.say(line)
    return 0


def _prefix(session: Session, repository: Repository | None, relative_to: str | None) -> str:
    """The path of the tree in its repository, where paths are to begin at the top of that."""
    if relative_to == "tree":
        return ""
    if repository is None and relative_to == "repo":
        raise UsageError(f"git has no files of {session.target.root}", hint="Say --relative-to tree, or leave it out.")
    return repository.prefix if repository else ""


def _git_command(session: Session, repository: Repository | None, changed: Collection[str]) -> str:
    """What takes the series into git: `git am` drops carriage returns, which is right where only the checkout has them.

    Args:
        changed: the files that the series changes.
    """
    before = {**session.tree.raw, **session.pristine}
    here = {path for path in changed if b"\r" in before.get(path, b"")}
    kept = with_carriage_returns(repository, here) if repository else here
    if kept and kept != here:
        return "git apply"
    return _AM[bool(kept)]


def _fitting(session: Session, chosen: Sequence[str]) -> tuple[tuple[str, ...], Mapping[str, Refused]]:
    """Those that fit the unpatched files, and why the others don't."""
    pristine = pristine_sources(session)
    fits, refused = fitting(pristine, (), chosen, session.patches, session.tree.foreign)
    if refused and not fits:
        raise none_fits(refused)
    return fits, refused


def _way(session: Session, plan: Plan) -> list[tuple[str, dict[str, str]]]:
    """The texts after each patch, from before the first."""
    new = applied_by(plan)
    pristine = pristine_sources(session)
    return list(zip(new, steps(pristine, {}, (), new, session.patches, plan.after), strict=True))


def _not_an_option(path: str) -> str:
    return f"./{path}" if path.startswith("-") else path


def _words(session: Session, folder: Path, top: Path, exported: Sequence[str], command: str) -> list[str]:
    """What was written, and each way to use it from the working folder: paths in the series begin at `top`."""
    edited = f"; your edits in {', '.join(session.edited)} are not part of it" if session.edited else ""
    there = os.path.relpath(os.path.realpath(top))
    go = "" if there == "." else f"cd -P {shlex.quote(_not_an_option(there))} && "
    series = shlex.quote(_not_an_option(os.path.relpath(os.path.realpath(folder), os.path.realpath(top))))
    return [
        f"{folder}: {len(exported)} {'patch' if len(exported) == 1 else 'patches'}: {', '.join(exported)}.",
        f"Paths begin at {os.path.realpath(top)}{edited}. Use it on the unpatched files, in one of these ways:",
        *([f"  {go}{command} {series}/*.patch"] if command else []),
        f"  {go}QUILT_PATCHES={series} quilt push -a",
        f"  {go}for p in $(cat {series}/series); do patch --binary -p1 < {series}/$p; done",
    ]
