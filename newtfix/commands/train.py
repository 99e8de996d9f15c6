"""`newtfix train`: runs the trainer, or another script, of a tree in a process of its own."""

from __future__ import annotations

import ast
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from newtfix import report
from newtfix.errors import NewtfixError, TreeError, UsageError
from newtfix.files import inside
from newtfix.model import Add, Patch
from newtfix.patch.sections import fields
from newtfix.running import environment, first_run_note, importable, require_libraries
from newtfix.work.load import load_patches
from newtfix.work.places import builtin_patches
from newtfix.work.session import Target, find_target

_HANDED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP, signal.SIGCONT)
_PR_SET_PDEATHSIG = 1
_SIMULATORS = ("gymnasium", "dm_control", "mujoco")
_NEEDED = ("torch", "tensordict", *_SIMULATORS, "pydantic", "yaml", "matplotlib", "tqdm", "numpy")


@dataclass(frozen=True)
class _Launch:
    """A command line for the interpreter, its folder, and what goes first on the module path."""

    arguments: tuple[str, ...]
    folder: Path | None
    path: Path | None


def run(arguments: Sequence[str], tree: Path | None) -> int:
    _must_have_settings(arguments, find_target(tree))
    return run_script("train", "Training", arguments, tree)


def _must_have_settings(arguments: Sequence[str], target: Target) -> None:
    """Raise UsageError for settings that only a patch brings which is not in."""
    config = target.root / "config.py"
    if not config.is_file():
        return
    there = fields(inside.read_named(config).decode("utf-8", "replace"))
    named = {argument.partition("=")[0] for argument in arguments if "=" in argument}
    for patch in load_patches([builtin_patches()]).values() if there and named - there.keys() else ():
        if name := next(iter(sorted((named - there.keys()) & _brought(patch))), ""):
            raise UsageError(
                f"the setting {name} comes with the patch {patch.id}, which is not in {target.root.name}",
                hint=f"Put it in first: newtfix apply {patch.id}{target.option}",
            )


def _brought(patch: Patch) -> set[str]:
    """The settings that a patch adds."""
    return {
        name for edit in patch.edits if isinstance(edit, Add) and edit.role == "config" for name in fields(edit.code)
    }


def run_script(command: str, doing: str, arguments: Sequence[str], tree: Path | None, module: str = "train") -> int:
    """Run a module of the tree as a program, and return its exit code.

    Args:
        command: newtfix's name for it. doing: what it does, for messages. arguments: handed on as they are.
    """
    target = find_target(tree)
    script = target.root / f"{module}.py"
    if not script.is_file():
        raise TreeError(
            f"there is no {script.name} in {target.root}",
            hint=f"Give the folder that holds it: newtfix {command} --tree DIR",
        )
    # A foreign tree may need less or more than ours; torch it needs.
    require_libraries(doing.lower(), _NEEDED if tree is None else ("torch",))
    if tree is not None:
        own = f"Install what this tree needs, here: {sys.executable} -m pip install ..."
        require_libraries(f"{script.name} of this tree", _imports(script), own)
    report.say(f"{doing} with {_description(target)}.")
    if not target.new and (note := first_run_note(target.root, f"newtfix {command}")):
        report.say(note)
    with _launch(target, script) as launch:
        return _wait(launch, arguments, keep_clean=target.new)


def _imports(script: Path) -> list[str]:
    """The libraries that a script imports where it begins; none of a script that this Python cannot read."""
    try:
        statements = ast.parse(inside.read_named(script)).body
    except (SyntaxError, ValueError):
        return []
    names = [alias.name for one in statements if isinstance(one, ast.Import) for alias in one.names]
    names += [one.module for one in statements if isinstance(one, ast.ImportFrom) and one.module and not one.level]
    roots = dict.fromkeys(name.partition(".")[0] for name in names)
    folder = script.parent
    return [one for one in roots if not ((folder / one).exists() or (folder / f"{one}.py").exists())]


def _description(target: Target) -> str:
    return f"newt_base itself, for there is no {target.name} yet" if target.new else str(target.root)


@contextmanager
def _launch(target: Target, script: Path) -> Iterator[_Launch]:
    """A tree with relative imports runs as a package, from where the user is; any other as a script, in its folder."""
    with importable(target.root, inside.read_named(script).decode("utf-8", "replace")) as found:
        if found.package:
            yield _Launch(("-P", "-m", f"{found.package}.{script.stem}"), None, found.path)
        else:
            yield _Launch((script.name,), found.path, None)


def _wait(launch: _Launch, arguments: Sequence[str], keep_clean: bool) -> int:
    """The exit code of the trainer, which gets every signal from here: once, as it is in a process group of its own."""
    command = [sys.executable, *(["-B"] if keep_clean else []), *launch.arguments, *arguments]
    heard: list[int] = []  # before there is a trainer
    trainer: subprocess.Popen[bytes] | None = None

    def hand_on(number: int, _: FrameType | None) -> None:
        if trainer is None:
            heard.append(number)
        else:
            trainer.send_signal(number)
            if number == signal.SIGTSTP:
                os.kill(os.getpid(), signal.SIGSTOP)

    handled = [number for number in _HANDED_ON if signal.getsignal(number) is not signal.SIG_IGN]  # as nohup has it
    earlier = {number: signal.signal(number, hand_on) for number in handled}
    try:
        trainer = subprocess.Popen(
            command, cwd=launch.folder, env=environment(launch.path), process_group=0, preexec_fn=_end_with(os.getpid())
        )
        for number in heard:
            trainer.send_signal(number)
        code = trainer.wait()
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
    if code == 0 and (folder := _never_left(launch, arguments, trainer.pid)):
        problem = "the trainer ended before its run was over, and said nothing: an environment may have ended it"
        hint = "Train with env_mode=async: only the environment's own process ends then, and the run says which it was."
        raise NewtfixError(problem, str(folder), hint, exit_code=1)
    return code if code >= 0 else 128 - code


def _never_left(launch: _Launch, arguments: Sequence[str], number: int) -> Path | None:
    """The folder of a run whose lock still names the process of this number, which is gone, or None."""
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    folder = (launch.folder or Path()) / given.get("out_dir", "logs").strip()
    locks = (lock for lock in folder.glob("*/*/*/.lock") if lock.is_file())
    return next((one.parent for one in locks if inside.read_named(one).startswith(b"process %d on " % number)), None)


def _end_with(parent: int) -> Callable[[], None] | None:
    """What a child does first so that it is asked to end when `parent` is gone, killed or not; Linux only."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def follow() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(128 + signal.SIGTERM)

    return follow
