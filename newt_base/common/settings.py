"""Settings as fields of a dataclass: read from text, checked by their types, and explained by the comments beside them.

A field says all of it in one line: `tau: Annotated[float, Gt(0), Le(1)] = 0.01  # rate at which the targets follow`.
"""

import ast
import dataclasses
import difflib
import inspect
import io
import textwrap
import tokenize
import types
from contextlib import suppress
from functools import cache
from typing import Annotated, Any, Literal, Optional, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import ConfigDict, StringConstraints, TypeAdapter, ValidationError

from . import habits

Count = Annotated[int, Ge(1)]
Natural = Annotated[int, Ge(0)]
Weight = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
Fraction = Annotated[float, Gt(0), Le(1)]
# Filled in by the program; on the command line it cannot be given.
Derived = Annotated[Any, "derived"]

_STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
_NONE = ("", "none", "null", "~")
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "none"}
_BOUNDS = {
    "greater_than_equal": ("small", "at least {ge}"),
    "greater_than": ("small", "above {gt}"),
    "less_than_equal": ("large", "at most {le}"),
    "less_than": ("large", "below {lt}"),
}


class ConfigError(ValueError):
    """A setting that cannot be used: which one, its value, what would be valid, and the likely intention."""

    def __init__(self, key: str, value: Any, problem: str, valid: str = "", suggestion: Optional[str] = None):
        self.key = key
        self.value = value
        self.problem = problem
        self.valid = valid
        self.suggestion = suggestion
        parts = [problem]
        if suggestion:
            parts.append(f"did you mean {suggestion}?")
        if valid:
            parts.append(f"valid: {valid}")
        super().__init__("\n  ".join(parts))


def text_of(pattern: str, valid: str) -> Any:
    """The type of a text that matches `pattern` as a whole; `valid` says in words what does."""
    return Annotated[str, StringConstraints(pattern=f"^({pattern})$"), valid]


def settable(cls: type) -> dict[str, dataclasses.Field]:
    """The fields that a user may set, in order."""
    return {field.name: field for field in dataclasses.fields(cls) if field.type != Derived}


# ---------------------------------------------------------------- command line


def read(cls: type, arguments: list[str]) -> dict[str, Any]:
    """The values in `name=value` arguments. Raises ConfigError."""
    known = settable(cls)
    given = dict(_split(argument, known) for argument in arguments)
    for name, text in given.items():
        if name not in known:
            raise _unknown(cls, name, text)
    return {name: _value(name, known[name].type, text) for name, text in given.items()}


def _split(argument: str, known: dict[str, Any]) -> tuple[str, str]:
    name, equals, text = argument.partition("=")
    if name in habits.MULTIRUN:
        raise ConfigError(
            name, None, f"'{name}' starts no series of runs here", "a command for each run, or newtfix ablate"
        )
    if not equals:
        raise ConfigError(name, None, f"'{argument}' is not of the form name=value", suggestion=_nearest(name, known))
    return name.strip(), text.strip()


def _unknown(cls: type, name: str, text: str) -> ConfigError:
    if name in {field.name for field in dataclasses.fields(cls)}:
        return ConfigError(name, text, f"'{name}' is derived from other settings and cannot be set")
    known = settable(cls)
    bare = name.lstrip("+")
    meant = habits.SETTINGS.get(bare) or _nearest(name, known)
    if bare in habits.SWITCHES:
        meant = habits.SWITCHES[bare][text.lower() in habits.OFF]
    return ConfigError(name, text, f"unknown setting '{name}' (={text})", ", ".join(known), meant)


def _nearest(name: str, known: dict[str, Any]) -> Optional[str]:
    match = difflib.get_close_matches(name.lstrip("-+").replace("-", "_").lower(), known, n=1, cutoff=0.65)
    return f"{match[0]}=..." if match else None


def _value(name: str, annotation: Any, text: str) -> Any:
    """The first reading of a text that its setting takes; a refusal is that of the first reading."""
    refusals = []
    for value in _readings(text):
        try:
            return checked(name, annotation, value)
        except ConfigError as error:
            refusals.append(error)
    raise refusals[0]


