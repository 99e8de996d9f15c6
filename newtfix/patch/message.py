"""What a commit says about a patch: a subject, and the sections of the patch's docstring that explain it."""

from __future__ import annotations

import re
import textwrap

from newtfix.model import Patch
from newtfix.patch.sections import headline, sections

WIDTH = 72
_SAID = ("Claim", "Code", "Change", "Effect")
_LAID_OUT = re.compile(r"^(\s|[-*|>#]|\d+[.)] )", re.MULTILINE)


def subject(patch: Patch) -> str:
    """One line of at most 72 characters."""
    return textwrap.shorten(f"newtfix: {patch.title or patch.id}", WIDTH, placeholder="...")


def body(patch: Patch) -> str:
    """Paragraphs, and a last line that names the patch."""
    said = sections(patch.doc)
    parts = [f"{name}: {said[name]}" for name in _SAID if name in said] or [headline(patch.doc)]
    paragraphs = [paragraph for part in parts for paragraph in re.split(r"\n\s*\n", part) if paragraph.strip()]
    return "\n\n".join([*map(_wrapped, paragraphs), f"newtfix-patch: {patch.id}"]) + "\n"


def message(patch: Patch) -> str:
    """The whole of it."""
    return f"{subject(patch)}\n\n{body(patch)}"


def _wrapped(paragraph: str) -> str:
    """Prose in lines of 72 characters; lists, tables and code as they are."""
    if _LAID_OUT.search(paragraph):
        return paragraph.rstrip()
    return textwrap.fill(paragraph, WIDTH, break_long_words=False, break_on_hyphens=False)
