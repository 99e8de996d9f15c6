"""Everything newtfix prints: results and JSON on standard output, all else on standard error.

What comes from a tree is shown with its control characters, and what has no width, made visible. Only a diff into a
pipe or file is its very bytes, for it is to be applied.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from newtfix.errors import NewtfixError, OutputError

SCHEMA = 1
_LINE_STYLES = {"+++": "bold", "---": "bold", "@@": "cyan", "+": "green", "-": "red", "\\": "dim"}
# control characters but tab and line feed, halves of pairs, line separators, and what Unicode lets a terminal ignore:
# marks of direction, of width zero, fillers, variants, tags
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_with_error: list[str] = []
_find_more: list[Callable[[], Iterable[str]]] = []
_wanted: list[str] = []
_WORD_STYLES = {
    "critical": "red",
    "moderate": "yellow",
    "prerequisite": "cyan",
    "applied": "green",
    "available": "yellow",
    "partial": "magenta",
    "drifted": "red",
    "absent": "dim",
}


def visible(text: str) -> str:
    """A text of a tree as it may be shown: every character that a terminal would obey or hide as its escape."""
    return _HIDDEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    if 0xDC80 <= number <= 0xDCFF:  # a byte that is not UTF-8
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def shown(data: Any) -> Any:
    """A value for JSON with all its texts visible, for readers that print them as they are."""
    if isinstance(data, str):
        return visible(data)
    if isinstance(data, Mapping):
        return {key: shown(value) for key, value in data.items()}
    return [shown(one) for one in data] if isinstance(data, list | tuple) else data


def say_with_error(notes: Iterable[str], more: Callable[[], Iterable[str]] = tuple) -> None:
    """Notes that explain what may go wrong: where an error comes before they are said, they are said with it.

    Args:
        more: finds out more of them, when there is an error.
    """
    _with_error[:] = notes
    _find_more[:] = [more]


def _explanations() -> list[str]:
    found = list(dict.fromkeys([*_with_error, *(note for more in _find_more for note in more())]))
    say_with_error(())
    return found


def say(text: str) -> None:
    """A line for the person at the terminal; nothing where nobody can be told."""
    with suppress(ValueError):
        _with_error.remove(text)
    if sys.stderr is not None:
        try:
            print(visible(text), file=sys.stderr, flush=True)
        except (OSError, ValueError):
            _silence(sys.stderr)


def out(text: str = "") -> None:
    """A line of the result, or several."""
    _write(visible(text) + "\n")


def emit_json(data: Mapping[str, Any]) -> None:
    """The result for machines: one object, its keys in the order given."""
    _write(json.dumps({"schema": SCHEMA, **data}, indent=2, ensure_ascii=True) + "\n")


def error(problem: NewtfixError, as_json: bool) -> None:
    """What went wrong, where, and what to do next."""
    if as_json and not isinstance(problem, OutputError):
        try:
            emit_json(_error_as_json(problem))
            return
        except OutputError as other:
            problem = other
    for note in _explanations():
        say(note)
    say(f"newtfix: {problem.message}")
    for part in (problem.where, *details(problem), problem.hint):
        for line in part.splitlines():
            say(f"  {line}")


def show_details(wanted: bool) -> None:
    """Whether errors are to be printed with the code of patches that they are about."""
    _wanted[:] = ["details"] if wanted else []


def details(problem: NewtfixError) -> list[str]:
    """The code of a patch that an error is about, where it is asked for."""
    return [problem.detail] if problem.detail and _wanted else []


def _error_as_json(problem: NewtfixError) -> dict[str, Any]:
    notes = _explanations()
    return {
        "error": problem.message,
        "where": problem.where,
        "hint": problem.hint,
        "exit_code": problem.exit_code,
        **({"looked_for": problem.detail} if details(problem) else {}),
        **({"notes": notes} if notes else {}),
    }


def diff(text: str) -> None:
    """A unified diff: its very bytes into a pipe or file, in colours on a terminal."""
    if not _in_colours():
        _write(text)
        return
    from rich.text import Text

    shown = Text()
    for line in text.split("\n")[:-1]:
        style = next((style for start, style in _LINE_STYLES.items() if line.startswith(start)), "")
        shown.append(visible(line.removesuffix("\r")) + "\n", style)
    _terminal().print(shown, end="", soft_wrap=True)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns: drawn by rich on a terminal, plain and never cut off elsewhere."""
    lines = [tuple(head), *(tuple(map(_cell, row)) for row in rows)]
    if not is_terminal():
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        for line in lines:
            out("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*head, box=SIMPLE_HEAD, pad_edge=False)
    for line in lines[1:]:
        drawn.add_row(*(Text(cell, _WORD_STYLES.get(cell, "")) for cell in line))
    _terminal().print(drawn)


def _cell(text: str) -> str:
    """A text in one line."""
    return visible(text).replace("\n", "\\n").replace("\t", " ")


def code(text: str, indent: str = "    ") -> None:
    """A piece of Python."""
    if not _in_colours():
        for line in text.splitlines():
            out(f"{indent}{line}".rstrip())
        return
    from rich.padding import Padding
    from rich.syntax import Syntax

    _terminal().print(Padding(Syntax(visible(text), "python", background_color="default"), (0, 0, 0, len(indent))))


def heading(text: str) -> None:
    """A line that stands out on a terminal."""
    if not _in_colours():
        out(text)
        return
    from rich.text import Text

    _terminal().print(Text(visible(text), "bold"))


def is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _in_colours() -> bool:
    return is_terminal() and not os.environ.get("NO_COLOR")


def _terminal() -> Any:
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def _write(text: str) -> None:
    """UTF-8 whatever the locale, and no translation of line endings."""
    if sys.stdout is None:
        raise OutputError("standard output is closed", hint="Nothing was printed. Send it somewhere: > FILE")
    try:
        sys.stdout.flush()
        buffer = getattr(sys.stdout, "buffer", None)
        if buffer is None:
            sys.stdout.write(text)
        else:
            buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as problem:
        raise no_output(problem) from problem


def no_output(problem: Exception) -> OutputError:
    """The error about a standard output that takes nothing more, as on a full disk."""
    _silence(sys.stdout)
    said = getattr(problem, "strerror", None) or str(problem)
    return OutputError(f"cannot print: {said}", where="standard output", hint="Not all of it was printed.")


def _silence(stream: Any) -> None:
    """Let what is still to be written to a stream go nowhere, so that the end of the process is no second error."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
