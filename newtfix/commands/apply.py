"""`newtfix apply`: puts patches into a tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from newtfix import report
from newtfix.errors import UsageError
from newtfix.model import Plan, State
from newtfix.session import Outcome, Session, choose, compute, find_target, save, writing


def run(ids: Sequence[str], everything: bool, tree: Path | None, named: Sequence[Path], as_json: bool) -> int:
    if not ids and not everything:
        raise UsageError("nothing to apply is named", hint="Name patches, or say --all. See them with `newtfix list`.")
    with writing(find_target(tree), named) as session:
        chosen = choose(ids, everything, session.patches)
        outcome = compute(session, tuple(dict.fromkeys((*session.requested, *chosen))))
        save(session, outcome)
    account = _account(session, outcome, chosen)
    if as_json:
        _emit(session, outcome, account)
        return 0
    for note in (*session.notes, *(outcome.plan.notes if outcome.plan else ())):
        report.say(note)
    for name, word in account.items():
        report.say(f"{name}: {word}")
    report.say(_summary(session, outcome))
    return 0


def _account(session: Session, outcome: Outcome, chosen: Sequence[str]) -> dict[str, str]:
    """What happened to every patch that is new in the tree or was asked for."""
    if outcome.plan is None:
        return {}
    return {
        name: _word(session, outcome.plan, name)
        for name in outcome.plan.order
        if name in chosen or name not in session.applied
    }


def _word(session: Session, plan: Plan, name: str) -> str:
    state = plan.reports[name].state
    if name in session.applied:
        return "already applied"
    if state is State.APPLIED:
        return "already in the code"
    if state is State.ABSENT:
        return "nothing to fix in this tree"
    done = "applied" if state is State.AVAILABLE else "applied; a part of it was there already"
    askers = plan.pulled_in.get(name, ())
    return f"{done}, required by {_listed(askers)}" if askers else done


def _summary(session: Session, outcome: Outcome) -> str:
    name, option = session.target.name, session.target.option
    if session.target.new:
        return f"{name} is new: a copy of newt_base with these patches. See them with `newtfix diff{option}`."
    if not outcome.after:
        return f"{name} has all of this already; nothing was written."
    return f"{name}: wrote {_listed(outcome.after)}. See the changes with `newtfix diff{option}`."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _emit(session: Session, outcome: Outcome, account: dict[str, str]) -> None:
    report.emit_json(
        {
            "tree": str(session.target.name),
            "created": session.target.new,
            "patches": [{"id": name, "outcome": word} for name, word in account.items()],
            "pulled_in": {name: list(by) for name, by in (outcome.plan.pulled_in if outcome.plan else {}).items()},
            "applied": outcome.ledger.applied if outcome.ledger else (),
            "written": list(outcome.after),
            "notes": [*session.notes, *(outcome.plan.notes if outcome.plan else ())],
        }
    )
