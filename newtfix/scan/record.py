"""The report for machines: one JSON object."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from newtfix.model import Place, Quantity
from newtfix.scan.document import ERRATA
from newtfix.scan.survey import Finding, Gap, Survey


def record(survey: Survey) -> dict[str, Any]:
    """Everything in the report; numbers that are not known are null, beside the formula that stands for them."""
    return {
        "tree": str(survey.target.root),
        "summary": survey.summary,
        "present": [finding.patch.id for finding in survey.present],
        "defects": survey.defects,
        "patches": [_finding(finding) for finding in survey.findings],
        "numbers": {name: _quantity(quantity) for name, quantity in survey.numbers.items()},
        "document": {
            "items": [asdict(item) for item in survey.items],
            "summary": survey.main_points,
            "errata": {str(number): said for number, said in ERRATA.items()},
        },
        "tasks": {
            "count": len(survey.tasks.names),
            "names": survey.tasks.names,
            "episode_lengths": survey.tasks.lengths,
            "action_dims": survey.tasks.action_dims,
        },
        "settings": {
            name: {"value": _plain(setting.value), "source": setting.source} for name, setting in survey.used.items()
        },
        "notes": survey.notes,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    patch = finding.patch
    return {
        "id": patch.id,
        "title": patch.title,
        "severity": patch.severity,
        "kind": patch.kind,
        "state": finding.state,
        "by_hand": finding.by_hand,
        "consequence": finding.consequence,
        "evidence": [_place(place) for place in finding.places],
        "there": finding.there,
        "missing": [_gap(gap) for gap in finding.gaps],
    }


def _place(place: Place) -> dict[str, Any]:
    return {"file": place.file, "line": place.line, "text": place.text}


def _gap(gap: Gap) -> dict[str, Any]:
    return {
        "edit": gap.edit,
        "file": gap.file,
        "symbol": gap.symbol,
        "state": gap.state,
        "looked_for": gap.expected,
        "found": gap.found,
        "nearest": _place(gap.nearest) if gap.nearest else None,
    }


def _quantity(quantity: Quantity) -> dict[str, Any]:
    return {
        "label": quantity.label,
        "here": quantity.here,
        "reference": quantity.reference,
        "ratio": quantity.ratio,
        "here_formula": quantity.here_formula,
        "reference_formula": quantity.reference_formula,
        "how": quantity.how,
        "example": quantity.example,
    }


def _plain(value: Any) -> Any:
    """A value that JSON has: there are no infinite numbers in it."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
