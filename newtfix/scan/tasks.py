"""What a tree says about its tasks: how many it trains on, their episode lengths and action dimensions."""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from newtfix.code.syntax import parse, statements, walk
from newtfix.files import inside
from newtfix.newt.roles import Found, outline
from newtfix.scan.evaluate import ClassCode, Evaluator, Unknown
from newtfix.scan.settings import GIVEN, PRESET, Setting, Settings, constants

_TABLE = "tasks.json"
_SETS = "TASK_SET"
_WRITTEN = ("max_episode_steps", "action_dim")


@dataclass(frozen=True)
class Tasks:
    """The distinct tasks of a run; `lengths` (agent steps) and `action_dims` hold every value that is known once."""

    names: tuple[str, ...]
    lengths: tuple[int, ...] = ()
    action_dims: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def read_tasks(root: Path, sources: Mapping[str, str], settings: Settings) -> tuple[Tasks, Settings]:
    """The tasks that the settings name, and the settings with what follows from them filled in.

    An episode length or action dimension that the user gives wins; then comes `tasks.json`, in the tree or one folder
    above it, where newt keeps it; then what the code says of the task; then the tree's own defaults.
    """
    names = _names(sources, settings.get("task"))
    table, where, notes = _table(root)
    if not table and not notes:
        table, where = _in_code(sources, names)
    known = [table[name] for name in names if name in table]
    lengths, lengths_from = _facts(settings, known, where, "episode_length", ("max_episode_steps", "episode_length"))
    dims, dims_from = _facts(settings, known, where, "action_dim", ("action_dim",))
    notes += _unlisted(names, table, where)
    if names and not table and not lengths and "task" in settings.found and settings.found["task"].source == GIVEN:
        notes.append(f"nothing here tells how long the episodes of {names[0]} are: give episode_length=...")
    tasks = Tasks(names, lengths, dims, tuple(notes))
    filled = dict(settings.found)
    if lengths:
        filled["episode_length"] = Setting(max(lengths), lengths_from)
    if len(dims) == 1:
        filled["action_dim"] = Setting(dims[0], dims_from)
    filled.setdefault("world_size", Setting(1, "one process"))
    return tasks, replace(settings, found=filled)


def with_derived(settings: Settings, sources: Mapping[str, str], config: Found | None, tasks: Tasks) -> Settings:
    """The settings with those that the functions beside the dataclass fill in.

    With several tasks that is the number of environments, one for each task; and any setting whose default is none and
    whose one assignment the text gives a value for.
    """
    if config is None:
        return settings
    module = parse(sources[config.file])
    found = dict(settings.found)
    assigned = _assignments(module)
    notes = list(settings.notes)
    if (number := _num_envs(settings, assigned.get("num_envs", []), tasks)) is not None:
        given = found.get("num_envs")
        if given is not None and given.source == GIVEN and given.value != number[0]:
            notes.append(
                f"num_envs={given.value} is not used: with task={settings.get('task')}, {config.file}:{number[1]} "
                f"makes it {number[0]}, one per task"
            )
        found["num_envs"] = Setting(number[0], f"{config.file}:{number[1]}, one per task")
    for name, places in assigned.items():
        empty = name in settings.names and found.get(name, Setting(None, "")).value is None
        if not empty or len(places) > 1 or places[0].guarded:
            continue
        values = {key: setting.value for key, setting in found.items()}
        with suppress(Unknown):
            value = Evaluator(values, ClassCode(), constants(module)).number(places[0].value)
            found[name] = Setting(value, f"{config.file}:{places[0].line}")
    return replace(settings, found=found, notes=tuple(notes))


# --- names ------------------------------------------------------------------------------------------------------------


def _names(sources: Mapping[str, str], task: Any) -> tuple[str, ...]:
    """The tasks of a set that the tree defines, of a list with commas between, or the one task."""
    given = task if isinstance(task, list) else str(task).split(",") if task is not None else []
    sets = _sets(sources)
    names = [name for item in given for name in sets.get(str(item).strip(), (str(item).strip(),))]
    return tuple(dict.fromkeys(name for name in names if name))


def _sets(sources: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for file, text in sources.items():
        if not file.endswith(".py") or _SETS not in text or outline(text).error:
            continue
        table = constants(parse(text)).get(_SETS)
        for key, value in zip(table.keys, table.values, strict=True) if isinstance(table, ast.Dict) else ():
            if isinstance(key, ast.Constant):
                found[str(key.value)] = _strings(value)
    return found


def _strings(node: ast.expr) -> tuple[str, ...]:
    """The strings in a list of them, or in one that is split."""
    values = (part.value for part in walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str))
    split = any(isinstance(part, ast.Attribute) and part.attr == "split" for part in walk(node))
    return tuple(name for value in values for name in (value.split() if split else [value]))


# --- lengths and dimensions -------------------------------------------------------------------------------------------


