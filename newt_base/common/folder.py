"""The folder of a run: its name and title, and the lock that keeps a second run out of it."""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import socket
import time
from pathlib import Path

from .settings import ConfigError

MAX_TITLE_TASKS = 3  # tasks that are named one by one in titles
LOCK = ".lock"
MAX_FOLDER = 64  # characters of a list of tasks that still make a folder's name


def title_of(task, names):
    """The tasks for people: their names, or how many there are of them."""
    if len(names) > MAX_TITLE_TASKS:
        return f"{task if ',' not in task else names[0] + ' and others'} ({len(names)} tasks)"
    return ", ".join(name if ":" in name else name.replace("-", " ").title() for name in names)


def file_name(task):
    """The name of a task as that of a file: gym:my_envs:Point-v0 is gym-my_envs-Point-v0."""
    return re.sub(r"[:/]", "-", task)


def name_of(task):
    """A folder's name for `task`: itself, or for a long list its first task, how many more, and a hash of them all."""
    task = file_name(task)
    if len(task) <= MAX_FOLDER:
        return task.replace(",", "+")
    items = task.split(",")
    return f"{items[0]}+{len(items) - 1}-more-{hashlib.sha256(task.encode()).hexdigest()[:8]}"


@contextlib.contextmanager
def held(folder, rank=0):
    """While entered, rank 0 has the folder for itself. Raises ConfigError where it can't be written, or has an owner.

    The lock ends with the process, however that ends; workers do not inherit it. What is empty at the end goes.
    """
    if rank > 0:
        yield
        return
    folder = Path(folder)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    lock = folder / LOCK
    handle = _opened(folder, lock)
    try:
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%F %T')}".encode())
        yield
    finally:
        with contextlib.suppress(OSError):
            lock.unlink()
        os.close(handle)
        with contextlib.suppress(OSError):
            for path in made:
                path.rmdir()


def _opened(folder, lock):
    """The locked file. Whoever had it before may remove it in between, so it must be the one that is still there."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            problem = f"out_dir: {folder} cannot be written ({error.strerror})"
            raise ConfigError("out_dir", str(folder), problem, "out_dir=FOLDER for a folder of your own") from error
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(handle, 200).decode(errors="replace")
            os.close(handle)
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise ConfigError(
                    "out_dir", str(folder), f"out_dir: {folder} takes no lock ({error.strerror})"
                ) from error
            problem = f"another run is in {folder}: {owner or 'a process that does not say which'}"
            raise ConfigError(
                "exp_name", None, problem, "wait for its end, or give this run an exp_name of its own"
            ) from error
        with contextlib.suppress(OSError):
            if os.stat(lock).st_ino == os.fstat(handle).st_ino:
                return handle
        os.close(handle)
