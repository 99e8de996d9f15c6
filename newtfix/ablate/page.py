"""The report as one HTML page that needs nothing else: no scripts, no network."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import combinations
from pathlib import Path
from typing import Any

from newtfix.ablate import figures
from newtfix.ablate.findings import Findings
from newtfix.ablate.runs import Folder
from newtfix.ablate.scores import Curve, curve, read_metrics
from newtfix.ablate.sentences import answer, notes
from newtfix.ablate.stages import screen_runs
from newtfix.ablate.tables import Table, along_table, arm_table, facts, failed_table, pair_table, verdict_table
from newtfix.ablate.words import power_lines

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #111; background: #fff; margin: 0 auto; max-width: 46rem;
  padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; line-height: 1.25; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.answer { border-left: 4px solid #111; padding: .2rem 0 .2rem .9rem; font-size: 1.1rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; overflow-wrap: normal; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid #ccc; vertical-align: top; }
th { border-bottom: 2px solid #111; } td:first-child { min-width: 6.5rem; }
td.n { white-space: nowrap; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; } figcaption { font-size: .9rem; color: #333; } svg { width: 100%; height: auto; }
.facts th { border: 0; white-space: nowrap; font-weight: 600; } .facts td { border: 0; }
@media (max-width: 30rem) { body { font-size: 15px; padding: .7rem; } .facts th { white-space: normal; }
  .stack thead { display: none; } .stack tr { display: block; border-bottom: 1px solid #111; padding: .4rem 0; }
  .stack td { display: block; border: 0; padding: 0; white-space: normal; }
  .stack td:empty { display: none; } .stack td:first-child { font-weight: 600; }
  .stack td[data-name]:not(:first-child)::before { content: attr(data-name) ": "; color: #555; } }
@media print { body { max-width: none; } }
"""


def page(found: Findings, folder: Path) -> str:
    """The whole page."""
    title = f"Which patches matter: {found.plan.task}"
    body = "\n".join(_body(found, folder, title))
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<title>{escape(title)}</title><style>{_STYLE}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def _body(found: Findings, folder: Path, title: str) -> Iterator[str]:
    yield f"<h1>{escape(title)}</h1>\n<p class=answer>{escape(answer(found))}</p>"
    if said := notes(found):
        yield f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in said)}</ul>"
    yield _figure(figures.forest(found), _forest_words(found))
    yield _table(verdict_table(found))
    main = [arm for arm in found.arms if arm.patches in _main(found)]
    yield _figure(figures.curves(main), "Training return: IQM over the seeds; the band is its 95% interval.", "Curves")
    single = [arm for arm in found.arms if arm.patches not in _main(found)]
    for start in range(0, len(single), 3):
        group = [*main[:1], *single[start : start + 3]]
        yield _figure(figures.curves(group), "Other sets of patches beside the first of those above.")
    yield _figure(
        figures.by_factor(found, _by_factor(found, folder)),
        "Every patch of the screen: IQM of all runs that have it (solid) and all that don't (dashed).",
    )
    yield _table(along_table(found), "When in a run a patch matters. One look among many: it decides nothing.")
    yield from _interactions(found)
    yield _table(
        pair_table(found),
        "Evidence is an e-value: one may look at it after every run. It decides where it "
        "reaches the last column. Intervals describe; they decide nothing.",
    )
    yield _table(
        arm_table(found),
        "IQM with the interval of the bootstrap over the seeds; the last column is the "
        "probability that a run of the set beats one of base.",
    )
    yield _figure(figures.profiles(main), "The share of runs above each return.")
    yield _table(failed_table(found))
    yield f"<h2>Power</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in power_lines(found.plan))}</ul>"
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts(found, folder))
    yield f"<h2>Settings</h2><table class=facts>{rows}</table>"


def _main(found: Findings) -> list[tuple[str, ...]]:
    return [tuple(sorted(found.plan.on)), found.plan.all, found.plan.gated]


def _forest_words(found: Findings) -> str:
    gate = f", {', '.join(found.plan.gates)} being on" if found.plan.gates and found.plan.blocks else ""
    return (
        f"What each patch adds{gate}, with 95% intervals. Filled: a verdict; hollow: undecided (circle) or too small "
        "to matter (square). An interval by itself is no verdict."
    )


def _by_factor(found: Findings, folder: Path) -> dict[str, tuple[list[Curve], list[Curve]]]:
    """The training curves of a screen's runs with and without each factor."""
    runs = [(run, curve(read_metrics(Folder(folder, run).path), "train")) for run in screen_runs(found.plan)]
    known = [(run, line) for run, line in runs if line]
    return {
        name: (
            [line for run, line in known if name in run.patches],
            [line for run, line in known if name not in run.patches],
        )
        for name in found.plan.factors
    }


def _interactions(found: Findings) -> Iterator[str]:
    """The three pairs of the largest effects."""
    top = sorted(
        (one for one in found.verdicts if one.patch in found.plan.factors and one.effect is not None),
        key=lambda one: -abs(one.effect or 0.0),
    )[:3]
    scores = [
        (tuple(row["patches"]), row["score"])
        for row in found.runs
        if row["score"] is not None and row["stage"] in ("screen", "full", "confirm")
    ]
    for number, pair in enumerate(combinations([one.patch for one in top], 2)):
        picture = figures.interaction(found, pair, scores)
        words = f"{pair[0]} and {pair[1]}: parallel lines add up, others act together."
        yield _figure(picture, words, "Interactions of the largest effects" if number == 0 else "")


def _figure(figure: Any, words: str, title: str = "") -> str:
    if figure is None:
        return ""
    head = f"<h2>{escape(title)}</h2>" if title else ""
    return f"{head}<figure>{figures.as_svg(figure)}<figcaption>{escape(words)}</figcaption></figure>"


def _table(table: Table, words: str = "") -> str:
    if not table.rows:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in table.head)
    rows = "".join(
        f"<tr>{''.join(_cell(n, c) for n, c in zip(table.head, row, strict=True))}</tr>" for row in table.rows
    )
    said = f"<p>{escape(words)}</p>" if words else ""
    return (
        f"<h2>{escape(table.title)}</h2>{said}<div class=wide><table class=stack><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cell(name: str, text: str) -> str:
    number = " class=n" if text[:1] in "+-<0123456789" and text else ""
    return f'<td{number} data-name="{escape(name)}">{escape(text)}</td>'
