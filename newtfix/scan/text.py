"""The report for people: tables, and for each discrepancy its evidence and consequence; and the same as Markdown."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence

from newtfix import report
from newtfix.model import Quantity, State, Value, show
from newtfix.scan.document import ERRATA, Item
from newtfix.scan.survey import FOUND, Finding, Gap, Survey

_WIDEST = 100
_INDENT = 2  # in front of every line below a heading
_SHOWN = 5  # places of one discrepancy on the terminal
_HEAD = ("id", "severity", "state", "where")  # as wide as a terminal
_WHOLE_HEAD = ("id", "severity", "kind", "state", "where")
_ITEMS = ("item", "about", "severity", "state", "here", "reference", "where")
_NUMBERS = ("number", "here", "reference", "ratio")
_MANY = 2  # numbers in a cell
_LONGEST = 160  # characters of a line of the tree
_BACKTICKS = re.compile("`+")


def draw(survey: Survey) -> None:
    """The report on standard output; on a terminal the tables are drawn."""
    report.table(_HEAD, [(*row[:2], *row[3:]) for row in map(_row, survey.findings)])
    report.out()
    numbers = [_number(quantity) for quantity in survey.numbers.values()]
    report.table(_NUMBERS, [(label.replace("environment", "env"), *rest) for label, *rest in numbers])
    report.out()
    report.heading("Where the numbers come from")
    for line in _sources(survey):
        report.out(f"  {line}")
    report.out()
    report.heading("The nine items of the discrepancy document")
    for line in (*map(_in_a_line, survey.items), *_beside_the_items(survey)):
        for part in wrapped(line, "    "):
            report.out(f"  {part}")
    for finding in survey.findings:
        if finding.state in (*FOUND, State.DRIFTED):
            report.out()
            patch = finding.patch
            report.heading(f"{patch.id}: {patch.title} ({patch.severity.value} {patch.kind})")
            for line in (*wrapped(finding.consequence), *map(fitted, _evidence(finding))):
                report.out(f"  {line}")
        if finding.state is State.PARTIAL and can_be_fixed(finding):
            report.out(f"  to add what is missing: {command(survey, finding)}")


def _row(finding: Finding) -> tuple[str, ...]:
    patch = finding.patch
    return patch.id, patch.severity.value, patch.kind, finding.state.value, where(finding)


def where(finding: Finding) -> str:
    """The first place and how many more there are."""
    places = finding.places
    hand = "by hand" if finding.by_hand else ""
    if not places:
        return hand or finding.nearest
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return f"{places[0].file}:{places[0].line}{more}{f', {hand}' if hand else ''}"


def _item(item: Item) -> tuple[str, ...]:
    about = f"{item.title} ({', '.join(item.patches)})"
    return str(item.number), about, item.rating, item.state, item.here, item.reference, ", ".join(item.where)


def _in_a_line(item: Item) -> str:
    number, about, rating, state, here, reference, places = _item(item)
    said = f"{number}. {about}, {rating}, {state}: {here} here; {reference} in the reference"
    return f"{said} ({places})" if places else said


def _beside_the_items(survey: Survey) -> Iterator[str]:
    """The document's summary for this tree, and what it has wrong about these items."""
    for point in survey.main_points:
        yield f"Summary: {point}."
    wrong = {number: item.number for item in survey.items for number in item.errata}
    for number, said in ERRATA.items():
        of = f" (item {wrong[number]})" if number in wrong else ""
        yield f"Erratum {number}{of}: {said}."


def _number(quantity: Quantity) -> tuple[str, ...]:
    ratio = "" if quantity.ratio is None else f"{show(quantity.ratio)}x"
    here = _brief(quantity.here, quantity.here_formula or "not known")
    return quantity.label, here, _brief(quantity.reference, quantity.reference_formula or "-"), ratio


def _brief(value: Value, otherwise: str) -> str:
    """A value for a cell: of many numbers the first and the last."""
    if isinstance(value, tuple) and len(value) > _MANY:
        return f"{show(value[0])} ... {show(value[-1])}"
    return show(value, otherwise)


def _sources(survey: Survey) -> Iterator[str]:
    """How the numbers were made, and what they would be for stated values where something is not known."""
    for quantity in survey.numbers.values():
        for said in (quantity.how, quantity.example):
            if said:
                yield from wrapped(f"{quantity.label}: {said}", "    ")


def _evidence(finding: Finding) -> Iterator[str]:
    for place in finding.places[:_SHOWN]:
        yield f"{place.file}:{place.line}: {_cut(place.text)}"
    if len(finding.places) > _SHOWN:
        yield f"... and {len(finding.places) - _SHOWN} more (--markdown and --json list them)"
    if finding.there:
        yield f"there: {', '.join(finding.there)}"
    for gap in finding.gaps:
        yield from _gap(finding, gap)


