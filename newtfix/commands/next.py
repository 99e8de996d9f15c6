"""`newtfix` alone: what to do next in the folder where the user is."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from newtfix import report
from newtfix.work.places import AGENT, DEFAULT_TREE, tree_near


def run() -> int:
    os.getcwd()  # a folder that is not there any more looks empty
    steps = list(_steps(Path()))
    width = max(len(command) for command, _ in steps)
    for command, what in steps:
        report.out(f"  {command:<{width}}  {what}" if command else what)
    return 0


def _steps(here: Path) -> Iterator[tuple[str, str]]:
    tree = tree_near(here)
    if tree is not None:
        option = f" --tree {shlex.quote(tree)}"
        patched = (here / tree / ".newtfix").is_dir()
        where = "This folder" if tree == "." else f"The folder {tree}"
        yield "", f"{where} holds a newt-style tree{', which newtfix has patched' if patched else ''}. Next:"
        if patched:
            yield f"newtfix status{option}", "which patches are in, and where"
            yield f"newtfix verify{option}", "do its classes do what the patches promise?"
            yield f"newtfix revert --all{option}", "every byte as before"
        elif _acts(here / tree / AGENT):
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