def _readings(text: str) -> list[Any]:
    """What a text may stand for: none, true or false, a number, and itself."""
    words = {**dict.fromkeys(_NONE), "true": True, "false": False}
    found = [words[text.lower()]] if text.lower() in words else []
    try:
        found.append(int(text))
    except ValueError:
        with suppress(ValueError):
            found.append(float(text))
    return [*found, text]


# ------------------------------------------------------------------ validation


def checked(name: str, annotation: Any, value: Any) -> Any:
    """`value` as a setting of this type has it: whole numbers may come as 1e6, numbers without a point.

    Raises ConfigError.
    """
    kinds = [kind for kind, _ in _alternatives(annotation)]
    if isinstance(value, float) and value.is_integer() and int in kinds and float not in kinds:
        value = int(value)
    try:
        found = _adapter(annotation).validate_python(value)
    except ValidationError as error:
        raise _refusal(name, annotation, value, error.errors()[-1]) from error
    if isinstance(value, bool) and found is not value:  # a literal 1 takes True as well
        raise _wrong_type(name, annotation, value)
    return found


@cache
def _adapter(annotation: Any) -> TypeAdapter:
    return TypeAdapter(annotation, config=_STRICT)


def _refusal(name: str, annotation: Any, value: Any, error: Any) -> ConfigError:
    choices = choices_of(annotation)
    if choices:
        return bad_choice(name, value, choices)
    if error["type"] in _BOUNDS:
        how, words = _BOUNDS[error["type"]]
        bound = {key: f"{limit:g}" for key, limit in error["ctx"].items()}
        return ConfigError(name, value, f"{name}={shown(value)} is too {how}", words.format(**bound))
    if error["type"] == "string_pattern_mismatch":
        valid = next(extra for _, extras in _alternatives(annotation) for extra in extras if isinstance(extra, str))
        return ConfigError(name, value, f"{name}={value} is not allowed", valid)
    return _wrong_type(name, annotation, value)


def _wrong_type(name: str, annotation: Any, value: Any) -> ConfigError:
    words = dict.fromkeys(
        _WORDS.get(kind, getattr(kind, "__name__", str(kind))) for kind, _ in _alternatives(annotation)
    )
    return ConfigError(name, value, f"{name}={shown(value)} has the wrong type", " or ".join(words))


def bad_choice(name: str, value: Any, choices: tuple[Any, ...]) -> ConfigError:
    """The refusal of a value that is none of `choices`."""
    words = [shown(choice) for choice in choices]
    match = difflib.get_close_matches(str(value), words, n=1, cutoff=0.5)
    suggestion = f"{name}={match[0]}" if match else None
    return ConfigError(name, value, f"{name}={shown(value)} is not available", ", ".join(words), suggestion)


def shown(value: Any) -> str:
    """A value as it is typed on the command line."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def choices_of(annotation: Any) -> tuple[Any, ...]:
    """The values that a setting may have, where its type lists them; else nothing."""
    found: list[Any] = []
    listed = False
    for kind, _ in _alternatives(annotation):
        if get_origin(kind) is Literal:
            found, listed = [*found, *get_args(kind)], True
        elif kind is bool:
            found += [False, True]
        elif kind is type(None):
            found.insert(0, None)
        else:
            return ()
    return tuple(found) if listed else ()


def _alternatives(annotation: Any) -> list[tuple[Any, tuple[Any, ...]]]:
    """The types that an annotation allows, each with what `Annotated` adds to it."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [found for option in get_args(annotation) for found in _alternatives(option)]
    if get_origin(annotation) is Annotated:
        return [(annotation.__origin__, annotation.__metadata__)]
    return [(annotation, ())]


# ------------------------------------------------------------------------ help


def comments(cls: type) -> dict[str, str]:
    """The comment at the end of each field's line, in the class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        source = textwrap.dedent(inspect.getsource(base))
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        by_line = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
        fields = [node for node in ast.parse(source).body[0].body if isinstance(node, ast.AnnAssign)]
        found |= {node.target.id: by_line[node.end_lineno] for node in fields if node.end_lineno in by_line}
    return found
