"""`newtfix` alone: what to do next in the folder where the user is."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from newtfix import report
from newtfix.files import inside
from newtfix.files.tree import SOURCE_LIMIT
from newtfix.work.session import DEFAULT_TREE

_OWN = "newt_base"  # which is patched as a copy
_AGENT = "tdmpc2.py"


def run() -> int:
    os.getcwd()  # a folder that is not there any more looks empty
    steps = list(_steps(Path()))
    width = max(len(command) for command, _ in steps)
    for command, what in steps:
        report.out(f"  {command:<{width}}  {what}" if command else what)
    return 0


def _steps(here: Path) -> Iterator[tuple[str, str]]:
    tree = _tree_near(here)
    if tree is not None:
        option = f" --tree {shlex.quote(tree)}"
        patched = (here / tree / ".newtfix").is_dir()
        where = "This folder" if tree == "." else f"The folder {tree}"
        yield "", f"{where} holds a newt-style tree{', which newtfix has patched' if patched else ''}. Next:"
        if patched:
            yield f"newtfix status{option}", "which patches are in, and where"
            yield f"newtfix verify{option}", "do its classes do what the patches promise?"
            yield f"newtfix revert --all{option}", "every byte as before"
        elif _acts(here / tree / _AGENT):
            yield f"newtfix scan{option}", "what it has of the fixes; it has TD-MPC2's layout, which patches don't fit"
        else:
            yield f"newtfix scan{option}", "what is wrong in it, and where"
            yield f"newtfix diff --all --fitting{option}", "what would change"
            yield f"newtfix apply --all --fitting{option}", "patch it, reversibly"
    elif (here / DEFAULT_TREE).is_dir():
        yield "", f"{DEFAULT_TREE} is here, a copy of newt_base. Next:"
        yield "newtfix status", "which patches are in, and where"
        yield "newtfix train task=walker-walk preset=cpu", "train it, in minutes"
        yield "newtfix revert --all", "every byte as before"
    else:
        yield "", "No newt-style tree is here. Next, with your own, or with one that comes along:"
        yield "newtfix scan --tree ~/newt/tdmpc2", "what is wrong in your checkout"
        yield "newtfix apply --all", "patch a copy of newt_base"
        yield "newtfix show seeding", "what one patch does, and why"
    yield "", ""
    yield "newtfix --help", "all commands"


def _acts(agent: Path) -> bool:
    """Whether an agent has `act` in the place of newt's `forward`."""
    text = agent.read_text(errors="replace")
    return "def act(" in text and "def forward(" not in text


def _stores(file: Path) -> bool:
    """Whether a file has a trainer's method that makes rows."""
    with suppress(OSError):
        return file.is_file() and b"def to_td(" in inside.read_named(file, SOURCE_LIMIT)
    return False


def _tree_near(here: Path) -> str | None:
    """The folder of a tree: this one, or one right below."""
    below = sorted(path for path in here.iterdir() if path.is_dir() and not path.name.startswith("."))
    for folder in (here, *below):
        trains = (folder / _AGENT).is_file() and any(map(_stores, (*folder.glob("*.py"), *folder.glob("trainer/*.py"))))
        if trains and folder.name not in (DEFAULT_TREE.name, _OWN):
            return folder.as_posix()
    return None
