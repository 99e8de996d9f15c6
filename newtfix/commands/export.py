"""`newtfix export`: writes patches as a series of patch files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from newtfix import report
from newtfix.errors import Refused, UsageError
from newtfix.export import series, write_series
from newtfix.git import find_repository
from newtfix.model import Plan
from newtfix.outcome import plan_for, pristine_sources
from newtfix.session import Session, applied_by, choose, find_target, open_session
from newtfix.steps import steps


def run(
    folder: Path,
    ids: Sequence[str],
    everything: bool,
    relative_to: str | None,
    force: bool,
    tree: Path | None,
    named: Sequence[Path],
    as_json: bool,
) -> int:
    if relative_to not in (None, "tree", "repo"):
        raise UsageError(f"paths cannot be relative to {relative_to!r}", hint="Say --relative-to tree, or repo.")
    session = open_session(find_target(tree), named)
    prefix = _prefix(session, relative_to)
    chosen = choose(ids, everything, session.patches) or session.requested or tuple(session.patches)
    done = plan_for(session, chosen, complete=False)
    files = series({**session.tree.raw, **session.pristine}, _way(session, done), session.patches, prefix)
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
                "notes": [*session.notes, *done.notes],
            }
        )
        return 0
    for line in (*session.notes, *done.notes, *_words(session, folder, prefix, exported)):
        report.say(line)
    return 0


def _prefix(session: Session, relative_to: str | None) -> str:
    """The path of the tree in its repository, where paths are to begin at the top of that."""
    if relative_to == "tree":
        return ""
    repository = None if session.target.new else find_repository(session.target.root)
    if repository is None and relative_to == "repo":
        raise UsageError(f"git has no files of {session.target.root}", hint="Say --relative-to tree, or leave it out.")
    return repository.prefix if repository else ""


def _way(session: Session, plan: Plan) -> list[tuple[str, dict[str, str]]]:
    """The texts after each patch, from before the first."""
    new = applied_by(plan)
    return list(zip(new, steps(pristine_sources(session), {}, (), new, session.patches, plan.after), strict=True))


def _words(session: Session, folder: Path, prefix: str, exported: Sequence[str]) -> list[str]:
    where = f"the top of the repository, in which the tree is {prefix}" if prefix else "the tree"
    if session.edited:
        where += f"; your edits in {', '.join(session.edited)} are not part of it"
    return [
        f"{folder}: {len(exported)} {'patch' if len(exported) == 1 else 'patches'}: {', '.join(exported)}.",
        f"Paths begin at {where}. Use it on the unpatched files there:",
        f"  git am --keep-cr {folder}/*.patch",
        f"  QUILT_PATCHES={folder} quilt push -a",
        f"  for p in $(cat {folder}/series); do patch --binary -p1 < {folder}/$p; done",
    ]
