"""How deep the code of a file may be nested: parsers and what walks over their trees call themselves for each level."""

from __future__ import annotations

import ast
import re
import sys

from newtfix.code.syntax import parse, parts

DEEPEST = 400  # levels; LibCST takes some five calls for each
_CALLS = 4_000

_TOKEN = re.compile(
    r"""(?P<string>[A-Za-z]{0,2}(?:'''(?:\\.|(?!''').)*(?:'''|\Z)|\"\"\"(?:\\.|(?!\"\"\").)*(?:\"\"\"|\Z)"""
    r"""|'(?:\\.|[^'\\\n])*(?:'|$)|"(?:\\.|[^"\\\n])*(?:"|$)))"""
    r"""|(?P<comment>\#[^\n]*)"""
    r"""|(?P<line>(?<!\\)\n[ \t\f]*(?P<elif>elif\b)?)"""
    r"""|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<end>[,;])"""
    r"""|(?P<link>[-+*/%@&|^~<>=!.]+|\b(?:and|or|not|if|else|lambda|await|in|is|for|yield|async)\b)""",
    re.DOTALL | re.MULTILINE,
)
_FORMATTED = re.compile("[rR]?[fFtT]")
_LINKS_IN_TEXT = re.compile(r"[-+*/%@&|^~<>=!.(\[{]")


def make_room() -> None:
    """Let parsers nest their calls as deep as `DEEPEST` takes."""
    sys.setrecursionlimit(max(sys.getrecursionlimit(), _CALLS))


def is_too_deep(text: str) -> bool:
    """Whether expressions, or a chain of `elif`, may be nested more than `DEEPEST` deep.

    Python's parser tells, which never goes too deep itself; what it has flat, or cannot read, is judged by its tokens.
    """
    try:
        level: list[ast.AST] = [parse(text)]
    except (SyntaxError, ValueError):
        return _is_deep_by_tokens(text)
    except (RecursionError, MemoryError):
        return True
    lines = text.splitlines(keepends=True)
    for _ in range(DEEPEST):
        level = [part for node in level for part in parts(node)]
        if not level:
            return False
        if any(_is_deep_by_tokens(code) for node in level if len(code := _own_code(node, lines)) > DEEPEST):
            return True
    return True


def _own_code(node: ast.AST, lines: list[str]) -> str:
    """The lines of a statement, without those of the statements in it."""
    if not isinstance(node, ast.stmt):
        return ""
    body = getattr(node, "body", None)
    return "".join(lines[node.lineno - 1 : body[0].lineno - 1 if body else node.end_lineno])


def _is_deep_by_tokens(text: str) -> bool:
    links, outer, depth = 0, [], 0  # in the innermost bracket, in those around it, and around it in all
    branches: dict[int, int] = {}
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "link":
            links += len(token[0]) if not token[0][0].isalpha() else 1
        elif kind == "open":
            outer.append(links)
            depth += links + 1
            links = 0
        elif kind == "close":
            links = (outer.pop() if outer else 0) + 1
            depth = max(depth - links, 0)
        elif kind == "end":
            links = 0
        elif kind == "string":
            links += 1 + (len(_LINKS_IN_TEXT.findall(token[0])) if _FORMATTED.match(token[0]) else 0)
        elif kind in ("line", "elif") and not outer:
            links = 0
            branches = _branches(branches, token)
            if branches and max(branches.values()) > DEEPEST:
                return True
        if depth + links > DEEPEST:
            return True
    return False


def _branches(known: dict[int, int], line: re.Match[str]) -> dict[int, int]:
    """How many `elif` follow one another at each indentation; those of deeper ones are over."""
    if not known and not line["elif"]:
        return known
    indent = len(line[0].removesuffix("elif")) - 1
    kept = {place: count for place, count in known.items() if place < indent or (place == indent and line["elif"])}
    if line["elif"]:
        kept[indent] = kept.get(indent, 0) + 1
    return kept
