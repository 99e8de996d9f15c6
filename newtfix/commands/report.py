"""`newtfix report`: says what the runs of an ablation show."""

from __future__ import annotations

from pathlib import Path

from newtfix import report
from newtfix.ablate import conduct
from newtfix.ablate.findings import Findings, find
from newtfix.ablate.sentences import answer, notes
from newtfix.ablate.study import read_plan, write_text
from newtfix.ablate.tables import filled, pair_table, verdict_table
from newtfix.running import require_libraries


def run(folder: Path, html: Path | None, pictures: Path | None, markdown: bool, as_json: bool) -> int:
    plan = read_plan(folder)
    require_libraries("a report", ("numpy", "scipy", "matplotlib"))
    found = find(folder, plan)
    conduct.collect(folder, plan)
    if html is not None:
        from newtfix.ablate.page import page

        write_text(html, page(found, folder))
        report.say(f"{html}: the report as a page.")
    if pictures is not None:
        draw(found, pictures)
    if as_json:
        from newtfix.ablate.data import as_data

        report.emit_json(as_data(found))
    elif markdown:
        from newtfix.ablate.markdown import document

        report.out(document(found, folder))
    else:
        _print(found)
    return 0


def draw(found: Findings, folder: Path, prefix: str = "") -> None:
    """The pictures that a README shows."""
    from newtfix.ablate import figures

    folder.mkdir(parents=True, exist_ok=True)
    main = [arm for arm in found.arms if arm.label in ("base", "all")]
    drawn = {"curves.png": figures.curves(main, found.plan.task), "forest.png": figures.forest(found)}
    for name, figure in drawn.items():
        if figure is not None:
            figures.save_png(figure, folder / f"{prefix}{name}")
            report.say(f"{folder / f'{prefix}{name}'}")


def _print(found: Findings) -> None:
    report.out(answer(found))
    for table in filled([verdict_table(found), pair_table(found)]):
        report.out()
        report.table(table.head, table.rows)
    for line in notes(found):
        report.out(line)
