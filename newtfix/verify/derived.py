"""What the code of a tree puts into its settings itself, `cfg.name = value`, read from its text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from newtfix.code.syntax import parse, walk
from newtfix.scan.evaluate import SETTINGS_NAMES, Evaluator, Unknown

_READ = re.compile(rf"\b(?:{'|'.join(sorted(SETTINGS_NAMES))})\.(\w+)")


def assigned(texts: Iterable[str], settings: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The values by setting, in the order of the texts, as far as the text and the other settings give them."""
    found: dict[str, list[Any]] = {}
    evaluator = Evaluator(settings)
    for text in texts:
        for name, value in _assignments(text):
            try:
                found.setdefault(name, []).append(evaluator.value(value))
            except Unknown:
                continue
    return found


def unset(texts: Iterable[str], cfg: Any) -> set[str]:
    """Settings that texts read and that there are not."""
    return {name for text in texts for name in _READ.findall(text) if not hasattr(cfg, name)}


def _assignments(text: str) -> Sequence[tuple[str, ast.expr]]:
    try:
        nodes = walk(parse(text))
    except (SyntaxError, ValueError):
        return []
    return [
        (target.attr, node.value)
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Attribute) and _is_settings(target.value)
    ]


def _is_settings(node: ast.expr) -> bool:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name in SETTINGS_NAMES
