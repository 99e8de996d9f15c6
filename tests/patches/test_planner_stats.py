"""`planner-stats` and everything on top of it, on a tree in upstream's shape that runs."""

from __future__ import annotations

import importlib
import itertools
import random
import sys
from functools import cache
from math import exp
from pathlib import Path
from typing import Any

import pytest
import torch
from observed import ENVS, LENGTHS, STATS, WIDE, H, Tree, planned_rows, stored, update, usual_run
from specimens import Run, make_agent, make_cfg
from tensordict import TensorDict
from trees import PATCHES, CountingAgent, FakeEnv, SilentLogger

from newtfix.model import State
from newtfix.plan.engine import inspect, plan

PLAIN = Path(__file__).parents[1] / "specimens/plain"
ALL = frozenset(PATCHES)
DRAW = random.Random(5)
ALONE = [[name] for name in PATCHES]
PAIRS = [list(pair) for pair in itertools.combinations(PATCHES, 2)]
SUBSETS = [
    *ALONE,
    *DRAW.sample(PAIRS, 15),
    *([n for n in PATCHES if DRAW.random() < 0.5] for _ in range(15)),
    [*PATCHES],
]


@cache
def sources():
    return {p.relative_to(PLAIN).as_posix(): p.read_bytes().decode() for p in sorted(PLAIN.rglob("*.py"))}


def patched(ids):
    return {**sources(), **plan(sources(), ids, PATCHES).after}


@pytest.fixture
def specimen(tmp_path, monkeypatch):
    """Import the specimen with some patches; its modules go by their own, absolute names, and away afterwards."""

    def load(ids):
        for file, text in patched(ids).items():
            path = tmp_path / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return {
            n: importlib.import_module(n)
            for n in ("trainer", "tdmpc2", "config", "common.buffer", "common.world_model")
        }

    names = ("trainer", "tdmpc2", "config", "common")
    names += tuple(f"common.{name}" for name in ("math", "layers", "buffer", "world_model"))
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield load
    for name in names:
        sys.modules.pop(name, None)


def agent_of(modules, **settings):
    torch.manual_seed(0)
    cfg = modules["config"].Config(**settings)
    return cfg, modules["tdmpc2"].TDMPC2(modules["common.world_model"].WorldModel(cfg), cfg)


def test_states_before_and_after():
    before = {name: report.state for name, report in inspect(sources(), PATCHES).items()}
    assert before.pop("prior-norm") is State.ABSENT, "upstream has no residual prior to scale"
    assert set(before.values()) == {State.AVAILABLE}
    after = {name: report.state for name, report in inspect(patched(ALL), PATCHES).items()}
    assert set(after.values()) == {State.APPLIED}


@pytest.mark.parametrize("ids", SUBSETS, ids="+".join)
def test_subsets_apply_and_a_second_time_changes_nothing(ids):
    result = patched(ids)
    assert not plan(result, ids, PATCHES).after
    for text in result.values():
        compile(text, "specimen", "exec")


def test_a_subclass_that_a_patch_rewrites_is_not_pointed_out():
    """EnsembleBuffer has its own `sample`; planner-stats knows it, a patch of the trainer alone has nothing to say."""
    assert not plan(sources(), ["planner-stats"], PATCHES).notes
    own = "\n\nclass OwnBuffer(Buffer):\n\tdef sample(self, device):\n\t\treturn super().sample(device)\n"
    tree = {**sources(), "common/buffer.py": sources()["common/buffer.py"] + own}
    (note,) = plan(tree, ["planner-stats"], PATCHES).notes
    assert "OwnBuffer has its own sample" in note


def test_what_the_tree_said_itself_stays():
    kept = "\n".join(patched(ALL).values())
    for text in (
        "# the planner takes over",
        "# tasks go with the transitions",
        "# steps a round",
        "# Collect experience",
        "# linear",
        "# follows",
        "# of the annealing",
        "# weigh them",
        "# all at once",
    ):
        assert text in kept