def _table(root: Path) -> tuple[dict[str, Any], str, list[str]]:
    """What `tasks.json` says by task, where it is, and what is wrong with it."""
    home = root.resolve()
    for folder, name in ((home, _TABLE), (home.parent, f"../{_TABLE}")):
        try:
            data = json.loads(inside.read(folder, _TABLE))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError) as problem:
            return {}, name, [f"{name} is not read: {problem}"]
        tasks = data if isinstance(data, dict) else {}
        return {task: entry for task, entry in tasks.items() if isinstance(entry, dict)}, name, []
    return {}, "", []


def _in_code(sources: Mapping[str, str], names: Sequence[str]) -> tuple[dict[str, Any], str]:
    """What the code says of these tasks, `table["walker-walk"] = {"action_dim": 6}`, and where, if it does of all."""
    found: dict[str, Any] = {}
    where = ""
    for file, text in sources.items():
        if file.endswith(".py") and any(key in text for key in _WRITTEN) and not outline(text).error:
            for node in statements(text):
                task, entry = _entry(node)
                if task in names and entry:
                    found[task], where = entry, f"{file}:{getattr(node, 'lineno', 1)}"
    return (found, where) if names and len(found) == len(names) else ({}, "")


def _entry(node: ast.AST) -> tuple[str, dict[str, Any]]:
    """A task and its facts, where a statement writes down some."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Dict) or len(node.targets) != 1:
        return "", {}
    target, value = node.targets[0], node.value
    name = target.slice.value if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant) else ""
    pairs = [(k.value, v.value) for k, v in zip(value.keys, value.values, strict=True)
             if isinstance(k, ast.Constant) and isinstance(v, ast.Constant)]  # fmt: skip
    facts = {str(key): fact for key, fact in pairs if key in _WRITTEN}
    return str(name), facts


def _facts(
    settings: Settings, known: Sequence[Mapping[str, Any]], where: str, name: str, keys: Sequence[str]
) -> tuple[tuple[int, ...], str]:
    """All different values of one fact, sorted, and where they stand."""
    if settings.source(name) == GIVEN:
        return _distinct([settings.get(name)]), GIVEN
    if values := _distinct([entry.get(key) for entry in known for key in keys]):
        return values, where
    several = settings.get(f"{name}s")
    if values := _distinct(several if isinstance(several, list) else []):
        return values, settings.source(f"{name}s")
    return _distinct([settings.get(name)]), settings.source(name)


def _distinct(values: Sequence[Any]) -> tuple[int, ...]:
    return tuple(sorted({int(value) for value in values if isinstance(value, (int, float)) and value > 0}))


def _unlisted(names: Sequence[str], table: Mapping[str, Any], where: str) -> list[str]:
    missing = [name for name in names if name not in table]
    if not table or not missing:
        return []
    close = difflib.get_close_matches(missing[0], table, n=1) if len(names) == 1 else []
    guess = f"; did you mean {close[0]}?" if close else ""
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return [f"{where} has no task {missing[0]}{more}{guess}"]


# --- settings that the tree fills in ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Assignment:
    """`cfg.NAME = value` in a function; `only`: the task it is for, "" where it is for any; `guarded`: by some `if`."""

    value: ast.expr
    line: int
    only: str = ""
    guarded: bool = False


def _assignments(module: ast.Module) -> dict[str, list[_Assignment]]:
    found: dict[str, list[_Assignment]] = {}

    def visit(node: ast.AST, only: str, guarded: bool) -> None:
        if isinstance(node, ast.If):
            for part in node.body:
                visit(part, _task_asked_for(node.test) or only, True)
            for part in node.orelse:
                visit(part, only, True)
            return
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                    found.setdefault(target.attr, []).append(_Assignment(node.value, node.lineno, only, guarded))
        for child in ast.iter_child_nodes(node):
            visit(child, only, guarded)

    for statement in module.body:
        if isinstance(statement, ast.FunctionDef):
            visit(statement, "", False)
    return found


def _task_asked_for(test: ast.expr) -> str:
    """The name where a test is `cfg.task == 'name'`."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
        left, right = test.left, test.comparators[0]
        if isinstance(left, ast.Attribute) and left.attr == "task" and isinstance(right, ast.Constant):
            return str(right.value)
    return ""


def _num_envs(settings: Settings, places: Sequence[_Assignment], tasks: Tasks) -> tuple[int, int] | None:
    """The number of environments per process where the tree makes it the number of tasks, and the line that does."""
    processes = settings.get("world_size")
    own_word = settings.source("num_envs") == GIVEN or PRESET in settings.source("num_envs")
    for place in places:
        applies = place.only == settings.get("task") if place.only else len(tasks.names) > 1 and not own_word
        if applies and "tasks" in ast.unparse(place.value) and isinstance(processes, int) and processes > 0:
            return max(1, len(tasks.names) // processes), place.line
    return None
