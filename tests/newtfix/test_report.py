"""What is shown of a tree obeys nobody: every character that a terminal would act on or hide is seen as its escape."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest

from newtfix import report
from newtfix.errors import TreeError

HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202e\u200b\u2066\ufeff\u2028\x00\udc9b\u3164\U000e0041\x7f"
BAD = {character for character in HOSTILE if not character.isascii() or not character.isprintable()}
MARKS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN")  # of direction, or no character at all


def test_every_control_and_format_character_of_unicode_is_seen() -> None:
    hidden = [
        chr(number)
        for number in range(sys.maxunicode + 1)
        if unicodedata.category(chr(number)) in ("Cc", "Zl", "Zp", "Cs")
    ]
    hidden += [chr(number) for number in (0xAD, 0x200B, 0x200E, 0x202E, 0x2069, 0xFEFF, 0xFE0F, 0xE0041)]
    shown = report.visible("".join(hidden))
    assert set(shown) <= set("\t\n\\xuU0123456789abcdef")
    for number in range(sys.maxunicode + 1):
        if unicodedata.bidirectional(chr(number)) in (
            "LRE",
            "RLE",
            "LRO",
            "RLO",
            "PDF",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
            "BN",
        ):
            assert report.visible(chr(number)) != chr(number) or unicodedata.category(chr(number)) == "Cn"


def test_what_people_write_stays() -> None:
    text = "def f(x):\n\treturn 'naïve café 数学 Привет 😀'  # ünïcode"
    assert report.visible(text) == text


def test_nothing_hostile_is_printed(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (False, True):
        monkeypatch.setattr(sys.stdout, "isatty", lambda terminal=terminal: terminal)
        report.say(HOSTILE)
        report.out(HOSTILE)
        report.table(("a", "b"), [(HOSTILE, HOSTILE + "\nforged  line")])
        report.heading(HOSTILE)
        report.code(f"x = 1  # {HOSTILE}")
        report.error(TreeError(HOSTILE, HOSTILE, HOSTILE), as_json=False)
        report.emit_json({"x": HOSTILE})
        report.out(json.dumps(report.shown({"x": [HOSTILE, (HOSTILE,)], "n": 1})))
        if terminal:
            report.diff(f"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-{HOSTILE}\n+{HOSTILE}\n")
        said = capfd.readouterr()
        for text in (said.out, said.err):
            assert "owned" in text or text == ""
            assert not (BAD - {"\x1b"}) & set(text)  # rich draws with escapes of its own
            assert "\x1b]" not in text and "\x1b[2J" not in text
            assert "\nforged" not in text
