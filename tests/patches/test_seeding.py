"""`seeding`: when learning starts, and on what."""

from __future__ import annotations

import pytest
import torch
from observed import H, Tree, usual_run
from specimens import Run, texts
from tables import refused, refused_in_plain
from trees import PATCHES, make_trainer, sources, stored_rewards

from newtfix import testing
from newtfix.errors import Refused
from newtfix.plan.engine import plan
from newtfix.testing import variant

SEEDING = ["seeding"]


def segments(trainer):
    """What was added to the buffer, one list of (observation, reward) rows per call."""
    added = []
    add = trainer.buffer.add

    def record(td, *args):
        rows = td[0]
        added.append([(tuple(o.tolist()), float(r)) for o, r in zip(rows["obs"], rows["reward"], strict=True)])
        return add(td, *args)

    trainer.buffer.add = record
    return added


@pytest.mark.parametrize(("ids", "first_update"), [([], 25_000), (SEEDING, 1_260)], ids=["newt", "seeding"])
def test_first_update_of_20_environments_with_250_steps(ids, first_update):
    trainer = make_trainer(ids, [250] * 20, steps=first_update)
    trainer.train()
    assert min(trainer.agent.updated_at) == first_update
    assert trainer.agent.stored_at_first_update is not None
    assert sorted(trainer.agent.stored_at_first_update) == list(range(first_update))


@pytest.mark.parametrize("length", [250, 500])
def test_one_environment_starts_exactly_at_the_threshold(length):
    trainer = make_trainer(SEEDING, [length], steps=5 * length, utd=1.0)
    trainer.train()
    assert trainer.agent.updated_at[0] == 5 * length


def test_short_episodes_seed_a_thousand_steps():
    trainer = make_trainer(SEEDING, [10] * 4, steps=1_100, utd=1.0)
    trainer.train()
    assert trainer.agent.updated_at[0] == 1_000


@pytest.mark.parametrize(
    "lengths",
    [[250] * 20, [50] * 7, [21] * 16, [5] * 3, [4] * 300, [17] * 999],
    ids=lambda lengths: f"{len(lengths)}x{lengths[0]}",
)
def test_nothing_is_lost_or_stored_twice_and_no_segment_is_too_short(lengths):
    trainer = make_trainer(SEEDING, lengths, steps=2_500 + 40 * len(lengths))
    added = segments(trainer)
    trainer.train()
    stored = [reward for segment in added for _, reward in segment[1:]]
    assert len(stored) == len(set(stored))
    running = trainer.env.t.sum().item() - trainer._segment_start.sum().item()
    assert len(stored) + running == trainer.env.transitions
    assert min(len(segment) for segment in added) >= trainer.cfg.horizon + 1


def test_segments_are_contiguous_and_start_where_the_last_one_ended():
    trainer = make_trainer(SEEDING, [250] * 20, steps=6_000)
    added = segments(trainer)
    trainer.train()
    for segment in added:
        times = [obs[2] for obs, _ in segment]
        assert times[1:] == [times[0] + k for k in range(1, len(times))]
        assert len({obs[0] for obs, _ in segment}) == 1
        assert segment[0][1] != segment[0][1], "the first row of a segment carries no reward"
    handed_over = [segment for segment in added if segment[-1][0][2] == 63]
    rests = [segment for segment in added if segment[0][0][2] == 63]
    assert len(handed_over) == len(rests) == 20
    assert all(segment[-1][0][2] == 250 for segment in rests)


def test_no_sampled_slice_crosses_from_one_segment_into_another():
    trainer = make_trainer(SEEDING, [250] * 20, steps=6_000)
    trainer.train()
    trainer.buffer._batch_size = 4_000
    _, _, _, _, reward, _ = trainer.buffer.sample("cpu")
    assert not reward.isnan().any()
    assert torch.equal(reward[1:], reward[:-1] + 20)


@pytest.mark.parametrize(("lengths", "held_back"), [([418] * 5, 2), ([419] * 5, 0)], ids=["two left", "none left"])
def test_a_rest_that_would_be_too_short_keeps_what_it_needs(lengths, held_back):
    """5 * 418 = 2,090 seed steps are 418 each, a whole episode; 2,095 are 419. One step earlier leaves a short rest."""
    trainer = make_trainer(SEEDING, lengths, steps=4 * sum(lengths), utd=1.0)
    trainer._seed_steps -= 5 * (1 if held_back else 0)
    added = segments(trainer)
    trainer.train()
    assert len(trainer.agent.stored_at_first_update) == trainer._seed_steps - 5 * held_back
    assert min(map(len, added)) >= 4


