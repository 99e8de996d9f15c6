"""Trees with ordinary edits are patched where that is right, and refused where it would be wrong."""

import pytest
from judging import PATCHES, Edit, edits, judge, known

ENTRIES = edits()


def _cases() -> list:
    wrong = known()
    return [
        pytest.param(edit, id=edit.id, marks=[pytest.mark.xfail(strict=True)] if edit.id in wrong else [])
        for edit in ENTRIES
    ]


@pytest.mark.parametrize("edit", _cases())
def test_the_patch_is_right_or_refused(edit: Edit):
    verdict = judge(edit)
    assert "$" not in verdict.said, "a refusal shows no patterns"
    if not verdict.good:
        expected = f"refused: {edit.why}" if edit.breaking else "patched"
        pytest.fail(
            f"{edit.patch} in {edit.tree} with {edit.id}: {verdict.outcome}, expected {expected}\n{verdict.said}"
        )


def test_every_patch_with_edits_has_them_of_both_classes():
    names = {edit.patch for edit in ENTRIES}
    assert names <= set(PATCHES)
    assert {(edit.patch, edit.breaking) for edit in ENTRIES} == {(name, b) for name in names for b in (True, False)}


def test_entries_have_names_of_their_own_and_reasons():
    ids = [edit.id for edit in ENTRIES]
    assert len(set(ids)) == len(ids)
    assert all(bool(edit.why) == edit.breaking for edit in ENTRIES)
    assert known() <= set(ids)
