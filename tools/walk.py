"""Runs the commands of a page and writes what they print into it: `walk.py docs/newt-exp.md --tree newt-exp=FOLDER`.

Every `sh` block that a `text` block follows is run in a folder of its own, with a copy of FOLDER under that name; the
text becomes its output. Blocks without a text behind them are left alone.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PAIR = re.compile(r"(^```sh\n(?P<code>(?:(?!^```).)*?)^```\n\n```text\n)(?P<told>.*?)(^```$)", re.M | re.S)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--tree", required=True, metavar="NAME=FOLDER")
    args = parser.parse_args()
    name, _, source = args.tree.partition("=")
    text = args.page.read_text("utf-8")
    with tempfile.TemporaryDirectory(prefix="newtfix-walk-") as folder:
        shutil.copytree(source, Path(folder, name), ignore=shutil.ignore_patterns(".git", ".newtfix", "__pycache__"))
        args.page.write_text(walked(text, Path(folder)), "utf-8")
    return 0


def walked(text: str, folder: Path) -> str:
    """The page with the output of its commands, run one after the other in `folder`."""
    return _PAIR.sub(lambda found: f"{found[1]}{_output(found['code'], folder)}{found[4]}", text)


def _output(code: str, folder: Path) -> str:
    """What a block prints, both streams; trailing blanks and progress bars are left out."""
    print(code, end="", file=sys.stderr, flush=True)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    variables = {**os.environ, "PATH": path, "NEWTFIX": str(ROOT), "COLUMNS": "120"}
    done = subprocess.run(
        ["bash", "-c", code], cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    said = done.stdout.decode("utf-8", "replace").replace(f"{folder.resolve()}/", "")
    lines = [line.rpartition("\r")[2].rstrip() for line in said.splitlines()]
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
