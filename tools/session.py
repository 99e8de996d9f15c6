"""Draws docs/session.svg: a terminal in which newtfix looks at a small tree, patches it and takes that back."""

from __future__ import annotations

import io
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs/session.svg"
TREE = "my_newt"
COLUMNS = 80
# What is typed, and how many lines of the answer are shown.
SESSION = (
    (f"newtfix scan --tree {TREE}", 18),
    (f"newtfix apply --all --tree {TREE}", 4),
    (f"newtfix status --tree {TREE}", 8),
    (f"newtfix revert --all --tree {TREE}", 18),
)


def answer(command: str, folder: Path) -> str:
    """What a command prints on a terminal, in its colours."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "LINES": "50", "TERM": "xterm-256color", "NO_COLOR": ""}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    process = subprocess.Popen(command.split(), cwd=folder, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    parts = []
    try:
        while part := os.read(leader, 65536):
            parts.append(part)
    except OSError:  # the other end is closed
        pass
    process.wait()
    os.close(leader)
    return b"".join(parts).decode().replace("\r\n", "\n").rstrip("\n")


def draw(path: Path) -> None:
    """Run the session in a folder of its own and write the picture."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "newt_base", folder / TREE, ignore=shutil.ignore_patterns("__pycache__"))
        for command, shown in SESSION:
            console.print(Text(f"$ {command}", "bold"))
            lines = answer(command, folder).split("\n")
            for line in lines[:shown]:
                console.print(Text.from_ansi(line), soft_wrap=False)
            if len(lines) > shown:
                console.print(Text(f"... {len(lines) - shown - 1} more lines", "dim"))
                console.print(Text.from_ansi(lines[-1]))
            console.print()
    svg = console.export_svg(title="newtfix", theme=MONOKAI, unique_id="session")
    path.write_text(re.sub(r"(?s)@font-face \{.*?\}\s*", "", svg))


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
