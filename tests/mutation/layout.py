"""Mutators of the layout: a formatter's styles, indentation, newlines, blanks."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import tempfile
import tokenize
from dataclasses import dataclass
from pathlib import Path

from mutant import Texts, Undo


def formatted(texts: Texts, only: frozenset[str], rng: random.Random) -> tuple[Texts, Undo | None]:
    """As a black-like formatter writes it, with a line length, quotes and an indentation of its own."""
    length, quotes, indent = rng.choice([79, 100, 140]), rng.choice(["single", "double"]), rng.choice(["tab", "space"])
    width = rng.choice([2, 4])
    settings = (
        f"line-length={length}\nindent-width={width}\n[format]\nquote-style='{quotes}'\nindent-style='{indent}'\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "ruff.toml").write_text(settings)
        names = {file: f"f{n}.py" for n, file in enumerate(sorted(only))}
        for file, name in names.items():
            Path(folder, name).write_bytes(texts[file].encode())
        command = [sys.executable, "-m", "ruff", "format", "-q", "--no-cache", "--config", "ruff.toml", "."]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return {file: Path(folder, name).read_bytes().decode() for file, name in names.items()}, None


def reindent(text: str, rng: random.Random) -> str:
    """Another indentation of every line that starts a statement, and of the lines that continue one."""
    unit = rng.choice(["\t", "  ", "    ", "   "])
    inside = kinds_of_lines(text)
    lines, stack = text.split("\n"), [""]
    for number, line in enumerate(lines, 1):
        code = line.lstrip(" \t")
        blank = line[: len(line) - len(code)]
        if not code or number in inside.strings:
            continue
        if number in inside.continued or code.startswith("#"):
            lines[number - 1] = unit * (len(stack) - 1) + _rest(blank, stack[-1]) + code
            continue
        while len(blank) < len(stack[-1]):
            stack.pop()
        if len(blank) > len(stack[-1]):
            stack.append(blank)
        lines[number - 1] = unit * (len(stack) - 1) + code
    return "\n".join(lines)


def _rest(blank: str, base: str) -> str:
    return blank[len(base) :] if len(blank) > len(base) else ""


@dataclass(frozen=True)
class Lines:
    """The numbers of the lines that go on with a statement begun before, and of those that start inside a string."""

    continued: frozenset[int]
    strings: frozenset[int]


_LAYOUT = (tokenize.INDENT, tokenize.DEDENT, tokenize.NL, tokenize.ENDMARKER)


def kinds_of_lines(text: str) -> Lines:
    continued: set[int] = set()
    strings: set[int] = set()
    within, last = False, 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.STRING:
            strings |= set(range(token.start[0] + 1, token.end[0] + 1))
        if token.type not in _LAYOUT:
            if within and token.start[0] > last:
                continued.add(token.start[0])
            last = token.end[0]
            within = token.type != tokenize.NEWLINE and (within or token.type != tokenize.COMMENT)
    return Lines(frozenset(continued), frozenset(strings))


def crlf(text: str, rng: random.Random) -> str:
    """Newlines as on Windows, or as on Unix where they were that already."""
    return text.replace("\r\n", "\n") if "\r\n" in text else text.replace("\n", "\r\n")


def blanks(text: str, rng: random.Random) -> str:
    """Blanks at the ends of lines, more and fewer empty lines, and none at the end of the file."""
    inside = kinds_of_lines(text).strings
    out = []
    for number, line in enumerate(text.rstrip("\n").split("\n"), 1):
        ends_code = number + 1 not in inside and number not in inside and not line.endswith("\\")
        if not line.strip() and ends_code and rng.random() < 0.3:
            continue
        out.append(line + rng.choice(["", "", " ", "\t", "   "]) if ends_code and line.strip() else line)
        if ends_code and rng.random() < 0.05 and number + 1 not in inside:
            out.append(rng.choice(["", "    "]))
    return "\n".join(out) + rng.choice(["", "\n", "\n\n\n"])