def test_every_place_that_asks_asks_the_same_question():
    from trees import patched

    assert "seeding_coef" not in patched(frozenset(SEEDING))["trainer.py"]


def test_a_run_that_starts_past_the_threshold_waits_for_data():
    trainer = make_trainer(SEEDING, [250] * 20, steps=31_000)
    trainer._step = 30_000
    trainer.train()
    assert trainer.agent.updated_at[0] == 30_060
    assert stored_rewards(trainer.buffer)


def test_ranks_count_their_steps_together():
    trainer = make_trainer(SEEDING, [250] * 4, steps=1_400, world_size=2, num_global_tasks=2)
    trainer.train()
    assert trainer.agent.updated_at[0] >= 1_250
    assert trainer.agent.acted_at[1] - trainer.agent.acted_at[0] == 8


def test_an_episode_too_short_to_sample_does_not_start_the_training():
    trainer = make_trainer(SEEDING, [250] * 999, steps=5_000)
    step = trainer.env.step

    def first_ends_early(action):
        out = step(action)
        if trainer.env.t[0] == 2:
            out[3][0] = True
            trainer.env.t[0] = 0
            out[4]["final_observation"] = out[0][:1]
            out[4]["final_info"] = {name: torch.zeros(999) for name in ("success", "score")}
            trainer.env.step = step
        return out

    trainer.env.step = first_ends_early
    trainer.train()
    assert trainer.agent.updated_at[0] == 2_997


@pytest.mark.parametrize("ids", [["seeding", "episode-rows"], ["seeding", "episode-rows", "first-obs", "burst"]])
def test_an_evaluation_in_the_middle_of_an_episode_loses_no_seed_transition(ids):
    """Where lengths differ, the shorter episodes are running when an evaluation starts all of them anew."""
    trainer = make_trainer(ids, [200, 300], steps=1_600, eval_freq=600, **{"num_global_tasks": 1})
    trainer.train()
    first = trainer.agent.stored_at_first_update
    assert sorted(first) == list(range(len(first)))
    assert len(first) >= 1_500
    rewards = stored_rewards(trainer.buffer)
    assert len(rewards) == len(set(rewards))


def test_a_resumed_run_goes_on_at_once_with_the_replay_that_it_loaded():
    earlier = make_trainer(SEEDING, [250] * 4, steps=3_000, utd=0.5)
    earlier.train()
    trainer = make_trainer(SEEDING, [250] * 4, steps=3_600, utd=0.5)
    trainer.buffer, trainer._step = earlier.buffer, 3_000
    added = segments(trainer)
    trainer.train()
    assert trainer.agent.updated_at[0] == 3_004
    assert all(len(segment) == 251 for segment in added), "no episode was cut"


def test_a_run_resumed_past_the_threshold_without_replay_trains_as_soon_as_it_can():
    trainer = make_trainer(SEEDING, [250] * 4, steps=3_200, utd=0.5)
    trainer._step = 3_000
    trainer.train()
    assert trainer.agent.updated_at[0] == 3_000 + 3 * 4


def test_a_threshold_that_is_named_before_what_it_is_made_of() -> None:
    early = "cfg.seeding_coef * cfg.num_envs * cfg.episode_length * cfg.world_size"
    tree = variant(
        sources(),
        "trainer.py",
        ("        self._start_time = time()\n", f"        self._until = {early}\n        self._start_time = time()\n"),
        ("if self._step >= self.cfg.seeding_coef * self._update_freq:", "if self._step >= self._until:"),
    )
    patched = plan(tree, ["seeding"], PATCHES).after["trainer.py"]
    assert "        self._until = max(1000, 5 * cfg.episode_length)\n" in patched


