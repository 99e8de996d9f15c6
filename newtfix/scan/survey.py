"""One survey of a tree: every discrepancy with its evidence and consequence, and the numbers. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from newtfix.code.syntax import parse
from newtfix.errors import Refused
from newtfix.facts.words import sentence
from newtfix.files.write import is_interrupted
from newtfix.model import EditReport, Patch, PatchReport, Place, Quantity, Severity, State
from newtfix.newt.roles import Found, find_roles, without_rivals
from newtfix.scan.behaviour import AgentCode, TrainerCode, read_agent, read_trainer
from newtfix.scan.consequences import Known, consequence
from newtfix.scan.document import Item, items, loss_lines, summary
from newtfix.scan.evaluate import ClassCode, class_code
from newtfix.scan.facts import Facts
from newtfix.scan.numbers import numbers
from newtfix.scan.settings import Setting, read_settings
from newtfix.scan.tasks import Tasks, read_tasks, with_derived
from newtfix.work.blame import unread
from newtfix.work.session import Session, Target, nearest_place, reports, shown_places, usable

FOUND = (State.AVAILABLE, State.PARTIAL)
_INCOMPLETE = (State.AVAILABLE, State.PARTIAL, State.DRIFTED)


@dataclass(frozen=True)
class Gap:
    """What an edit looked for and did not find, or found in part; `nearest` is the line most like it."""

    edit: str
    file: str
    symbol: str
    state: State
    expected: str
    found: str
    nearest: Place | None


@dataclass(frozen=True)
class Finding:
    """The state of one patch in the tree.

    `places` show it: the code to fix where the patch is available, else the fix. `there` are the edits of a half
    present patch that are in, `gaps` those that are not, or that were not recognised; with an available patch, those
    that wait for a patch that it requires. `by_hand`: the fix is in, but newtfix has no record of it. `nearest`: where
    code that was not recognised should be.
    """

    patch: Patch
    state: State
    by_hand: bool
    places: tuple[Place, ...]
    there: tuple[str, ...]
    gaps: tuple[Gap, ...]
    consequence: str
    nearest: str = ""


@dataclass(frozen=True)
class Survey:
    """Everything that a report says; `used` are the settings that the numbers were made from.

    `items` and `main_points` are those of the document that newtfix starts from.
    """

    target: Target
    findings: tuple[Finding, ...]
    numbers: Mapping[str, Quantity]
    tasks: Tasks
    used: Mapping[str, Setting]
    notes: tuple[str, ...]
    items: tuple[Item, ...] = ()
    main_points: tuple[str, ...] = ()

    @property
    def present(self) -> list[Finding]:
        """The discrepancies that the tree has, half present fixes included."""
        return [finding for finding in self.findings if finding.state in FOUND]

    @property
    def defects(self) -> list[str]:
        """Those of them that are defects of newt, not differences to the reference."""
        return [finding.patch.id for finding in self.present if finding.patch.kind == "defect"]

    @property
    def summary(self) -> str:
        """One line: how many were found, and what became of the others."""
        critical = sum(finding.patch.severity is Severity.CRITICAL for finding in self.present)
        half, applied, drifted = (
            sum(finding.state is state for finding in self.findings)
            for state in (State.PARTIAL, State.APPLIED, State.DRIFTED)
        )
        counts = ((critical, "critical"), (half, "half fixed"))
        told = ", ".join(f"{count} {word}" for count, word in counts if count)
        others = ((applied, "fixed"), (drifted, "not recognised"))
        rest = "".join(f"; {count} {word}" for count, word in others if count)
        total = len(self.findings)
        return f"{len(self.present)} of {total} discrepancies found{f', {told}' if told else ''}{rest}."


def survey(session: Session, arguments: Sequence[str]) -> Survey:
    """Survey the tree of a session, with settings as the user types them (`num_envs=20`).

    Raises:
        TreeError: no newt-style tree, or its trainer or agent has a syntax error.
        UsageError: a setting that the tree does not have.
    """
    session, found, notes = _reports(session)
    sources = without_rivals(session.tree.sources)
    roles = find_roles(sources)
    settings = read_settings(sources, roles.get("config"), arguments)
    tasks, settings = read_tasks(session.target.root, sources, settings)
    settings = with_derived(settings, sources, roles.get("config"), tasks)
    states = {name: report.state for name, report in found.items()}
    facts = Facts(settings, tasks, _trainer(sources, roles), _agent(sources, roles), states)
    quantities = _as_far_as_known(numbers(facts), session, found)
    known = Known(facts, quantities)
    findings = tuple(_finding(session, session.patches[name], one, known) for name, one in found.items())
    telling = dict.fromkeys((*_TELLING, *known.asked))
    used = {name: settings.found[name] for name in telling if settings.get(name) is not None}
    said = (*session.notes, *notes, *settings.notes, *tasks.notes)
    listed = items(facts, quantities, _places(facts, findings, sources, roles))
    return Survey(session.target, findings, quantities, tasks, used, said, listed, tuple(summary(facts, quantities)))


def _as_far_as_known(
    quantities: Mapping[str, Quantity], session: Session, found: Mapping[str, PatchReport]
) -> dict[str, Quantity]:
    """The numbers, but for those of which something that the tree says elsewhere makes others."""
    known = dict(quantities)
    for name, report in found.items():
        patch = session.patches[name]
        relies = {sentence(fact) for fact in patch.there_only_where}
        for one in report.edits:
            if patch.measured in known and one.state is State.DRIFTED and one.code in relies and one.places:
                how = f"{one.file}:{one.places[0].line}: {one.found}"
                known[patch.measured] = replace(known[patch.measured], here=None, how=how, here_formula="", example="")
    return known


def _places(
    facts: Facts, findings: Iterable[Finding], sources: Mapping[str, str], roles: Mapping[str, Found]
) -> dict[str, list[str]]:
    """file:line of what each patch is about, and of the code that the document quotes."""
    found: dict[str, list[str]] = {}
    for finding in findings:
        near = [gap.nearest for gap in finding.gaps if gap.nearest]
        found[finding.patch.id] = [f"{place.file}:{place.line}" for place in (*finding.places, *near)]
    trainer = facts.trainer
    counted = [one.place for one in (*trainer.bursts, trainer.tokens) if one]
    for name, places in (("threshold", [one.place for one in trainer.thresholds]), ("tokens", counted)):
        if places:
            found[name] = [f"{place.file}:{place.line}" for place in places]
    losses = [f"{roles['agent'].file}:{line}" for line in loss_lines(facts.agent.code)] if "agent" in roles else []
    found |= {"losses": losses} if losses else {}
    if "world_model" in roles:
        model = roles["world_model"]
        pi = class_code(parse(sources[model.file]), model.cls).methods.get("pi")
        found |= {"pi": [f"{model.file}:{pi.lineno}"]} if pi else {}
    return found


# Settings that numbers of a report depend on; those that sentences ask for come behind them.
_TELLING = (
    *("task", "num_envs", "world_size", "episode_length", "action_dim", "seeding_coef", "utd", "batch_size"),
    *("prior_coef", "rho", "horizon", "tau", "compile", "num_q", "eval_freq", "eval_episodes"),
    *("constrained_planning", "constraint_start_step", "constraint_final_step", "log_std_max", "burst_updates"),
)


def must_be_whole(target: Target) -> None:
    """Raise Refused where an interrupted run left a tree half written: only a command that writes may tidy it."""
    if is_interrupted(target.root):
        raise Refused(
            f"an earlier run was interrupted in {target.root}; what is there now is half written",
            hint=f"newtfix status{target.option} finishes or undoes it; then scan again.",
        )


def _reports(session: Session) -> tuple[Session, dict[str, PatchReport], list[str]]:
    """The states of all patches; a file that does not parse is left out of the tree, where it has to be, and noted."""
    broken = unread(session.tree)
    told = [note for note in session.notes if note not in broken.values() and note.partition(":")[0] not in broken]
    found = reports(session, session.patches)
    tree = replace(session.tree, sources=usable(session.tree.sources))
    return replace(session, tree=tree, notes=tuple(told)), found, list(broken.values())


def _trainer(sources: Mapping[str, str], roles: Mapping[str, Found]) -> TrainerCode:
    return read_trainer(sources, roles["trainer"]) if "trainer" in roles else TrainerCode(ClassCode())


def _agent(sources: Mapping[str, str], roles: Mapping[str, Found]) -> AgentCode:
    return read_agent(sources, roles["agent"]) if "agent" in roles else AgentCode(ClassCode())


def _finding(session: Session, patch: Patch, report: PatchReport, known: Known) -> Finding:
    state = report.state
    shown_gaps = {State.PARTIAL: _INCOMPLETE, State.DRIFTED: _INCOMPLETE, State.AVAILABLE: (State.DRIFTED,)}
    return Finding(
        patch,
        state,
        by_hand=state is State.APPLIED and patch.id not in session.applied,
        places=shown_places(report),
        nearest=nearest_place(report) if state is State.DRIFTED else "",
        there=tuple(e.edit for e in report.edits if state is State.PARTIAL and e.state is State.APPLIED and e.places),
        gaps=tuple(_gaps(edit for edit in report.edits if edit.state in shown_gaps.get(state, ()))),
        consequence=consequence(patch, state, known),
    )


def _gaps(edits: Iterable[EditReport]) -> Iterator[Gap]:
    """Edits that are missing, each with the line to look at: where it belongs, or what comes closest."""
    for edit in edits:
        nearest = edit.candidate or (edit.places[0] if edit.places else None)
        yield Gap(edit.edit, edit.file, edit.symbol, edit.state, edit.expected.strip(), edit.found, nearest)
