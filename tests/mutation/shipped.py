"""The trees that this project ships as cases: newt_base and the specimens, with what they do."""

from __future__ import annotations

from functools import cache

import specimens
import trees
from behave import observe_newt, observe_specimen, same_numbers
from rate import Case

NAMES = ("newt_base", *specimens.NAMES)
NEWT = same_numbers(observe_newt)
SPECIMEN = same_numbers(observe_specimen)


@cache
def shipped(name: str) -> Case:
    """The case of newt_base or of a specimen."""
    if name == "newt_base":
        return Case(name, trees.sources(), trees.PATCHES, NEWT)
    return Case(name, specimens.texts(name), trees.PATCHES, SPECIMEN)
