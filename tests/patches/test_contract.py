"""What every patch owes, whatever it changes: alone, together, in any order, twice, and back."""

from __future__ import annotations

import ast
import itertools
import os
import random
from importlib import import_module

import pytest
import torch
from trees import PATCHES, import_text, make_trainer, patched, sources

from newtfix.model import State
from newtfix.patch.order import in_order
from newtfix.plan.engine import inspect, plan

NONE: frozenset[str] = frozenset()
ALL = frozenset(PATCHES)
ALONE = [frozenset([name]) for name in PATCHES]
PAIRS = [frozenset(pair) for pair in itertools.combinations(PATCHES, 2)]
DRAW = random.Random(16)
THOROUGH = os.environ.get("NEWTFIX_THOROUGH") == "1"
RANDOM = [frozenset(name for name in PATCHES if DRAW.random() < 0.5) for _ in range(500 if THOROUGH else 8)]
SUBSETS = list(dict.fromkeys([NONE, *ALONE, *(PAIRS if THOROUGH else PAIRS[::4]), *RANDOM, ALL]))
IMPORTED: set[tuple[str, str]] = set(sources().items())
SAMPLE = list(dict.fromkeys([NONE, *ALONE, *RANDOM[:8], ALL]))
TRAINED = list(dict.fromkeys([NONE, *(ALONE if THOROUGH else ALONE[::3]), *RANDOM[-4:], ALL]))


def label(ids):
    return "+".join(name for name in PATCHES if name in ids) or "none"


def shuffled(ids):
    order = sorted(ids)
    random.Random(label(ids)).shuffle(order)
    return order


@pytest.mark.parametrize("ids", SUBSETS, ids=label)
def test_a_subset_applies_in_one_order_and_once(ids):
    """The result compiles and imports, does not depend on how the subset is named, and takes no patch twice."""
    result = patched(ids)
    for file, text in set(result.items()) - IMPORTED:  # the subsets differ in few texts of each file
        import_text(file, text)
        IMPORTED.add((file, text))
    assert in_order(shuffled(ids), PATCHES) == [name for name in PATCHES if name in ids]
    assert not plan(result, shuffled(ids), PATCHES).after


@pytest.mark.parametrize("ids", SAMPLE, ids=label)
def test_another_order_gives_the_same_text(ids):
    again = plan(sources(), shuffled(ids), PATCHES).after
    assert {**sources(), **again} == patched(ids)


@pytest.mark.parametrize("ids", SAMPLE, ids=label)
def test_states_are_read_from_the_code_alone(ids):
    """What was applied is recognised, what was not is still available."""
    states = {name: report.state for name, report in inspect(patched(ids), PATCHES).items()}
    present = {"planner-stats", *ids}
    assert states == {name: State.APPLIED if name in present else State.AVAILABLE for name in PATCHES}


@pytest.mark.parametrize("pair", PAIRS if THOROUGH else PAIRS[1::4], ids=label)
def test_patching_a_patched_tree_in_steps_gives_what_patching_once_gives(pair):
    """Without a ledger, a tree may get its patches one by one; the order of the list makes it the same text."""
    first, second = (name for name in PATCHES if name in pair)
    stepwise = patched(frozenset([first]))
    assert {**stepwise, **plan(stepwise, [second], PATCHES).after} == patched(pair)


@pytest.mark.parametrize("pair", PAIRS[::7], ids=label)
def test_steps_against_the_order_of_the_list_give_a_tree_that_has_both(pair):
    first, second = (name for name in PATCHES if name in pair)
    stepwise = patched(frozenset([second]))
    both = {**stepwise, **plan(stepwise, [first], PATCHES).after}
    states = {name: report.state for name, report in inspect(both, PATCHES).items()}
    assert states[first] is states[second] is State.APPLIED