def test_a_property_that_asks_another_whether_seeding_is_over() -> None:
    threshold = "self._step >= self.cfg.seeding_coef * self._update_freq"
    properties = (
        "\t@property\n\tdef seeding_steps(self) -> int:\n\t\t'''Steps at random.'''\n"
        "\t\treturn self.cfg.seeding_coef * self._update_freq\n\n"
        "\t@property\n\tdef is_seeding(self):\n\t\treturn self._step < self.seeding_steps\n\n"
    )
    trainer = texts("plain")["trainer.py"].replace(threshold, "not self.is_seeding")
    trainer = trainer.replace("\tdef eval(self):\n", f"{properties}\tdef eval(self):\n")
    tree = {**texts("plain"), "trainer.py": trainer}
    patched = plan(tree, ["seeding", "burst"], PATCHES).after["trainer.py"]
    assert "\t\treturn self._seed_steps\n" in patched
    assert "\t\treturn self._step < self.seeding_steps\n" in patched
    assert "\t\t\tuse_mpc = not self.is_seeding\n" in patched
    assert "\t\t\tif self._step >= self._seed_steps and self._hand_over_segments(ep_len):\n" in patched


THRESHOLD_IF = "                if self._step >= self.cfg.seeding_coef * self._update_freq:\n"


def changed(file, *changes):
    return testing.variant(sources(), file, *changes)


def apply(tree, *ids):
    return testing.apply(tree, *ids, patches=PATCHES)


def test_seeding_ends_the_threshold_in_a_local_variable():
    local = "                seed_until = self.cfg.seeding_coef * self._update_freq\n"
    tree = changed("trainer.py", (THRESHOLD_IF, local + "                if self._step >= seed_until:\n"))
    after = apply(tree, "seeding")["trainer.py"]
    assert "                seed_until = self._seed_steps\n" in after
    assert "if self._step >= seed_until and self._hand_over_segments(ep_len):\n" in after


def test_a_threshold_in_a_variable_that_changes_is_refused():
    """Its code moves to places where the variable does not exist."""
    local = "                seed_until = self.cfg.seeding_coef * self._update_freq\n                seed_until += 1\n"
    tree = changed("trainer.py", (THRESHOLD_IF, local + "                if self._step >= seed_until:\n"))
    for name in ("burst", "mu-std", "seeding"):
        with pytest.raises(Refused):
            apply(tree, name)


SPELLED = "self.cfg.seeding_coef * self.cfg.num_envs * self.cfg.episode_length * self.cfg.world_size"


THRESHOLD = "self.cfg.seeding_coef * self._update_freq"


def test_a_threshold_that_is_spelled_out_is_found():
    after = apply(changed("trainer.py", (THRESHOLD, SPELLED)), "seeding", "mu-std")["trainer.py"]
    assert "seeding_coef" not in after
    assert "use_mpc = self._step >= self._seed_steps" in after


def test_a_second_spelling_of_the_threshold_is_refused():
    """It would go on to ask newt's question."""
    second = "                self._late = self._step >= 7 * self.cfg.seeding_coef\n"
    tree = changed("trainer.py", ("                # Update agent\n", second + "                # Update agent\n"))
    with pytest.raises(Refused, match=r"`self\.cfg\.seeding_coef` stands in another place, too: self\._late = "):
        apply(tree, "seeding")


def test_an_agent_that_acts_from_the_start_is_not_taken_for_one_that_waits():
    both = "                use_mpc = True\n                use_agent = True\n"
    early = "                use_mpc = self._step >= self.cfg.seeding_coef * self._update_freq\n"
    with pytest.raises(Refused, match="'mu-std' does not fit") as refused:
        apply(changed("trainer.py", (both, early + "                use_agent = True\n")), "mu-std")
    assert "'who-acts'" in refused.value.detail
    waits = early + "                use_agent = self.cfg.finetune or use_mpc\n"
    assert "mu = action.clone()" in apply(changed("trainer.py", (both, waits)), "mu-std")["trainer.py"]


UPDATING = "                # Update agent\n"


STORED_ROW = (
    "                td = self.to_td(_obs, action, mu, std, reward, terminated)\n"
    "                self._tds[ep_len] = td\n"
)


def test_updates_before_the_step_is_stored() -> None:
    text = sources()["trainer.py"]
    start, end = text.index(UPDATING), text.index("                self._check_finite(train_metrics)\n")
    updating = text[start:end]
    moved = text.replace(updating, "").replace(STORED_ROW, updating + STORED_ROW)
    with pytest.raises(Refused, match="does not fit"):
        plan({**sources(), "trainer.py": moved}, ["seeding"], PATCHES)


