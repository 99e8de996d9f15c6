"""What every patch owes, whatever it changes: alone, together, in any order, twice, and back."""

from __future__ import annotations

import ast
import itertools
import random

import pytest
import torch
from trees import PATCHES, make_trainer, patched, sources, tree

from newtfix.engine import inspect, plan
from newtfix.model import State

SUBSETS = [frozenset(s) for k in range(len(PATCHES) + 1) for s in itertools.combinations(PATCHES, k)]
DISTINCT = {tuple(sorted(patched(ids).items())): ids for ids in SUBSETS}.values()


def label(ids):
    return "+".join(name for name in PATCHES if name in ids) or "none"


def test_there_are_as_many_texts_as_subsets_allow():
    """planner-stats changes nothing here, and so neither does naming it; the rest is independent."""
    assert len(DISTINCT) == 2 ** (len(PATCHES) - 1)


@pytest.mark.parametrize("ids", SUBSETS, ids=label)
def test_order_does_not_matter_and_the_result_is_sound(ids):
    orders = [list(ids) for _ in range(3)]
    for order in orders:
        random.Random(label(ids)).shuffle(order)
    results = [dict(plan(sources(), order, PATCHES).after) for order in (sorted(ids), *orders)]
    assert all(result == results[0] for result in results)
    for text in results[0].values():
        ast.parse(text)


@pytest.mark.parametrize("ids", DISTINCT, ids=label)
def test_one_at_a_time_gives_the_same_states(ids):
    """From the code alone: what was applied is recognised, what was not is still available."""
    states = {name: report.state for name, report in inspect(patched(ids), PATCHES).items()}
    present = {"planner-stats", *ids}
    assert states == {name: State.APPLIED if name in present else State.AVAILABLE for name in PATCHES}


@pytest.mark.parametrize("ids", DISTINCT, ids=label)
def test_a_second_application_changes_nothing(ids):
    again = plan(patched(ids), ids, PATCHES)
    assert not again.after


@pytest.mark.parametrize("first", PATCHES)
@pytest.mark.parametrize("second", PATCHES)
def test_patching_a_patched_tree_in_steps_behaves_like_patching_once(first, second):
    """Without a ledger, a tree may get its patches one by one; the order of the list makes it the same text."""
    both = [name for name in PATCHES if name in (first, second)]
    stepwise = patched(frozenset([both[0]]))
    stepwise = {**stepwise, **plan(stepwise, both[1:], PATCHES).after}
    assert stepwise == patched(frozenset(both))


@pytest.mark.parametrize("name", PATCHES)
def test_only_the_files_of_declared_roles_change(name):
    declared = {edit.role for edit in PATCHES[name].edits}
    usual = {
        "trainer": "trainer.py", "agent": "tdmpc2.py", "config": "config.py", "math": "common/math.py",
        "world_model": "common/world_model.py", "buffer": "common/buffer.py",
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


@pytest.mark.parametrize("ids", DISTINCT, ids=label)
def test_every_subset_trains_without_a_nan(ids):
    """300 environment steps with updates: 12 episodes of 8 steps seed the run, after that the real agent learns."""
    torch.manual_seed(0)
    settings = {"burst_updates": 3} if "burst" in ids else {}
    trainer = make_trainer(ids, [8] * 12, steps=1_300, agent=small_agent, utd=0.05, **settings)
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


def test_every_subset_imports():
    for ids in DISTINCT:
        assert tree(ids).trainer.Trainer.__name__ == "Trainer"
