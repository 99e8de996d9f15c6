"""The engine's answers, kept from one command to the next (`newtfix.files.kept`)."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from newtfix.errors import Refused
from newtfix.files.kept import value
from newtfix.model import EditReport, Patch, PatchReport, Place, Plan, State


def plan(sources: Mapping[str, str], wanted: Iterable[str], patches: Mapping[str, Patch]) -> Plan:
    """What `newtfix.plan.engine.plan` returns, or raises where patches don't fit."""
    names = tuple(wanted)

    def make() -> Plan | Refused:
        from newtfix.plan import engine

        try:
            return engine.plan(sources, names, patches)
        except Refused as refused:
            return refused

    def read(known: Any) -> Plan | Refused:
        if "message" in known:
            return Refused(**known)
        return Plan(
            order=tuple(known["order"]),
            pulled_in={name: tuple(by) for name, by in known["pulled_in"].items()},
            reports=_of(sources, _reports(known["reports"])),
            before={file: sources[file] for file in known["after"]},
            after={file: _compiled(file, text) for file, text in known["after"].items()},
            notes=tuple(known["notes"]),
        )

    made = value("plan", (*names, *_told(sources, patches)), make, asdict, read)
    if isinstance(made, Refused):
        raise made
    return made


def inspect(
    sources: Mapping[str, str], patches: Mapping[str, Patch], ids: Iterable[str] | None = None
) -> dict[str, PatchReport]:
    """What `newtfix.plan.engine.inspect` returns."""
    names = tuple(patches if ids is None else ids)

    def make() -> dict[str, PatchReport]:
        from newtfix.plan import engine

        return engine.inspect(sources, patches, names)

    def write(made: Mapping[str, PatchReport]) -> dict[str, Any]:
        return {name: asdict(report) for name, report in made.items()}

    def read(known: Any) -> dict[str, PatchReport]:
        return _of(sources, _reports(known))

    return value("inspect", (*names, *_told(sources, patches)), make, write, read)


def _told(sources: Mapping[str, str], patches: Mapping[str, Patch]) -> Iterable[str]:
    yield "patches"
    yield from map(repr, patches.items())
    for file in sorted(sources):
        yield from (file, sources[file])


def _compiled(file: str, text: str) -> str:
    """A text that is known from before, and that is Python all the same. Raises SyntaxError, ValueError."""
    if file.endswith(".py"):
        compile(text, file, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    return text


def _of(sources: Mapping[str, str], reports: dict[str, PatchReport]) -> dict[str, PatchReport]:
    """Reports that are known from before, and whose places are in these files. Raises KeyError, ValueError."""
    for report in reports.values():
        for edit in report.edits:
            for place in (*edit.places, *([edit.candidate] if edit.candidate else [])):
                if not 1 <= place.line <= sources[place.file].count("\n") + 1:
                    raise ValueError(f"{place.file} has no line {place.line}")
    return reports


def _reports(known: Mapping[str, Any]) -> dict[str, PatchReport]:
    return {
        name: PatchReport(report["id"], State(report["state"]), tuple(map(_edit_report, report["edits"])))
        for name, report in known.items()
    }


def _edit_report(known: Mapping[str, Any]) -> EditReport:
    places = tuple(Place(**place) for place in known["places"])
    near = Place(**known["candidate"]) if known["candidate"] is not None else None
    return EditReport(**{**known, "state": State(known["state"]), "places": places, "candidate": near})