def test_the_agent_returns_statistics_only_when_asked(specimen):
    _, agent = agent_of(specimen(["planner-stats"]))
    obs, t0 = torch.randn(4, 3), torch.ones(4, dtype=torch.bool)
    assert agent(obs, t0).shape == (4, 2)
    for mpc in (True, False):
        action, mu, std = agent(obs, t0, mpc=mpc, eval_mode=True, return_stats=True)
        assert action.shape == mu.shape == std.shape == (4, 2)
        assert torch.equal(action, mu)
    action, mu, _ = agent(obs, t0, mpc=True, return_stats=True)
    assert not torch.equal(action, mu), "mu is from before the exploration noise"


def test_rows_without_statistics_count_as_wide_around_their_action(specimen):
    """Demonstrations have no mu and std; half of a mixed batch is theirs."""
    modules = specimen(["planner-stats"])
    trainer, _ = trainer_of(modules, steps=40)
    td = trainer.to_td(torch.zeros(4, 3), torch.ones(4, 2), torch.ones(4))
    assert td["mu"].isnan().all()
    buffers = modules["common.buffer"]
    offline = buffers.Buffer(batch_size=4)
    demo = torch.stack([td.exclude("mu", "std")[:1]] * 6, dim=1)
    offline.add(demo)
    mixed = buffers.EnsembleBuffer(offline, batch_size=8)
    online = trainer.to_td(
        torch.zeros(4, 3), torch.ones(4, 2), torch.ones(4), mu=torch.zeros(4, 2), std=torch.ones(4, 2)
    )
    mixed.add(torch.stack([online[:1]] * 6, dim=1))
    _, action, mu, _, _, _ = mixed.sample("cpu")
    assert mu[:, :4].isnan().all()
    assert not mu[:, 4:].any()
    cfg, agent = agent_of(modules)
    seen = {}
    agent.update_pi = lambda zs, action, mu, std, task: seen.update(mu=mu, std=std) or {}
    agent.update(mixed)
    assert torch.equal(seen["mu"][:, :4], action[:, :4])
    assert torch.allclose(seen["std"][:, :4], torch.tensor(exp(cfg.log_std_max)))
    assert torch.equal(seen["std"][:, 4:], torch.ones(3, 4, 2))


def test_demonstrations_that_are_stored_have_no_statistics(specimen):
    """Also where storage fills in zeros for what the demonstrations lack, in the buffer that online data go to."""
    buffer = specimen(["planner-stats"])["common.buffer"].Buffer(batch_size=8)
    rows = {"obs": torch.zeros(12, 3), "action": torch.ones(12, 2), "reward": torch.ones(12)}
    rows |= {"task": torch.zeros(12), "episode": torch.arange(2).repeat_interleave(6)}
    buffer.load_demos(TensorDict(rows, batch_size=12))
    _, action, mu, std, _, _ = buffer.sample("cpu")
    assert action.shape == mu.shape == (3, 8, 2)
    assert mu.isnan().all() and std.isnan().all()


def trainer_of(modules, agent=None, **settings):
    cfg, real = agent_of(modules, **settings)
    agent = agent or real
    trainer = modules["trainer"].Trainer(
        cfg, FakeEnv([cfg.episode_length] * cfg.num_envs), agent, modules["common.buffer"].Buffer(), SilentLogger()
    )
    agent.trainer = trainer
    trainer.eval = dict
    if agent is not real and hasattr(trainer, "eval_policy"):
        trainer.eval_policy = dict
    return trainer, agent


@pytest.mark.parametrize("mode", ["residual", "sac", "awac", "bc_sac", "bc"])
def test_the_fully_patched_tree_trains(specimen, mode):
    trainer, agent = trainer_of(specimen(ALL), steps=1_300, actor_mode=mode, burst_updates=5)
    seen = []
    update = agent.update
    agent.update = lambda buffer: seen.append(trainer._step) or update(buffer)
    trainer.train()
    assert seen[:5] == [1_000] * 5
    assert len(seen) == 5 + int(75 * 4 * 0.05)
    assert all(p.isfinite().all() for p in agent.model.parameters())


def test_the_unpatched_tree_trains_too(specimen):
    trainer, _ = trainer_of(specimen([]), steps=700)
    trainer.train()


class Asked(CountingAgent):
    """Takes the keyword that the patch adds."""

    def __call__(self, obs, return_stats=False, **rest):
        action, mu, std = super().__call__(obs, **rest)
        return (action, mu, std) if return_stats else action


