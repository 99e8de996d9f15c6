"""Writes the results in docs/evidence.md, and its pictures, from the raw results in docs/evidence.

A file NAME.jsonl there is a study: its plan, and what the done-file of each run says, a line each. The lines of the
page between `<!-- NAME -->` and `<!-- end -->` are what `newtfix report` says of it. `--check` writes nothing, and
fails where these are not up to date. `pack STUDY NAME` writes the raw results of the study in a folder.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from newtfix.ablate import conduct
from newtfix.ablate.findings import Findings, find
from newtfix.ablate.markdown import rows
from newtfix.ablate.runs import DONE, Folder
from newtfix.ablate.sentences import answer, notes
from newtfix.ablate.study import PLAN, RUNS, read_lines, read_plan, write_json, write_lines, write_text
from newtfix.ablate.tables import along_table, arm_table, filled, pair_table, verdict_table
from newtfix.commands.report import draw

ROOT = Path(__file__).resolve().parents[1]
PAGE, RAW = ROOT / "docs/evidence.md", ROOT / "docs/evidence"
_PART = re.compile(r"(<!-- ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pack(study: Path, raw: Path) -> int:
    """Write the raw results of a study that is done as far as it is; return the number of runs."""
    plan = json.loads((study / PLAN).read_text("utf-8"))
    done = [one for run in conduct.current(study, read_plan(study)).runs if (one := Folder(study, run).done)]
    raw.parent.mkdir(exist_ok=True)
    write_text(raw, "".join(json.dumps(one) + "\n" for one in (plan, *done)))
    return len(done)


def restored(raw: Path, study: Path) -> Findings:
    """What raw results show, as the folder of a study that holds them."""
    plan, *done = read_lines(raw)[0]
    write_json(study / PLAN, plan)
    for one in done:
        folder = study / RUNS / one["id"]
        curves = (("train", one["training"]), ("eval", one["evaluations"]))
        metrics = [{"category": what, "step": x, "episode_reward": y} for what, line in curves for x, y in line]
        (folder / "out").mkdir(parents=True)
        write_lines(folder / "out" / "metrics.jsonl", metrics)
        write_json(folder / DONE, one)
    return find(study, read_plan(study))


def told(found: Findings) -> Iterator[str]:
    """The results of a study, in Markdown."""
    yield from ("", answer(found), "")
    if said := notes(found):
        yield from (*(f"- {line}" for line in said), "")
    single = [] if found.plan.design == "pairs" else [verdict_table(found), along_table(found)]
    for table in filled([*single, pair_table(found), arm_table(found)]):
        yield from (f"{table.title}:", "", *rows(table), "")


def page(pictures: bool) -> str:
    """docs/evidence.md as it should be. Writes the pictures too, where asked."""

    def part(match: re.Match[str]) -> str:
        with tempfile.TemporaryDirectory() as folder:
            found = restored(RAW / f"{match[2]}.jsonl", Path(folder))
        if pictures:
            draw(found, RAW, f"{match[2]}-")
        return match[1] + "\n".join(told(found)) + match[3]

    return _PART.sub(part, PAGE.read_text("utf-8"))


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["pack"]:
        print(f"{pack(Path(arguments[1]), RAW / f'{arguments[2]}.jsonl')} runs in docs/evidence/{arguments[2]}.jsonl")
        return 0
    text = page(pictures=arguments != ["--check"])
    if arguments == ["--check"]:
        same = PAGE.read_text("utf-8") == text
        print("docs/evidence.md is up to date" if same else "docs/evidence.md: make pages writes it again")
        return 0 if same else 1
    PAGE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
