"""A text whose lines all end in CRLF, with lines as others have them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Newlines:
    """A text with other ends of its lines; each is the line of the same number in the owner's text."""

    text: str
    lines: range

    def back(self, patched: str) -> str:
        """The owner's text with what patches made of this one."""
        return patched.replace("\n", "\r\n")


def with_plain_newlines(text: str) -> Newlines | None:
    """The text with plain newlines; None where it has some already."""
    if not 0 < text.count("\r") == text.count("\r\n") == text.count("\n"):
        return None
    return Newlines(text.replace("\r\n", "\n"), range(1, text.count("\n") + 2))
