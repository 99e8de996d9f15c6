"""A file as patterns see it, and the way back to the file as its owner writes it.

Patterns look for the code that matters. What people put in between (prints, assertions, timers) and the names that they
give to settings (`cfg = self.cfg`, a threshold in a variable) would hide it. So patterns are shown a view of the file,
in which the former are comments and the latter are spelled out; what a patch makes of the view is turned back, byte for
byte where nothing was patched.
"""

from __future__ import annotations

from functools import lru_cache

import libcst as cst

from newtfix.view import inert, shared, spelled


@lru_cache(maxsize=512)
def view(text: str) -> cst.Module:
    """The module that patterns are matched against; it has the same lines as `text`."""
    text = inert.hidden(text)
    module = cst.parse_module(text)
    found = iter(() if inert.has_odd_lines(text) else shared.surroundings(text))
    names = spelled.names(text)

    def seen(cls: str, function: cst.FunctionDef) -> cst.FunctionDef:
        around = next(found, None)
        here = spelled.holding(names, cls, function.name.value)
        if around is None:
            return spelled.out(function, cls, names) if here else function
        key = (around, here, module.default_indent, module.default_newline)
        return shared.remembered(key, function, lambda: spelled.out(function, cls, names) if here else function)

    return shared.with_functions(module, seen)


def restored(patched: cst.Module, original: str) -> str:
    """The text that a patched view of `original` stands for."""
    names = spelled.names(inert.hidden(original))
    back = spelled.Back(names, patched)

    def plain(cls: str, function: cst.FunctionDef) -> cst.FunctionDef:
        known = shared.plain(function)
        return known if known is not None else back.function(cls, function)

    return inert.shown(shared.with_functions(patched, plain).code)
