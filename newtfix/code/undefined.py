"""Names that code reads and nothing gives a value: what a patch must not bring into a tree."""

from __future__ import annotations

import builtins
import symtable
from collections.abc import Iterator
from functools import lru_cache

_BUILTINS = frozenset(dir(builtins)) | {"__file__", "__name__", "__doc__", "__class__", "__path__", "__spec__"}


@lru_cache(maxsize=512)
def undefined_names(text: str) -> frozenset[tuple[str, str]]:
    """The undefined names of a module, each with the function or class that reads it; none where * is imported."""
    top = symtable.symtable(text.lstrip("\ufeff"), "tree", "exec")
    if " import *" in text:
        return frozenset()
    known = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    known |= {name for table in _tables(top) for name in _declared_global(table)}
    return frozenset(
        (table.get_name(), symbol.get_name())
        for table in _tables(top)
        for symbol in table.get_symbols()
        if symbol.is_referenced() and symbol.is_global() and symbol.get_name() not in known | _BUILTINS
    )


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _declared_global(table: symtable.SymbolTable) -> list[str]:
    return [s.get_name() for s in table.get_symbols() if s.is_declared_global() and s.is_assigned()]
