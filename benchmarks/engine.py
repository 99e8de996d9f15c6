"""The commands of newtfix as whole processes, beside their floors: importing LibCST, parsing the touched files."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import libcst

from .figures import Figure
from .processes import ROOT, Finished, finish
from .timing import Effort, alternate

FILES = 65  # as many as upstream's tree has
STATUS = (0, 1)  # scan answers with 1 where it finds something


def engine(effort: Effort, quick: bool) -> Iterator[Figure]:
    """Seconds of each command, and how they compare with the floor that is named.

    "again": with what an earlier command kept of the same tree; the others start from nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        _make_tree(tree)
        touched = _touched(tree)
        last: dict[str, Finished] = {}
        calls = _calls(tree, touched, last)
        if quick:
            calls = {name: calls[name] for name in ("newtfix --help", "import libcst", "parse")}
        else:
            calls |= _calls(tree, touched, last, Path(folder, "cache"))
        times = alternate(calls, effort)
    facts = {"files": FILES, "touched": len(touched)}
    for name in calls:
        floor = _floor(name)
        yield Figure(
            "engine",
            name if name != "parse" else f"parse the {len(touched)} touched files",
            "s",
            times[name].spread,
            len(times[name].seconds),
            ratio=times[floor].faster_than(times[name]) if floor and floor in times else None,
            ratio_to=FLOORS[floor] if floor and floor in times else None,
            facts=facts | ({"peak_mib": round(last[name].peak, 1)} if name in last else {}),
        )


FLOORS = {"parse": "parsing in-process", "import libcst": "import libcst", "python": "python -c pass"}


def _floor(name: str) -> str | None:
    """The contestant that says how fast `name` could be at best."""
    if name.removesuffix(" again") in ("newtfix --help", "newtfix list"):
        return "python"
    return "parse" if name.startswith("newtfix") else None


def _calls(
    tree: Path, touched: list[str], last: dict[str, Finished], cache: Path | None = None
) -> dict[str, Callable[[], object]]:
    """The contestants; the processes among them leave how they ended in `last`.

    Args:
        cache: where the commands keep what they found; they are run once. None: they keep nothing.
    """
    texts = [Path(tree, name).read_text("utf-8") for name in touched]
    kept = {"NEWTFIX_CACHE": str(cache or "")}
    again = " again" if cache else ""

    def process(name: str, *arguments: str) -> Callable[[], object]:
        def call() -> float:
            last[name] = finish(arguments, STATUS, kept)
            return last[name].seconds

        return call

    def command(*words: str, on_tree: bool = True) -> tuple[str, Callable[[], object]]:
        name = " ".join(("newtfix", *words)) + again
        return name, process(name, "-m", "newtfix", *words, *(("--tree", str(tree)) if on_tree else ()))

    def apply() -> float:
        name = f"newtfix apply --all{again}"
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "copy")
            shutil.copytree(tree, copy)
            last[name] = finish(["-m", "newtfix", "apply", "--all", "--tree", str(copy)], more=kept)
        return last[name].seconds

    commands = [
        command("diff", "--all"),
        (f"newtfix apply --all{again}", apply),
        command("scan"),
        command("list", on_tree=False),
    ]
    if cache:
        for _, call in commands:
            call()
        return dict(commands)
    return dict(
        [
            *commands,
            command("--help", on_tree=False),
            ("python", process("python", "-c", "pass")),
            ("import libcst", process("import libcst", "-c", "import libcst")),
            ("parse", lambda: [libcst.parse_module(text) for text in texts]),
        ]
    )


def _make_tree(tree: Path) -> None:
    """A copy of newt_base with more modules of environments, until there are as many files as in upstream's tree."""
    shutil.copytree(ROOT / "newt_base", tree, ignore=shutil.ignore_patterns("__pycache__", "logs"))
    more = tree / "envs" / "more"
    more.mkdir()
    models = sorted((tree / "envs").glob("[a-z]*.py"))
    for number in range(FILES - len(list(tree.rglob("*.py")))):
        shutil.copy(models[number % len(models)], more / f"suite_{number:02}.py")


def _touched(tree: Path) -> list[str]:
    """The files that the patches change."""
    answer = finish(["-m", "newtfix", "diff", "--all", "--json", "--tree", str(tree)], STATUS)
    return [file["path"] for file in json.loads(answer.output)["files"]]