def test_every_patch_changes_the_base_and_no_two_alike():
    """Only planner-stats changes nothing here: newt_base has it."""
    texts = [tuple(sorted(patched(ids).items())) for ids in (NONE, *ALONE)]
    assert len(set(texts)) == len(PATCHES)


@pytest.mark.parametrize("name", PATCHES)
def test_only_the_files_of_declared_roles_change(name):
    declared = {edit.role for edit in PATCHES[name].edits}
    usual = {
        "trainer": "trainer.py", "agent": "tdmpc2.py", "config": "config.py", "math": "common/math.py",
        "world_model": "common/world_model.py", "buffer": "common/buffer.py", "layers": "common/layers.py",
    }  # fmt: skip
    assert set(plan(sources(), [name], PATCHES).after) <= {usual[role] for role in declared}


def test_untouched_lines_stay_as_they_are():
    """Only lines of the after-templates are added, and every line that goes is code that a patch names."""
    everything = patched(frozenset(PATCHES))
    for file, text in sources().items():
        kept = set(everything[file].splitlines())
        gone = [line for line in text.splitlines() if line not in kept]
        comments = [line for line in gone if line.strip().startswith("#")]
        assert not comments, (file, comments)


@pytest.mark.parametrize("newline", ["\r\n", "\n"], ids=["CRLF", "LF"])
@pytest.mark.parametrize("indent", ["\t", "  "], ids=["tabs", "two spaces"])
def test_new_code_is_laid_out_like_its_surroundings(newline, indent):
    def reflow(text):
        lines = []
        for line in text.split("\n"):
            body = line.lstrip(" ")
            depth, rest = divmod(len(line) - len(body), 4)
            lines.append(indent * depth + " " * rest + body)
        return newline.join(lines)

    other = {file: reflow(text) for file, text in sources().items()}
    after = plan(other, PATCHES, PATCHES).after
    assert after
    for file, text in after.items():
        ast.parse(text)
        assert text.count("\n") == text.count(newline)
        added = set(text.split(newline)) - set(other[file].split(newline))
        if indent == "\t":
            assert not [line for line in added if line.startswith("    ")], file
        expected = patched(frozenset(PATCHES))[file]
        assert ast.dump(ast.parse(text)).replace(" ", "") == ast.dump(ast.parse(reflow(expected))).replace(" ", "") or (
            ast.unparse(ast.parse(text)).split() == ast.unparse(ast.parse(expected)).split()
        )


def small_agent(modules, cfg):
    torch.manual_seed(0)
    return modules.tdmpc2.TDMPC2(modules.world_model.WorldModel(cfg), cfg)


@pytest.mark.parametrize("ids", TRAINED, ids=label)
def test_a_sample_trains_without_a_nan(ids):
    """300 environment steps with updates: 12 episodes of 8 steps seed the run, after that the real agent learns."""
    torch.manual_seed(0)
    settings = {"burst_updates": 3} if "burst" in ids else {}
    trainer = make_trainer(ids, [8] * 12, steps=1_300, agent=small_agent, evaluate=True, utd=0.05, **settings)
    trainer.buffer._batch_size = trainer.cfg.batch_size
    updates = []
    update = trainer.agent.update

    def counted(buffer):
        metrics = update(buffer)
        updates.append(metrics)
        return metrics

    trainer.agent.update = counted
    trainer.train()
    assert trainer._step > 1_300
    assert len(updates) >= 10
    assert all(value.isfinite().all() for metrics in updates for value in metrics.values())
    assert all(p.isfinite().all() for p in trainer.agent.model.parameters())


def test_the_base_and_a_copy_without_patches_are_the_same_bytes():
    assert patched(frozenset()) == sources()


def test_a_patch_with_cases_has_them_of_both_kinds() -> None:
    modules = [import_module(f"test_{name.replace('-', '_')}") for name in PATCHES]
    with_cases = [one for one in modules if hasattr(one, "REWRITES")]
    assert len(with_cases) >= 10 and all(one.REWRITES and one.ALONE for one in with_cases)
