"""`mu-std`: who acts while seeding, and what is stored about it."""

from __future__ import annotations

from math import exp

import pytest
import torch
from observed import END, ENVS, LENGTHS, WIDE, Tree, usual_run
from specimens import Run
from tables import refused
from trees import PATCHES, make_trainer, patched, sources

from newtfix import testing
from newtfix.errors import Refused
from newtfix.plan.engine import plan


def rows(trainer):
    stored = {name: values[: len(trainer.buffer)] for name, values in trainer.buffer._storage.items()}
    taken = ~stored["reward"].isnan()
    return {name: values[taken] for name, values in stored.items()}


@pytest.mark.parametrize(("extra", "threshold"), [([], 25_000), (["seeding"], 1_250)], ids=["newt", "seeding"])
def test_seeding_rows_are_random_with_statistics_that_say_so(extra, threshold):
    trainer = make_trainer(["mu-std", *extra], [250] * 20, steps=threshold + 6_000)
    trainer.train()
    stored = rows(trainer)
    seeded = stored["reward"] < -(-threshold // 20) * 20
    assert seeded.sum() == -(-threshold // 20) * 20
    assert torch.equal(stored["mu"][seeded], stored["action"][seeded])
    assert torch.allclose(stored["std"][seeded], torch.tensor(exp(2.0)), rtol=1e-6, atol=0)
    assert stored["action"][seeded].std() > 0.5
    assert torch.equal(stored["action"][~seeded], torch.full_like(stored["action"][~seeded], 0.5))
    assert torch.equal(stored["mu"][~seeded], stored["action"][~seeded] / 2)


def test_the_agent_acts_in_the_first_iteration_at_or_past_the_threshold():
    trainer = make_trainer(["mu-std", "seeding"], [250] * 20, steps=1_500)
    trainer.train()
    assert trainer.agent.acted_at[0] == 1_260
    exact = make_trainer(["mu-std", "seeding"], [250] * 25, steps=1_500)
    exact.train()
    assert exact.agent.acted_at[0] == 1_250


def test_without_the_patch_the_untrained_agent_acts_from_the_start():
    trainer = make_trainer([], [250] * 20, steps=100)
    trainer.train()
    assert trainer.agent.acted_at[0] == 0


def test_a_finetuned_agent_goes_on_acting():
    trainer = make_trainer(["mu-std", "seeding"], [250] * 20, steps=100, finetune=True)
    trainer.train()
    assert trainer.agent.acted_at[0] == 0


def test_a_random_branch_that_sets_no_statistics_at_all_gets_them():
    """Some forks have the branch without statistics, since it is never taken."""
    base = sources()
    bare = base["trainer.py"].replace("                    mu, std = None, None\n", "")
    assert bare != base["trainer.py"]
    after = plan({**base, "trainer.py": bare}, ["mu-std"], PATCHES).after
    assert after["trainer.py"] == patched(frozenset(["mu-std"]))["trainer.py"]


def changed(file, *changes):
    return testing.variant(sources(), file, *changes)


def dedent(lines, columns):
    return "".join(f"{line[columns:]}\n" for line in lines.splitlines())


def apply(tree, *ids):
    return testing.apply(tree, *ids, patches=PATCHES)


def test_switches_without_the_random_branch_are_not_those_of_the_collection():
    both = "                use_mpc = True\n                use_agent = True\n"
    tree = changed(
        "trainer.py",
        (both, "                use_mpc, use_agent = bool(1), bool(1)\n"),
        ("        results = defaultdict(list)\n", f"        results = defaultdict(list)\n{dedent(both, 8)}"),
    )  # fmt: skip
    with pytest.raises(Refused, match="'mu-std' does not fit") as refused:
        apply(tree, "mu-std")
    assert "'who-acts'" in refused.value.detail


RANDOM = "                    action = self.env.rand_act()\n"


REFUSED = {
    "actions that are locked": (
        "trainer.py",
        RANDOM,
        f"{RANDOM}                    action[:, self.cfg.locked] = 0.0\n",
        "random actions are changed before they are stored",
    ),
    "actions that are scaled in place": (
        "trainer.py",
        RANDOM,
        f"{RANDOM}                    action.mul_(0.5)\n",
        "random actions are changed before they are stored",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    refused("mu-std", *REFUSED[case])


# Here the agent acts after fewer steps than learning starts.
OWN_THRESHOLD = {"halfway"}


def promise(tree: Tree) -> None:
    """What the patch promises, on any specimen, by what the tree does."""
    run = usual_run(tree)
    threshold = run.acted[0]
    assert threshold == (1000 if tree.name in OWN_THRESHOLD else run.updated[0])
    assert run.acted == list(range(threshold, END + 1, ENVS))
    for rows in run.episodes:
        row = rows[1:]
        seed = row["reward"] < threshold
        assert torch.equal(row["mu"][seed], row["action"][seed])
        assert torch.allclose(row["std"][seed], torch.tensor(WIDE))
        assert (row["std"][~seed] < WIDE).all()
    for early in ({"finetune": True}, {"use_demos": True, "demo_steps": 1}):
        short = Run(tree.modules, LENGTHS, steps=100, **tree.settings(**early)).train()
        assert short.acted[0] == 0
