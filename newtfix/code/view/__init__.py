"""A file as patterns see it, and the way back to the file as its owner writes it.

Patterns look for the code that matters. What people put in between (prints, assertions, timers) and the names that they
give to settings (`cfg = self.cfg`, a threshold in a variable) would hide it. So patterns are shown a view of the file,
in which the former are comments and the latter are spelled out; what a patch makes of the view is turned back, byte for
byte where nothing was patched.
"""

from __future__ import annotations

import ast
from functools import lru_cache

import libcst as cst

from newtfix.code.syntax import parse
from newtfix.code.view import contexts, guards, inert, joined, placed, shared, spelled, unnamed
from newtfix.code.view.aliases import Vocabulary, aliases


@lru_cache(maxsize=512)
def view(text: str, own: Vocabulary) -> cst.Module:
    """The module that patterns are matched against; `line_of_owner` tells where its lines are in `text`."""
    text = seen_text(text)
    names = aliases(text, own)
    around = [] if inert.has_odd_lines(text) else shared.surroundings(text)
    known = [one for one in around if shared.may_be_known(one.key, spelled.holding(names, one.cls, one.name))]
    module = cst.parse_module(shared.abridged(text, known))
    layout = _layout(module)
    if not all(shared.is_known((one.key, spelled.holding(names, one.cls, one.name), *layout)) for one in known):
        module = cst.parse_module(text)
        layout = _layout(module)
    found = iter(around)

    def seen(cls: str, function: cst.FunctionDef) -> cst.FunctionDef:
        one = next(found, None)
        here = spelled.holding(names, cls, function.name.value)
        if one is None:
            return spelled.out(function, cls, names) if here else function
        key = (one.key, here, *layout)
        return shared.remembered(key, function, lambda: spelled.out(function, cls, names) if here else function)

    return shared.with_functions(module, seen)


@lru_cache(maxsize=512)
def syntax(text: str, own: Vocabulary) -> ast.Module:
    """The same as Python's own syntax tree, with the lines of `seen_text`. Raises SyntaxError or ValueError."""
    seen = seen_text(text)
    names = aliases(seen, own)
    return spelled.out_in(ast.parse(seen.lstrip("\ufeff")), names) if names else parse(seen)


def seen_text(text: str) -> str:
    """The text of what patterns see, but for the names that are spelled out."""
    return guards.nested(joined.together(contexts.without(inert.hidden(text))))


def line_of_owner(text: str, line: int) -> int:
    """The line of `text` that a line of what patterns see of it is."""
    return contexts.line_before(inert.hidden(text), line)


def is_mark(comment: str) -> bool:
    """Whether a comment stands for something that patterns don't see."""
    return any(kind.is_mark(comment) for kind in (inert, contexts, joined, guards, placed, unnamed))


def _layout(module: cst.Module) -> tuple[str, str]:
    return module.default_indent, module.default_newline


def restored(patched: cst.Module, original: str, own: Vocabulary) -> str:
    """The text that a patched view of `original` stands for."""
    back = spelled.Back(patched, aliases(seen_text(original), own), own)
    text = guards.flat(shared.code(patched, back.function))
    return inert.shown(contexts.around(joined.apart(text)))
