"""`newtfix apply`: puts patches into a tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from newtfix import report
from newtfix.commands.verified import Verified, must_be_able_to_verify, verified, with_what_fits
from newtfix.commands.wishes import grant, refusal, wish_of
from newtfix.errors import Refused, TreeError, UsageError
from newtfix.files.git import (
    GitFailed,
    Repository,
    commit,
    how_to_commit,
    must_be_clean,
    must_take_commits,
    not_committed,
)
from newtfix.model import Patch, Plan, State
from newtfix.patch.message import message
from newtfix.work.outcome import Outcome, one_by_one, save
from newtfix.work.session import Session, Target, changed_patches, choose, find_target, reports, writing


@dataclass(frozen=True)
class _Done:
    """What an apply came to; `restored` are patches of the record whose code was not in the tree any more.

    `by_hand` were in the code already, before another patch rewrote it. `uncommitted` is the command that commits what
    --commit did not, as it was in the tree before.
    """

    session: Session
    outcome: Outcome
    chosen: tuple[str, ...]
    refused: Mapping[str, Refused] = field(default_factory=dict)
    commits: Mapping[str, str] = field(default_factory=dict)
    restored: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()
    uncommitted: str = ""


def run(
    ids: Sequence[str],
    everything: bool,
    tree: Path | None,
    named: Sequence[Path],
    as_json: bool,
    in_commits: bool = False,
    only_fitting: bool = False,
    allow_dirty: bool = False,
    verify: bool = False,
) -> int:
    if not ids and not everything:
        raise UsageError("nothing to apply is named", hint="Name patches, or say --all. See them with `newtfix list`.")
    if in_commits and allow_dirty:
        raise UsageError("--commit takes no --allow-dirty", hint="Commit the edits first.")
    if verify:
        must_be_able_to_verify()
    with writing(find_target(tree), named) as session:
        chosen = choose(ids, everything, session.patches)
        wish = wish_of(session, chosen, only_fitting)
        try:
            granted = grant(session, wish)
        except Refused as problem:
            raise with_what_fits(session, problem, chosen, "--all" if everything else " ".join(ids)) from None
        session, outcome = granted.session, granted.outcome
        if not (in_commits or allow_dirty or session.target.new):
            must_be_clean(session.target.root, outcome.before, session.written)
        for line in () if as_json else _notes(session, outcome):
            report.say(line)
        commits = _commit_each(session, outcome) if in_commits else {}
        if not in_commits:
            save(session, outcome)
        left = _uncommitted(session, outcome) if in_commits else ""
    done = _Done(
        session, outcome, wish.chosen, wish.refused, commits, granted.restored, _by_hand(session, outcome), left
    )
    if not as_json:
        for line in _lines(done):
            report.say(line)
    found = verified(_written(session), _put_in(done)) if verify else None
    if as_json:
        _emit(done, found)
    for line in found.lines if found and not as_json else ():
        report.say(line)
    return 1 if found and found.wrong else 0


def _put_in(done: _Done) -> dict[str, Patch]:
    """The patches that were asked for and those that they require, as far as the tree has them now."""
    applied = done.outcome.ledger.applied if done.outcome.ledger else ()
    return {name: done.session.patches[name] for name in _account(done) if name in applied}


def _written(session: Session) -> Target:
    """The tree that was written: the copy of newt_base where there was none before."""
    return Target(session.target.name, session.target.name) if session.target.new else session.target


# --- commits ----------------------------------------------------------------------------------------------------------


def _commit_each(session: Session, outcome: Outcome) -> dict[str, str]:
    """Write and commit one new patch after the other; the commits by patch."""
    if session.target.new:
        raise Refused(
            f"{session.target.name} would be new, so there is nothing to commit to",
            hint="Name a tree that is in git with --tree DIR, or leave --commit out.",
        )
    repository = must_take_commits(session.target.root, outcome.before)
    way = list(one_by_one(session, outcome))
    if not way:
        save(session, outcome)
    commits: dict[str, str] = {}
    for number, (name, step) in enumerate(way):
        try:
            save(session, step)
            if step.after:
                commits[name] = commit(repository, list(step.after), message(session.patches[name]))
            if number + 1 < len(way):
                _must_be_as_written(session, step)
        except (GitFailed, TreeError) as problem:
            by_hand = _how(repository, step.after)
            written = isinstance(problem, GitFailed)
            raise _stopped(session, problem, written, commits, [one for one, _ in way[number:]], by_hand) from None
    return commits


def _uncommitted(session: Session, outcome: Outcome) -> str:
    """The command that commits files of the record in which git lacks something; nothing where there is none."""
    return not_committed(session.target.root, outcome.ledger.files) if outcome.ledger else ""


def _must_be_as_written(session: Session, step: Outcome) -> None:
    """A hook may rewrite what is committed; the patches that follow were computed for what it was."""
    other = [path for path, content in step.after.items() if (session.target.root / path).read_bytes() != content]
    if other:
        raise GitFailed(f"a hook of git changed {', '.join(other)}")


def _how(repository: Repository, paths: Iterable[str]) -> str:
    return how_to_commit(repository, dict.fromkeys(sorted(paths), ""))


def _stopped(
    session: Session,
    problem: GitFailed | TreeError,
    written: bool,
    commits: Mapping[str, str],
    left: Sequence[str],
    by_hand: str,
) -> Refused | TreeError:
    """What is in the tree and in git after an end half-way; `written`: the first of `left` is in the tree."""
    there = [name for name in left[:1] if name not in commits and written]
    missing = left[1:] if written else left
    lines = [
        f"committed: {_listed(f'{name} ({commit})' for name, commit in commits.items()) or 'nothing'}",
        *([f"in the tree, not committed: {_listed(there)}"] if there else []),
        *([f"not applied: {_listed(missing)}"] if missing else []),
    ]
    option = session.target.option
    undo = f" (or take it out: newtfix revert {there[0]}{option})" if there else ""
    go_on = f"newtfix apply {' '.join(missing)} --commit{option}" if missing else ""
    then = " Then go" if there else "Go"
    hint = "\n".join(
        [
            *(f"Commit {name} by hand: {by_hand}{undo}." for name in there),
            *([f"{then} on: {go_on}"] if go_on else []),
        ]
    )
    where = "\n".join(lines)
    if isinstance(problem, TreeError):
        said = problem.message.replace("the files are as they were", f"{missing[0]} is not in")
        return TreeError(said, where="\n".join(part for part in (problem.where, where) if part), hint=hint)
    return Refused(f"git stopped the commits: {problem}", where=where, hint=hint)


# --- what is said -----------------------------------------------------------------------------------------------------


def _lines(done: _Done) -> Iterable[str]:
    session, outcome = done.session, done.outcome
    for name, word in _account(done).items():
        committed = f", commit {done.commits[name]}" if name in done.commits else ""
        yield f"{name}: {word}{committed}"
    for name, problem in done.refused.items():
        yield from refusal(name, problem)
    yield _summary(session, outcome)
    if done.uncommitted:
        yield f"Not committed, as it was in the tree before: {done.uncommitted}"


def _notes(session: Session, outcome: Outcome) -> list[str]:
    changed = [f"{name}: changed since it was applied; it is written anew." for name in changed_patches(session)]
    return [*session.notes, *outcome.notes, *changed]


def _account(done: _Done) -> dict[str, str]:
    """What happened to every patch that is new in the tree or was asked for."""
    session, plan = done.session, done.outcome.plan
    if plan is None:
        return {}
    told = [name for name in plan.order if name in done.chosen or name not in session.applied]
    seen = [name for name in told if plan.reports[name].state is State.APPLIED and name not in session.applied]
    places = {name: _place(session, name) for name in seen}
    words = {name: _word(session, plan, name) + places.get(name, "") for name in told}
    words |= {name: f"{words[name]}; it was in by hand, in code that another patch rewrites" for name in done.by_hand}
    return words | dict.fromkeys(done.restored, "applied again; its code was not in the tree any more")


def _by_hand(session: Session, outcome: Outcome) -> tuple[str, ...]:
    """New patches that the code had, and that were put in as another patch takes the place of that code."""
    states = {name: one.state for name, one in outcome.plan.reports.items()} if outcome.plan else {}
    if State.APPLIED not in states.values():
        return ()
    new = [name for name in outcome.applied if name not in session.applied]
    return tuple(name for name, one in reports(session, new).items() if one.state is State.APPLIED)


def _place(session: Session, name: str) -> str:
    """Where a patch is seen in the code."""
    found = reports(session, [name])[name]
    place = next((place for edit in found.edits for place in edit.places), None)
    return f" ({place.file}:{place.line})" if place else ""


def _word(session: Session, plan: Plan, name: str) -> str:
    state = plan.reports[name].state
    if name in session.applied:
        return "already applied"
    if state is State.APPLIED:
        return "already in the code"
    if state is State.ABSENT:
        return "nothing to fix in this tree"
    done = (
        "applied"
        if state is State.AVAILABLE
        else f"applied; a part of it was there already{_completed(session, plan, name)}"
    )
    askers = plan.pulled_in.get(name, ())
    return f"{done}, required by {_listed(askers)}" if askers else done


def _completed(session: Session, plan: Plan, name: str) -> str:
    """What was missing of a patch that was there in part, and where."""
    missing = [one for one in plan.reports[name].edits if one.state in (State.AVAILABLE, State.PARTIAL)]
    lines = {one.edit: f":{one.places[0].line}" for one in reports(session, [name])[name].edits if one.places}
    said = (f"{one.edit} ({one.file}{lines.get(one.edit, '')})" for one in missing)
    return f"; completed: {_listed(said)}"


def _summary(session: Session, outcome: Outcome) -> str:
    name, option = session.target.name, session.target.option
    if session.target.new:
        return f"{name} is new: a copy of newt_base with these patches. See them with `newtfix diff{option}`."
    plan = outcome.plan
    if not outcome.after and plan and all(one.state is State.ABSENT for one in plan.reports.values()):
        return f"{name} has no code that this is about; nothing was written."
    if not outcome.after:
        return f"{name} has all of this already; nothing was written."
    merged = [path for path, content in outcome.after.items() if content != outcome.generated.get(path)]
    kept = f" Your edits in {_listed(merged)} are kept." if merged else ""
    return f"{name}: wrote {_listed(outcome.after)}.{kept} See the changes with `newtfix diff{option}`."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _emit(done: _Done, found: Verified | None) -> None:
    session, outcome = done.session, done.outcome
    patches: list[dict[str, Any]] = [{"id": name, "outcome": word} for name, word in _account(done).items()]
    refused = [
        {"id": name, "error": problem.message, "where": problem.where, "hint": problem.hint}
        for name, problem in done.refused.items()
    ]
    report.emit_json(
        {
            "tree": str(session.target.name),
            "created": session.target.new,
            "patches": patches,
            "refused": refused,
            "commits": dict(done.commits),
            "uncommitted": done.uncommitted,
            "pulled_in": {name: list(by) for name, by in (outcome.plan.pulled_in if outcome.plan else {}).items()},
            "applied": outcome.ledger.applied if outcome.ledger else (),
            "written": list(outcome.after),
            "notes": _notes(session, outcome),
            **({"verify": found.as_dict()} if found else {}),
        }
    )
