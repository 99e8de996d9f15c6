"""Runs a tree's train.py and writes what its Logger is told to a file: python -P shim.py METRICS TRAIN [argument ...].

It stands beside the tree and changes nothing in it. Run by its path, it knows nothing of newtfix.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def main(metrics: str, script: str, *arguments: str) -> None:
    """Run the script as the program that it is, with its folder first on the module path."""
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).resolve().parent))
    from common import logger  # type: ignore[import-not-found]  # the tree's

    told = logger.Logger.log

    def log(self: Any, d: Mapping[str, Any], category: str = "train", *more: Any, **named: Any) -> Any:
        if not getattr(self, "rank", 0):
            with Path(metrics).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"category": category, **plain(d)}) + "\n")
        return told(self, d, category, *more, **named)

    logger.Logger.log = log
    runpy.run_path(script, run_name="__main__")


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers among the values: those of one element; what is not finite becomes null."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError):
            continue
        found[name] = None if number != number or abs(number) == float("inf") else number
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
