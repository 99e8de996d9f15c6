"""The report as SARIF 2.1.0, which code review tools read: one rule per patch, one result per place."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from newtfix import __version__
from newtfix.model import Place, Severity, State
from newtfix.patch.sections import headline, sections
from newtfix.scan.survey import FOUND, Finding, Survey
from newtfix.scan.text import can_be_fixed, command, first_line, missing

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_BASE = "SRCROOT"
_LEVELS = {
    Severity.CRITICAL: "error",
    Severity.MODERATE: "warning",
    Severity.MINOR: "note",
    Severity.PREREQUISITE: "note",
}


def sarif(survey: Survey) -> dict[str, Any]:
    """The log: results for what the tree has, and to be reviewed, what was not recognised."""
    rules = [_rule(survey, finding) for finding in survey.findings]
    results = [result for number, finding in enumerate(survey.findings) for result in _results(survey, number, finding)]
    run = {
        "tool": {"driver": {"name": "newtfix", "version": __version__, "rules": rules}},
        "originalUriBaseIds": {_BASE: {"uri": survey.target.root.resolve().as_uri().rstrip("/") + "/"}},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": list(_notifications(survey))}],
        "columnKind": "unicodeCodePoints",
        "results": _with_fingerprints(results),
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(survey: Survey, finding: Finding) -> dict[str, Any]:
    patch = finding.patch
    told = sections(patch.doc)
    parts = [
        f"{name}: {' '.join(told[name].split())}" for name in ("Claim", "Code", "Change", "Effect") if name in told
    ]
    text = "\n\n".join([*parts, f"newtfix show {patch.id} explains it; {command(survey, finding)} fixes it."])
    return {
        "id": patch.id,
        "shortDescription": {"text": patch.title},
        "fullDescription": {"text": " ".join(headline(patch.doc).split()) or patch.changes or patch.title},
        "help": {"text": text},
        "defaultConfiguration": {"level": _LEVELS[patch.severity]},
        "properties": {"tags": [patch.kind], "severity": patch.severity.value},
    }


def _results(survey: Survey, number: int, finding: Finding) -> Iterator[dict[str, Any]]:
    common = {"ruleId": finding.patch.id, "ruleIndex": number}
    apply = f"Fix: {command(survey, finding)}" if can_be_fixed(finding) else ""
    if finding.state is State.AVAILABLE:
        for place in finding.places:
            yield common | _fail(finding, f"{finding.consequence} {apply}", place)
    elif finding.state is State.PARTIAL:
        for gap in finding.gaps:
            looked_for = f" (looked for: {first_line(gap.expected)})" if gap.expected else ""
            said = f"{missing(finding, gap).capitalize()}: {gap.edit}{looked_for}."
            for place in [gap.nearest] if gap.nearest else finding.places[:1]:
                yield common | _fail(finding, f"{said} {finding.consequence} {apply}", place)
    elif finding.state is State.DRIFTED:
        for place in [gap.nearest for gap in finding.gaps if gap.nearest][:1]:
            told = {"kind": "review", "level": "none", "message": {"text": finding.consequence}}
            yield common | told | {"locations": [_location(place)]}


def _fail(finding: Finding, message: str, place: Place) -> dict[str, Any]:
    level = _LEVELS[finding.patch.severity]
    return {"kind": "fail", "level": level, "message": {"text": message}, "locations": [_location(place)]}


def _location(place: Place) -> dict[str, Any]:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(place.file), "uriBaseId": _BASE},
            "region": {"startLine": place.line, "snippet": {"text": place.text}},
        }
    }


def _notifications(survey: Survey) -> Iterator[dict[str, Any]]:
    """The notes, and findings that no line of the tree stands for."""
    for note in survey.notes:
        yield {"level": "note", "message": {"text": note}}
    for finding in survey.findings:
        nowhere = not finding.places and not any(gap.nearest for gap in finding.gaps)
        if nowhere and finding.state in (*FOUND, State.DRIFTED):
            yield {"level": "warning", "message": {"text": f"{finding.patch.id}: {finding.consequence}"}}


def _with_fingerprints(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each result with a fingerprint of rule, file and text of the line: it stays when the line moves."""
    seen: Counter[str] = Counter()
    for result in results:
        place = result["locations"][0]["physicalLocation"]
        text = "\0".join((result["ruleId"], place["artifactLocation"]["uri"], place["region"]["snippet"]["text"]))
        seen[text] += 1
        digest = hashlib.sha256(f"{text}\0{seen[text]}".encode()).hexdigest()
        result["partialFingerprints"] = {"newtfixPlace/v1": digest}
    return results