def test_seeding_rows_and_planner_rows(specimen):
    trainer, agent = trainer_of(specimen(["mu-std", "seeding"]), agent=Asked(), steps=1_200)
    agent.update = lambda buffer: {}
    trainer.train()
    assert agent.acted_at[0] == 1_000
    for td in trainer.buffer._buffer.episodes:
        row = td[1:]
        random = row["reward"] < 1_000
        assert torch.equal(row["mu"][random], row["action"][random])
        assert torch.allclose(row["std"][random], torch.tensor(exp(2.0)))
        assert torch.equal(row["mu"][~random], row["action"][~random] / 2)


def test_a_demo_pretrained_agent_keeps_acting(specimen):
    trainer, agent = trainer_of(specimen(["mu-std", "seeding"]), agent=Asked(), steps=20, use_demos=True, demo_steps=1)
    agent.update = lambda buffer: {}
    trainer.train()
    assert agent.acted_at[0] == 0


def _among(wanted: torch.Tensor, values: tuple[Any, ...]) -> bool:
    tensors = [x for x in values if isinstance(x, torch.Tensor) and x.shape == wanted.shape]
    return any(torch.allclose(x, wanted) for x in tensors)


def _callers_get_what_they_got(tree: Tree, run: Run) -> None:
    first = torch.ones(ENVS, dtype=torch.bool)
    obs, task = torch.zeros(ENVS, 3), torch.zeros(ENVS, dtype=torch.int64)
    before = make_agent(Tree(tree.name).modules, make_cfg(Tree(tree.name).modules, LENGTHS))(obs, t0=first, task=task)
    agent = make_agent(tree.modules, run.cfg)
    after = agent(obs, t0=first, task=task)
    assert type(before) is type(after)
    assert not isinstance(after, tuple) or len(before) == len(after)
    for script in ("rollout", "record"):
        if hasattr(tree.modules, script):
            assert len(getattr(getattr(tree.modules, script), script)(FakeEnv(LENGTHS), agent, task, 3)) == 3


def _demonstrations_count_as_wide(tree: Tree, run: Run, rows: dict[float, Any]) -> None:
    buffers = tree.modules.buffer
    offline = buffers.Buffer(batch_size=4)
    count = 2 * (H + 2)
    demos = {"obs": torch.zeros(count, 3), "action": torch.rand(count, 2), "reward": -1.0 - torch.arange(count)}
    demos |= {"task": torch.zeros(count, dtype=torch.int64), "episode": torch.arange(2).repeat_interleave(count // 2)}
    td = TensorDict(demos, batch_size=count)
    if hasattr(offline, "load_demos"):
        offline.load_demos(td.clone())
    else:
        for episode in td.split(count // 2):
            offline.add(episode.unsqueeze(0))
    mixed = buffers.EnsembleBuffer(offline, batch_size=8)
    mixed._buffer.episodes.extend(run.episodes[-ENVS:])
    done = update(make_agent(tree.modules, run.cfg), mixed)
    wide = {
        float(r): {"mu": a, "std": torch.full_like(a, WIDE)} for r, a in zip(td["reward"], td["action"], strict=True)
    }
    for name in STATS:
        assert _among(done.expected({**rows, **wide}, name), done.arguments), f"{name} of demonstrations"


def promise(tree: Tree) -> None:
    """What the patch promises, on any specimen, by what the tree does."""
    run = usual_run(tree)
    _callers_get_what_they_got(tree, run)
    rows = stored(run)
    for iteration, (picked, spread) in run.picked.items():
        for i in (0, 7):
            row = rows.get(iteration * ENVS + i)
            if row is not None:
                torch.testing.assert_close(row["mu"], picked[i])
                torch.testing.assert_close(row["std"], spread[i])
    done = update(make_agent(tree.modules, run.cfg), planned_rows(run))
    assert not torch.allclose(done.expected(rows, "mu"), done.expected(rows, "action"))
    for name in STATS:
        assert _among(done.expected(rows, name), done.arguments), f"{name} does not reach the policy's update"
    _demonstrations_count_as_wide(tree, run, rows)
