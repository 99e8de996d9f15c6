"""What the commands that run a tree share: how its modules are imported, which libraries that takes, and its confines.

Run as a script it is the process in which a tree is looked at: without network where the system can do that, with
limits for memory and files, in a scratch folder. The tree comes on the module path once all of that holds.
"""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import newtfix
from newtfix.errors import NewtfixError
from newtfix.files import inside, state
from newtfix.files.confines import confine

_DATA_LIMIT = 4 * inside.MEBIBYTE  # of one file beside the modules of a tree that it may read
_SAID_LIMIT = 64 * inside.MEBIBYTE
_RELATIVE_IMPORT = re.compile(r"^\s*from\s+\.", re.MULTILINE)


@dataclass(frozen=True)
class Importable:
    """What goes first on the module path, and the package that the tree's modules are in ("": in none)."""

    path: Path
    package: str


@contextmanager
def importable(root: Path, text: str) -> Iterator[Importable]:
    """Where to find the modules of a tree: it is a package if `text`, one of its modules, has relative imports.

    A package needs a name: a folder whose own name cannot be imported gets one through a link.
    """
    root = root.resolve()
    if not _RELATIVE_IMPORT.search(text):
        yield Importable(root, "")
    elif root.name.isidentifier() and not keyword.iskeyword(root.name):
        yield Importable(root.parent, root.name)
    else:
        with tempfile.TemporaryDirectory(prefix="newtfix-") as folder:
            name = "tree_" + re.sub(r"\W", "_", root.name)
            Path(folder, name).symlink_to(root, target_is_directory=True)
            yield Importable(Path(folder), name)


def environment(first: Path | None, last: Path | None = None) -> dict[str, str]:
    """This process's environment, with folders added in front of its module path and behind it."""
    found = dict(os.environ)
    before = found.get("PYTHONPATH")
    folders = [str(first) if first else None, before or None, str(last) if last else None]
    if any(folders):
        found["PYTHONPATH"] = os.pathsep.join(folder for folder in folders if folder)
    return found


OURS = "Install the trainer's libraries: pip install 'newtfix[train]'"
ALONE = "; then, as this Python has no labmaze: pip install --no-deps dm_control"


_PACKAGES = {
    "hydra": "hydra-core",
    "yaml": "pyyaml",
    "cv2": "opencv-python",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
}


def require_libraries(purpose: str, names: Sequence[str], hint: str = OURS) -> None:
    """Raise NewtfixError with the libraries that this Python lacks; their packages stand for `...` in a hint."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    hint = hint.replace("...", " ".join(_PACKAGES.get(name, name) for name in missing))
    if missing:
        raise NewtfixError(
            f"{purpose} needs {', '.join(missing)}, which this Python does not have",
            where=sys.executable,
            hint=hint + ALONE if hint == OURS and "dm_control" in missing and sys.version_info >= (3, 13) else hint,
        )


def first_run_note(root: Path, how: str) -> str:
    """What is said before the code of a tree runs for the first time; nothing from then on."""
    return f"{how} runs the code of {root.resolve()}. This is said once for each tree." if state.first_run(root) else ""


def start_confined(module: str, folder: Path, found: Importable, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a module of newtfix on a tree, confined; what it prints goes to `said.txt` in the folder.

    Args:
        folder: a temporary one, which the module gets as its argument; the scratch folder is in it.
    """
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    if not found.package:
        _copy_data(found.path, scratch)
    with (folder / "said.txt").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-B", "-P", __file__, module, str(folder), str(found.path)],
            cwd=scratch,
            env={**environment(None, last=Path(newtfix.__file__).resolve().parents[1]), **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end_confined(process: subprocess.Popen[bytes]) -> None:
    """End such a process, if it has not ended, and all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, 9)
    process.wait()


def last_words(folder: Path, count: int) -> list[str]:
    """The last lines that such a process printed."""
    with suppress(OSError):
        text = inside.read(folder, "said.txt", _SAID_LIMIT).decode("utf-8", "replace")
        return text.strip().splitlines()[-count:]
    return []


def _copy_data(root: Path, scratch: Path) -> None:
    """Copy what a tree may read by names relative to its own folder: small files that are no modules."""
    for name in inside.names(root, ""):
        if not name.startswith(".") and not name.endswith((".py", ".pyc")):
            with suppress(OSError):
                (scratch / name).write_bytes(inside.read(root, name, _DATA_LIMIT))


def _main(module: str, folder: str, first: str) -> None:
    scratch = str(Path(folder, "scratch"))
    confine()
    os.environ.update({"HOME": scratch, "TMPDIR": scratch, "XDG_CACHE_HOME": scratch, "MPLCONFIGDIR": scratch})
    sys.path.insert(0, first)
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in (first, os.environ.get("PYTHONPATH")) if path)
    sys.argv = [module, folder]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