ADD = "                            self.buffer.add(_td, self.cfg.world_size, self.cfg.rank)\n"


REFUSED = {
    "episodes that are changed on their way": (
        "trainer.py",
        "add(_td,",
        "add(self._relabel(_td),",
        "add",
    ),
    "episodes that were changed before": (
        "trainer.py",
        ADD,
        f"                            _td = self._relabel(_td)\n{ADD}",
        "episodes do not go to self.buffer.add alone",
    ),
    "a buffer for whole episodes": (
        "common/buffer.py",
        "        length = td.shape[1]\n",
        "        length = td.shape[1]\n        if length != self._episode_length + 1:\n            return 0\n",
        "add asks for a length",
    ),
    "returns that are computed where episodes are stored": (
        "common/buffer.py",
        "        length = td.shape[1]\n",
        '        length = td.shape[1]\n        td["returns"] = td["reward"].flip(1).cumsum(1).flip(1)\n',
        "add marks rows",
    ),
    "episodes that go elsewhere as well": (
        "trainer.py",
        ADD,
        f"{ADD}                            self.logger.save_episode(_td[0])\n",
        "episodes do not go to self.buffer.add alone",
    ),
    "episodes that are marked where they are stored": (
        "common/buffer.py",
        "        length = td.shape[1]\n",
        '        length = td.shape[1]\n        td["done"][:, -1] = True\n',
        "add marks rows",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    refused("seeding", *REFUSED[case])


STORED = "\t\t\t\t_td = self._tds[:ep_len[i]+1, i].unsqueeze(0)\n"


ACTS = "\t\tmpc = mpc if mpc is not None else self.cfg.mpc\n"


REFUSED_IN_PLAIN = {
    "episodes that are also written down": (
        "trainer.py",
        STORED,
        f"{STORED}\t\t\t\ttorch.save(_td.clone(), 'episode.pt')\n",
        "episodes do not go to self.buffer.add alone",
    ),
    "an agent that waits for the end of seeding itself": (
        "tdmpc2.py",
        ACTS,
        f"{ACTS}\t\tmpc = mpc and step >= self.cfg.seeding_coef * self.cfg.num_envs * self.cfg.episode_length\n",
        "the patch does not go with this code of TDMPC2: mpc = mpc and step",
    ),
}


@pytest.mark.parametrize("case", REFUSED_IN_PLAIN)
def test_refused_in_plain(case: str) -> None:
    refused_in_plain("seeding", *REFUSED_IN_PLAIN[case])


STORE_IN_PLAIN = "\t\t\t\tself.buffer.add(_td, self.cfg.world_size, self.cfg.rank)\n"


GUARDED_IN_PLAIN = {
    "episodes that are filtered": (
        "trainer.py",
        STORE_IN_PLAIN,
        "\t\t\t\tif ep_len[i] >= 3:\n\t" + STORE_IN_PLAIN,
        "self.buffer.add is not called whenever an episode is over",
    ),
    "episodes that are relabelled": (
        "trainer.py",
        STORE_IN_PLAIN,
        "\t\t\t\t_td['reward'] = self.relabel(_td)\n" + STORE_IN_PLAIN,
        "episodes do not go to self.buffer.add alone",
    ),
    "an agent that acts from another step on than it learns": (
        "trainer.py",
        "\t\t\tuse_mpc = self._step >= self.cfg.seeding_coef * self._update_freq\n",
        "\t\t\tuse_mpc = self._step >= self.cfg.random_steps\n",
        "'threshold'",
    ),
}


@pytest.mark.parametrize("case", GUARDED_IN_PLAIN)
def test_guarded_in_plain(case: str) -> None:
    refused_in_plain("seeding", *GUARDED_IN_PLAIN[case])


def promise(tree: Tree) -> None:
    """What the patch promises, on any specimen, by what the tree does."""
    run = usual_run(tree)
    assert run.updated[0] == 1000
    assert run.acted[0] in (0, 1000)
    assert sorted(run.first_batch) == list(range(1000))
    assert len(run.rewards()) == len(set(run.rewards()))
    assert min(len(rows) for rows in run.episodes) > H
    long = Run(tree.modules, [250] * 40, steps=1300).train()
    assert long.updated[0] == 1280
    assert sorted(long.first_batch) == list(range(1280))
