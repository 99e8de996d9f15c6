"""A file as patterns see it, and the way back to the file as its owner writes it.

Patterns look for the code that matters. What people put in between (prints, assertions, timers) and the names that they
give to settings (`cfg = self.cfg`, a threshold in a variable) would hide it. So patterns are shown a view of the file,
in which the former are comments and the latter are spelled out; what a patch makes of the view is turned back, byte for
byte where nothing was patched.
"""

from __future__ import annotations

from functools import lru_cache

import libcst as cst

from newtfix.view import inert, spelled


@lru_cache(maxsize=512)
def view(text: str) -> cst.Module:
    """The module that patterns are matched against; it has the same lines as `text`."""
    module = cst.parse_module(inert.hidden(text))
    return spelled.out(module, inert.hidden(text))


def restored(patched: cst.Module, original: str) -> str:
    """The text that a patched view of `original` stands for."""
    return inert.shown(spelled.back(patched, inert.hidden(original)).code)