def _gap(finding: Finding, gap: Gap) -> Iterator[str]:
    place = ", ".join(part for part in (gap.file, gap.symbol) if part)
    yield f"{missing(finding, gap)}: {gap.edit}{f' in {place}' if place else ''}"
    if finding.state is State.AVAILABLE:
        return  # its code is not there before the other patch is
    if gap.expected:
        yield f"  looked for: {_cut(first_line(gap.expected))}"
    if gap.state is State.DRIFTED and gap.found:
        yield f"  found: {_cut(first_line(gap.found))}"
    if gap.nearest:
        at = "nearest" if gap.state is State.DRIFTED else "at"
        yield f"  {at}: {gap.nearest.file}:{gap.nearest.line}: {_cut(gap.nearest.text)}"


def missing(finding: Finding, gap: Gap) -> str:
    """What the state of a gap means."""
    if finding.state is State.AVAILABLE:
        return f"needs {', '.join(finding.patch.requires)} first"
    rest = "to fix" if finding.state is State.DRIFTED else "missing"
    return {State.DRIFTED: "not recognised", State.PARTIAL: "half there"}.get(gap.state, rest)


def can_be_fixed(finding: Finding) -> bool:
    """Whether all that is missing of a patch is where it is known."""
    return all(gap.state is not State.DRIFTED for gap in finding.gaps)


def command(survey: Survey, finding: Finding) -> str:
    """The command that fixes it."""
    return f"newtfix apply {finding.patch.id}{survey.target.option}"


def first_line(code: str) -> str:
    """The first line of a piece of code, with a sign that there is more."""
    head, *more = code.splitlines() or [""]
    return f"{head} ..." if more else head


def _cut(line: str) -> str:
    plain = re.sub(r"\s*\t\s*", "  ", line)
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 3]}..."


def wrapped(text: str, indent: str = "") -> list[str]:
    """Lines as wide as the terminal; in a file or pipe one line, that searches find whole."""
    if not report.is_terminal():
        return [text]
    width = min(_WIDEST, shutil.get_terminal_size().columns) - _INDENT
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def fitted(line: str) -> str:
    """A line that quotes code, cut to the width of the terminal; whole in a file or pipe."""
    width = shutil.get_terminal_size().columns - _INDENT
    return f"{line[: width - 3]}..." if report.is_terminal() and len(line) > width else line


# --- Markdown ---------------------------------------------------------------------------------------------------------


def markdown(survey: Survey) -> str:
    """The whole report as a document to paste into an issue or a commit."""
    parts = [f"# Discrepancies of {survey.target.name}", survey.summary]
    if survey.notes:
        parts.append("\n".join(f"- {_escaped(note)}" for note in survey.notes))
    parts += [table(_WHOLE_HEAD, [_row(finding) for finding in survey.findings])]
    parts += ["## Numbers", table((*_NUMBERS, "from"), [_explained(q) for q in survey.numbers.values()])]
    examples = [f"- {q.label}: {_escaped(q.example)}" for q in survey.numbers.values() if q.example]
    parts += ["\n".join(examples)] if examples else []
    settings = [f"`{name}={setting.value}` ({setting.source})" for name, setting in survey.used.items()]
    parts += [f"Settings: {', '.join(settings)}."] if settings else []
    parts += ["## The nine items of the discrepancy document", table(_ITEMS, [_item(one) for one in survey.items])]
    parts += ["\n".join(f"- {_escaped(line)}" for line in _beside_the_items(survey))]
    for finding in survey.findings:
        if finding.state is not State.ABSENT:
            parts += _section(finding)
    return "\n\n".join(parts) + "\n"


def _explained(quantity: Quantity) -> tuple[str, ...]:
    return (*_number(quantity), quantity.how)


def _section(finding: Finding) -> Iterator[str]:
    patch = finding.patch
    hand = ", by hand" if finding.by_hand else ""
    yield f"## {patch.id}: {_escaped(patch.title)}"
    yield f"{patch.severity.value}, {patch.kind}, {finding.state.value}{hand}. {_escaped(finding.consequence)}"
    if finding.places:
        yield _fenced("\n".join(f"{place.file}:{place.line}: {place.text}" for place in finding.places))
    if finding.there:
        yield f"There: {', '.join(finding.there)}."
    for gap in finding.gaps:
        yield f"{missing(finding, gap).capitalize()}: `{gap.edit}` in {_escaped(gap.file or 'no file')}."
        if finding.state is State.AVAILABLE:
            continue
        if gap.expected:
            yield f"Looked for, and found {_escaped(first_line(gap.found) or 'nothing')}:"
            yield _fenced(gap.expected)
        if gap.nearest:
            yield "Nearest:" if gap.state is State.DRIFTED else "At:"
            yield _fenced(f"{gap.nearest.file}:{gap.nearest.line}: {gap.nearest.text}")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: str) -> str:
    """Text in which no character means anything to Markdown."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text)


def _fenced(code: str) -> str:
    """A block of code between fences longer than any run of backticks in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in _BACKTICKS.findall(code)), default=0))
    return f"{fence}text\n{code}\n{fence}"
