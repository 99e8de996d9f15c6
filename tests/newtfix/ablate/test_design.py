"""Designs: orthogonal, balanced, mirrored, dealt anew, and never with a patch that lacks its requirement."""

import numpy as np
import pytest

from newtfix.ablate.design import (
    alone_and_left_out,
    block_size,
    one_at_a_time,
    plackett_burman,
    screen,
    screen_signs,
    subsets,
)


@pytest.mark.parametrize("factors", (1, 7, 11, 12, 19, 20, 23, 31, 60))
def test_plans_are_orthogonal_and_balanced(factors):
    plan = plackett_burman(factors).astype(int)
    runs, columns = plan.shape
    assert columns >= factors and set(np.unique(plan)) == {-1, 1}
    assert (plan.T @ plan == runs * np.eye(columns)).all()
    assert (plan.sum(0) == 0).all()


def test_blocks_have_the_sizes_of_the_textbook():
    assert [block_size(n) for n in (2, 11, 12, 19, 20)] == [24, 24, 40, 40, 48]
    with pytest.raises(ValueError, match="200 factors"):
        plackett_burman(200)


def test_every_run_is_followed_by_its_mirror_image():
    signs = screen_signs(9, 0)
    assert (signs[0::2] == -signs[1::2]).all()
    assert len(np.unique(signs, axis=0)) == 24  # all of them, none, and 22 others


def test_single_effects_are_free_of_those_of_two_together():
    signs = screen_signs(11, 4).astype(int)
    pairs = np.stack([signs[:, a] * signs[:, b] for a in range(11) for b in range(a)], axis=1)
    assert (signs.T @ pairs == 0).all()


def test_columns_are_dealt_anew_in_each_block_and_alike_every_time():
    blocks = [screen_signs(8, block) for block in range(4)]
    assert len({block.tobytes() for block in blocks}) == 4
    assert (screen_signs(8, 2) == blocks[2]).all()
    assert (screen_signs(8, 2, seed=1) != blocks[2]).any()


def test_a_block_has_one_seed_and_each_patch_in_half_of_its_runs():
    names = tuple("abcdefg")
    cells = screen(names, (5, 6))
    assert [cell.seed for cell in cells] == [5] * 24 + [6] * 24
    for name in names:
        assert sum(name in cell.on for cell in cells[:24]) == 12
    assert {(), names} <= {cell.on for cell in cells[:24]}  # base and all are among them


def test_arms_of_the_other_designs():
    assert subsets("ab") == [(), ("a",), ("b",), ("a", "b")]
    assert one_at_a_time("ab") == [(), ("a",), ("b",), ("a", "b")]
    assert one_at_a_time("a") == [(), ("a",)]
    assert alone_and_left_out("abcde", "ab") == [
        *((), ("a",), ("b",), ("a", "b")),
        *(tuple("abcde"), tuple("bcde"), tuple("acde")),
    ]
    assert len(alone_and_left_out("abcde", "abcd")) == 1 + 4 + 1 + 4
