"""The settings of a tree, as its text gives them: defaults of the dataclass, YAML files, presets, the user's own."""

from __future__ import annotations

import ast
import difflib
import importlib
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newtfix.code.names import bindings
from newtfix.code.syntax import dotted, parse, walk
from newtfix.errors import UsageError
from newtfix.newt.roles import Found
from newtfix.scan.evaluate import Evaluator, Unknown

GIVEN = "command line"
PRESET = ", preset "
# Settings that newt fills in at run time, or that say what the tree's own settings leave open.
_COUNTS = ("num_envs", "world_size", "episode_length", "action_dim")
DERIVED = ("task", *_COUNTS)
_TELLING = frozenset({"horizon", "seeding_coef", "prior_coef", "batch_size", "rho", "num_envs", "num_samples", "tau"})
_DIGITS = 4_000  # of a number; Python reads no more as one
_INTEGER = re.compile(r"[+-]?\d[\d_]*")
_FLOAT = re.compile(r"[+-]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][+-]?\d+)?")
_DEEPEST = 4  # groups in a YAML file
_YAML_MODULES = ("yaml", "yaml_ft")  # PyYAML, and the fork that libcst brings to some versions of Python


@dataclass(frozen=True)
class Setting:
    """A value, and where it stands: `file:line`, or the command line."""

    value: Any
    source: str


@dataclass(frozen=True)
class Settings:
    """Settings by name; `names` are all that the tree declares, those without a value included.

    `notes`: what could not be read, and which of two places wins.
    """

    found: Mapping[str, Setting]
    names: frozenset[str]
    notes: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, Any]:
        return {name: setting.value for name, setting in self.found.items()}

    def get(self, name: str) -> Any:
        """The value, or None where there is none."""
        setting = self.found.get(name)
        return setting.value if setting else None

    def source(self, name: str) -> str:
        """Where the value stands; "" where there is none."""
        setting = self.found.get(name)
        return setting.source if setting else ""


def read_settings(sources: Mapping[str, str], config: Found | None, arguments: Sequence[str]) -> Settings:
    """The settings of a tree, with the user's `name=value` arguments on top.

    Args:
        sources: text of every file by its path. config: the file with the dataclass; None: there is none.

    Raises:
        UsageError: an argument is no `name=value`, names a setting that the tree does not have, or is text where a
            number belongs.
    """
    notes: list[str] = []
    module = parse(sources[config.file]) if config else ast.Module([], [])
    names, found = _dataclass(module, config)
    for file in _yaml_files(sources):
        read = _yaml(file, sources[file], notes)
        if len(_TELLING & read.keys()) >= 3:
            notes += _differences(found, read)
            found |= read
            names |= read.keys()
    given = {name: Setting(parse_value(text), GIVEN) for name, text in _split(arguments)}
    _must_be_known(given, names)
    _must_be_numbers(given, found)
    found |= _preset(module, config, given) | given
    return Settings(found, frozenset(names), tuple(notes))


def parse_value(text: str) -> Any:
    """What a value on the command line or in a YAML file means: a number, true, false, none, a list, or text."""
    text = text.strip()
    if text.lower() in ("", "none", "null", "~"):
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _INTEGER.fullmatch(text) and len(text) <= _DIGITS:
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    if text.startswith("[") and text.endswith("]"):
        return [parse_value(part) for part in text[1:-1].split(",") if part.strip()]
    return text.strip("'\"") if text[:1] == text[-1:] else text


# --- the dataclass ----------------------------------------------------------------------------------------------------


def _dataclass(module: ast.Module, config: Found | None) -> tuple[set[str], dict[str, Setting]]:
    """The fields of the class and of its bases in the same file: all names, and the defaults that the text gives.

    What is set anew once an instance is made has that value, or none that is known.
    """
    evaluator = Evaluator({}, constants=constants(module))
    names: set[str] = set()
    found: dict[str, Setting] = {}
    for node in _lineage(module, config.cls if config else None):
        fields = list(_fields(node))
        names |= {name for name, _, _ in fields}
        for name, value, line in (*fields, *_set_anew(node)):
            try:
                found[name] = Setting(evaluator.value(_default(value)), f"{config.file if config else ''}:{line}")
            except Unknown:
                found.pop(name, None)
    return names, found


def _set_anew(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr | None, int]]:
    """What `__post_init__` gives to fields: the value, or None where that depends on something."""
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__post_init__":
            for part in walk(method):
                for target, value, whole in bindings(part):
                    owner, _, name = dotted(target).rpartition(".")
                    if owner == "self":
                        yield name, value if whole and part in method.body else None, target.lineno


def constants(module: ast.Module) -> dict[str, ast.expr]:
    """What a module assigns once to names of its own."""
    values: dict[str, ast.expr] = {}
    twice: set[str] = set()
    for node in module.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.expr):
            twice |= {target.id} & values.keys()
            values[target.id] = value
    return {name: value for name, value in values.items() if name not in twice}


def _lineage(module: ast.Module, name: str | None) -> list[ast.ClassDef]:
    """The class of that name behind its bases."""
    classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    found: list[ast.ClassDef] = []
    pending = [name] if name else []
    while pending:
        node = classes.pop(pending.pop(0) or "", None)
        if node is not None:
            found.insert(0, node)
            pending += [base.id for base in node.bases if isinstance(base, ast.Name)]
    return found


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr | None, int]]:
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id, statement.value, statement.lineno
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            yield statement.targets[0].id, statement.value, statement.lineno


