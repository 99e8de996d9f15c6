"""What a commit says about a patch."""

from __future__ import annotations

from newtfix.model import Patch, Severity
from newtfix.patch.message import message


def test_what_a_commit_says() -> None:
    doc = (
        f"Head.\n\nClaim: {'word ' * 40}\nCode: see\n\n    x = {'y' * 80}\nChange: none.\nEffect: small.\nEvidence: no."
    )
    lines = message(Patch("A long title " * 9, Severity.MINOR, (), id="long-one", doc=doc)).split("\n")
    assert lines[0].startswith("newtfix: A long title") and len(lines[0]) <= 72 and lines[1] == ""
    assert all(len(line) <= 72 or "yyy" in line for line in lines)
    assert f"    x = {'y' * 80}" in lines and "Change: none." in lines and "Evidence" not in "".join(lines)
    assert lines[-2:] == ["newtfix-patch: long-one", ""]
