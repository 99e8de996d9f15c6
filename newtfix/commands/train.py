"""`newtfix train`: runs the trainer of a tree in a process of its own."""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from newtfix import report
from newtfix.errors import NewtfixError, TreeError
from newtfix.session import Target, find_target

_NEEDED = ("torch", "tensordict", "gymnasium", "dm_control", "mujoco", "omegaconf", "matplotlib", "tqdm", "numpy")
_RELATIVE_IMPORT = re.compile(r"^\s*from\s+\.", re.MULTILINE)


@dataclass(frozen=True)
class _Launch:
    """A command line for the interpreter, its folder, and what goes first on the module path."""

    arguments: tuple[str, ...]
    folder: Path | None
    path: Path | None


def run(arguments: Sequence[str], tree: Path | None) -> int:
    target = find_target(tree)
    script = target.root / "train.py"
    if not script.is_file():
        raise TreeError(
            f"there is no train.py in {target.root}", hint="Give the folder that holds it: newtfix train --tree DIR"
        )
    _must_have_libraries(own=tree is None)
    report.say(f"Training with {_description(target)}.")
    with _launch(target, script) as launch:
        return _wait(launch, arguments, keep_clean=target.new)


def _description(target: Target) -> str:
    return f"newt_base itself, for there is no {target.name} yet" if target.new else str(target.root)


def _must_have_libraries(own: bool) -> None:
    """A foreign tree may need less or more than ours; torch it needs."""
    missing = [name for name in (_NEEDED if own else ("torch",)) if importlib.util.find_spec(name) is None]
    if missing:
        raise NewtfixError(
            f"training needs {', '.join(missing)}, which this Python does not have",
            where=sys.executable,
            hint="Install the trainer's libraries: pip install 'newtfix[train]'",
        )


@contextmanager
def _launch(target: Target, script: Path) -> Iterator[_Launch]:
    """A tree with relative imports runs as a package, from where the user is; any other as a script, in its folder.

    A package needs a name: a folder whose own name cannot be imported gets one through a link.
    """
    root = target.root.resolve()
    if not _RELATIVE_IMPORT.search(script.read_text("utf-8", "replace")):
        yield _Launch(("train.py",), root, None)
    elif root.name.isidentifier() and not keyword.iskeyword(root.name):
        yield _Launch(("-P", "-m", f"{root.name}.train"), None, root.parent)
    else:
        with tempfile.TemporaryDirectory(prefix="newtfix-") as folder:
            name = "tree_" + re.sub(r"\W", "_", root.name)
            Path(folder, name).symlink_to(root, target_is_directory=True)
            yield _Launch(("-P", "-m", f"{name}.train"), None, Path(folder))


def _wait(launch: _Launch, arguments: Sequence[str], keep_clean: bool) -> int:
    """The exit code of the trainer. Ctrl-C reaches it by itself; a request to end is handed on."""
    environment = dict(os.environ)
    if launch.path:
        before = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([str(launch.path), *([before] if before else [])])
    command = [sys.executable, *(["-B"] if keep_clean else []), *launch.arguments, *arguments]
    trainer = subprocess.Popen(command, cwd=launch.folder, env=environment)

    def hand_on(number: int, _: FrameType | None) -> None:
        trainer.send_signal(number)

    earlier = signal.signal(signal.SIGTERM, hand_on)
    try:
        code = _patient(trainer)
    finally:
        signal.signal(signal.SIGTERM, earlier)
    return code if code >= 0 else 128 - code


def _patient(trainer: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return trainer.wait()
        except KeyboardInterrupt:
            continue
