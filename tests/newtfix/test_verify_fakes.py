"""What stands around a tree that verify observes: replay, environments, loggers, libraries and a GPU."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tensordict import TensorDict

from newtfix.parity.pinned import OnCpu
from newtfix.parity.standin import AnyModule, Anything, StandIns, place_in_tree
from newtfix.verify.fakes import Acted, Env, FinalInfo, Log, Metrics
from newtfix.verify.standins import Bar, ReplayBuffer, SliceSampler, Storage
from newtfix.verify.world import Compiler, uncompiled, without_cuda


def _replay() -> ReplayBuffer:
    sampler = SliceSampler(num_slices=6, traj_key="episode", strict_length=True)
    return ReplayBuffer(storage=Storage(1000), sampler=sampler, batch_size=24, transform=lambda td: td.view(-1, 4))


def _episode(number: int, first: int, length: int, **more: torch.Tensor) -> TensorDict:
    rows = {"x": torch.arange(first, first + length), "episode": torch.full((length,), number), **more}
    return TensorDict(rows, batch_size=(length,))


def test_the_stand_in_for_replay_draws_whole_slices_of_long_enough_episodes():
    replay = _replay()
    for episode in (_episode(0, 0, 5), _episode(1, 5, 3), _episode(2, 8, 6)):
        replay.extend(episode)
    drawn = torch.cat([replay.sample()["x"] for _ in range(50)])
    assert drawn.shape == (300, 4)
    assert set(drawn[:, 0].tolist()) == {0, 1, 8, 9, 10}
    assert torch.equal(drawn, drawn[:, :1] + torch.arange(4))


def test_the_stand_in_for_replay_holds_zeros_where_rows_lack_a_key():
    replay = _replay()
    replay.extend(_episode(0, 0, 4, mu=torch.ones(4)))
    replay.extend(_episode(1, 4, 4))
    replay.extend(_episode(2, 8, 4, std=torch.ones(4)))
    rows = replay.storage.get(slice(None))
    assert rows["mu"].tolist() == [1.0] * 4 + [0.0] * 8
    assert rows["std"].tolist() == [0.0] * 8 + [1.0] * 4


def test_the_stand_in_for_replay_refuses_to_sample_what_is_too_short():
    replay = _replay()
    with pytest.raises(RuntimeError, match="empty storage"):
        replay.sample()
    replay.extend(_episode(0, 0, 3))
    with pytest.raises(RuntimeError, match="sufficient length"):
        replay.sample()


def test_the_stand_in_for_replay_finds_episodes_by_where_they_end_and_draws_single_rows():
    rows = TensorDict(
        {"x": torch.arange(6), "next": {"done": torch.tensor([0, 0, 1, 0, 0, 0]).bool()}}, batch_size=(6,)
    )
    slices = ReplayBuffer(storage=Storage, sampler=SliceSampler(slice_len=3), batch_size=6)
    slices.append_transform(lambda drawn: drawn.view(-1, 3))
    slices.extend(rows)
    drawn, info = slices.sample(return_info=True)
    assert {tuple(row) for row in drawn["x"].tolist()} <= {(0, 1, 2), (3, 4, 5)}
    assert info["index"].shape == (6,)

    single = ReplayBuffer(storage=lambda: Storage(4))
    for row in rows:
        single.add(row)
    assert len(single) == 4 and single[0]["x"] == 4, "the oldest rows are overwritten"
    assert single.sample(3)["x"].shape == (3,)
    assert single.storage[0]["x"] == 4 and single.sampler is None
    assert isinstance(single.dim_extend, Anything) and not hasattr(single, "__deepcopy__")


def test_a_sampler_that_is_not_strict_wants_every_episode_to_be_long_enough():
    """As torchrl, whose samples would otherwise be of different lengths."""
    replay = ReplayBuffer(storage=Storage(9), sampler=SliceSampler(slice_len=3, traj_key="e", strict_length=False))
    replay.extend(TensorDict({"e": torch.tensor([0, 0, 0, 1, 1])}, batch_size=(5,)))
    with pytest.raises(RuntimeError, match="sufficient length"):
        replay.sample(3)


def test_the_stand_in_for_progress_bars_only_counts_through():
    with Bar([1, 2], desc="x") as bar:
        bar.set_postfix(loss=1)
        Bar.write("not printed")
        assert list(bar) == [1, 2] and list(Bar()) == []


# --- what stands around a trainer -------------------------------------------------------------------------------------


def test_an_action_that_is_not_taken_as_the_agent_chose_it_is_nobodys():
    env = Env([2, 2], 1, lambda: 5)
    env.reset()
    env.note(Acted(5, torch.zeros(2, 1), torch.ones(2, 1), None, True, False))
    env.step(torch.zeros(2, 1))
    env.note(Acted(5, torch.zeros(2, 1), None, None, True, False))
    _, _, _, _, info = env.step(torch.ones(2, 1))
    first, last = env.transitions[0, 1, 1], env.transitions[0, 1, 2]
    assert (first.by_agent, last.by_agent) == (True, False)
    assert first.value("mu") == 1 and last.value("mu") is None
    assert info["final_info"]["success"].shape == (2,) and info["final_info"][1].keys() == {"success", "score"}
    with pytest.raises(KeyError):
        FinalInfo()["not told"]


@pytest.mark.parametrize("made", [Env([2], 1, lambda: 0), Log(), Anything(), AnyModule("nobody_has_this")])
def test_fakes_have_anything_but_what_python_looks_for_itself(made):
    assert isinstance(made.whatever_a_tree_asks(1).it.gives, Anything)
    assert not hasattr(made, "__array__")


def test_an_environment_and_metrics_take_what_trees_ask_of_them():
    env = Env([2], 1, lambda: 0)
    env.close()
    assert env.render(mode="rgb_array").dtype == torch.uint8
    assert float(Metrics(loss=3)["unknown"]) == 1 and Metrics(loss=3)["loss"] == 3


def test_a_stand_in_is_a_folder_and_a_base_that_hides_no_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Path(os.fspath(Anything())).is_dir()
    missing: Any = AnyModule("nobody_has_this").Base

    class Alone(missing):
        pass

    class Beside(dict, missing):  # type: ignore[type-arg]
        pass

    assert isinstance(Alone(1, two=3), Alone)
    assert Beside(one=1) == {"one": 1} and Beside.__mro__ == (Beside, dict, object)


def test_a_library_gets_a_stand_in_only_where_the_tree_asks_for_one_that_is_not_installed(tmp_path):
    library = StandIns(tmp_path)
    try:
        for name in ("torch", "json", tmp_path.name, "nobody_has_this"):
            error = ModuleNotFoundError("not from the tree", name=name)
            assert not library.replaces(error)
        (tmp_path / "asks.py").write_text("raise ModuleNotFoundError('no', name='json')\n")
        with pytest.raises(ModuleNotFoundError) as caught:
            exec(compile((tmp_path / "asks.py").read_text(), tmp_path / "asks.py", "exec"))
        assert not library.replaces(caught.value), "it is installed"
        assert library.places == {}
    finally:
        sys.meta_path.remove(library)


def test_the_place_of_a_syntax_error_is_where_it_is(tmp_path):
    with pytest.raises(SyntaxError) as caught:
        compile("x = (\n", str(tmp_path / "broken.py"), "exec")
    assert place_in_tree(caught.value, tmp_path) == "broken.py:1"


def test_code_for_a_gpu_runs_without_one():
    with without_cuda():
        x = torch.zeros(2)
        assert x.cuda() is x and x.pin_memory() is x
        assert torch.zeros(1, device="cuda", pin_memory=True).device.type == "cpu"
        assert float(torch.compile(mode="max-autotune")(lambda a: a + 1)(x)[0]) == 1
    with OnCpu():
        assert x.cuda() is x


def test_what_is_compiled_is_counted_and_stays_what_it_is():
    network = torch.nn.Linear(1, 1)
    with Compiler() as compiler:
        assert torch.compile(network) is network
        assert torch.compile(dynamic=True)(math.floor)(1.5) == 1
    assert compiler.compiled == 2
    assert uncompiled(fullgraph=True)(network) is network