def _default(value: ast.expr | None) -> ast.expr:
    """The default itself where it is wrapped in `field(...)`."""
    if value is None:
        raise Unknown
    if not isinstance(value, ast.Call):
        return value
    for keyword in value.keywords:
        if keyword.arg == "default":
            return keyword.value
        if keyword.arg == "default_factory" and isinstance(keyword.value, ast.Lambda):
            return keyword.value.body
    return value


# --- YAML -------------------------------------------------------------------------------------------------------------


def _yaml_files(sources: Mapping[str, str]) -> list[str]:
    """The YAML files at the top, the one named config last: it wins."""
    files = [file for file in sources if file.endswith((".yaml", ".yml")) and "/" not in file]
    return sorted(files, key=lambda file: (file.startswith("config."), file))


def _yaml(file: str, text: str, notes: list[str]) -> dict[str, Setting]:
    """The scalars and lists of a file by the names of their keys, whatever groups they are in; objects are not made."""
    yaml = _yaml_module()
    if yaml is None:
        notes.append(f"{file} is not read: this Python has no PyYAML (pip install pyyaml)")
        return {}
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        return {name: Setting(value, f"{file}:{line}") for name, value, line in _leaves(yaml, root, _DEEPEST)}
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        notes.append(f"{file}{line} is not read: {getattr(problem, 'problem', None) or 'no YAML'}")
        return {}


def _yaml_module() -> Any:
    for name in _YAML_MODULES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _leaves(yaml: Any, node: Any, depth: int) -> Iterator[tuple[str, Any, int]]:
    if not isinstance(node, yaml.MappingNode) or not depth:
        return
    for key, value in node.value:
        if isinstance(value, yaml.MappingNode):
            yield from _leaves(yaml, value, depth - 1)
        elif isinstance(key, yaml.ScalarNode) and _is_plain(yaml, value):
            yield key.value, _plain(yaml, value), key.start_mark.line + 1


def _is_plain(yaml: Any, node: Any) -> bool:
    """Whether a node is a value by itself: not one that is filled in later (`???`) or taken from elsewhere (`${x}`)."""
    if isinstance(node, yaml.SequenceNode):
        return all(isinstance(part, yaml.ScalarNode) and _is_plain(yaml, part) for part in node.value)
    return isinstance(node, yaml.ScalarNode) and node.value != "???" and "${" not in node.value


def _plain(yaml: Any, node: Any) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [_plain(yaml, part) for part in node.value]
    return node.value if node.style in ("'", '"') else parse_value(node.value)


def _differences(before: Mapping[str, Setting], after: Mapping[str, Setting]) -> Iterator[str]:
    for name in sorted(before.keys() & after.keys()):
        old, new = before[name], after[name]
        if old.value is not None and old.value != new.value:
            yield f"{name} is {new.value} in {new.source}, {old.value} in {old.source}: the first is used here"


# --- the command line -------------------------------------------------------------------------------------------------


def _split(arguments: Iterable[str]) -> Iterator[tuple[str, str]]:
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals:
            raise UsageError(
                f"'{argument}' is not of the form name=value",
                hint=f"To mean a tree, say --tree {shlex.quote(argument)}."
                if Path(argument).is_dir()
                else "newtfix scan reports on all patches; what may follow are settings, such as num_envs=20.",
            )
        yield name.strip().lstrip("+"), text


def _must_be_known(given: Iterable[str], names: Iterable[str]) -> None:
    known = sorted({*names, *DERIVED})
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name.replace("-", "_").lower(), known, n=1)
            guess = f"Did you mean {close[0]}=...? " if close else ""
            raise UsageError(f"this tree has no setting '{name}'", hint=f"{guess}Always possible: {', '.join(DERIVED)}")


def _must_be_numbers(given: Mapping[str, Setting], declared: Mapping[str, Setting]) -> None:
    """Numbers where the report calculates with them, or where the tree's own value is one."""
    for name, setting in given.items():
        default = declared[name].value if name in declared else None
        if name in _COUNTS and not (_is_number(setting.value) and setting.value >= 1 and setting.value % 1 == 0):
            raise UsageError(f"{name}={setting.value} is not a whole number from 1", hint=f"Say {name}=20, say.")
        if _is_number(default) and not _is_number(setting.value):
            raise UsageError(f"{name}={setting.value} is not a number", hint=f"This tree has {name}={default}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _preset(module: ast.Module, config: Found | None, given: Mapping[str, Setting]) -> dict[str, Setting]:
    """The values of the preset that the user names, where the tree keeps presets in a table `PRESETS`."""
    table = constants(module).get("PRESETS")
    if config is None or table is None or "preset" not in given:
        return {}
    try:
        presets = ast.literal_eval(table)
        values = presets[given["preset"].value]
        source = f"{config.file}:{table.lineno}{PRESET}{given['preset'].value}"
        return {name: Setting(value, source) for name, value in values.items()}
    except (ValueError, TypeError, AttributeError):
        return {}
    except KeyError:
        preset = given["preset"].value
        raise UsageError(f"there is no preset '{preset}'", hint=f"The presets: {', '.join(presets)}") from None
