"""The folder of a run: its name and title."""

import hashlib
import re

MAX_TITLE_TASKS = 3  # tasks that are named one by one in titles
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
