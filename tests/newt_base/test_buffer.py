"""Replay: slices stay within one episode, are equally likely, and disappear with the rows they need."""

import pytest
import torch
from tensordict import TensorDict

from newt_base.common.buffer import Buffer
from newt_base.common.storage import Place


def episode(number, length):
    """Rows whose observation and reward say where they are from: 1000 * episode + row."""
    code = 1000.0 * number + torch.arange(length)
    action = torch.stack([code, code], dim=1)
    return TensorDict(
        {
            "obs": code.unsqueeze(1),
            "action": action,
            "mu": action + 0.25,
            "std": action + 0.5,
            "reward": code,
            "task": torch.zeros(length, dtype=torch.int32),
        },
        batch_size=(length,),
    ).unsqueeze(0)


def filled(lengths, capacity=1_000, batch_size=4_000):
    buffer = Buffer(capacity, batch_size, horizon=3)
    for number, length in enumerate(lengths, 1):
        buffer.add(episode(number, length))
    return buffer


def same_samples(one, other):
    torch.manual_seed(0)
    batch = one.sample("cpu")
    torch.manual_seed(0)
    return all(torch.equal(a, b) for a, b in zip(batch, other.sample("cpu"), strict=True))


def test_shapes_and_alignment():
    obs, action, mu, std, reward, task = filled([10, 7]).sample("cpu")
    assert obs.shape == (4, 4_000, 1)
    assert action.shape == mu.shape == std.shape == (3, 4_000, 2)
    assert reward.shape == (3, 4_000, 1)
    assert task.shape == (3, 4_000)
    assert torch.equal(obs[1:], reward)
    assert torch.equal(mu, action + 0.25)
    assert torch.equal(std, action + 0.5)


def test_everything_sampled_is_contiguous_and_its_own():
    buffer = filled([10, 7])
    batch = buffer.sample("cpu")
    assert all(value.is_contiguous() for value in batch)
    for value in batch:
        value.zero_()
    assert buffer._storage["obs"][:17].any()


def test_a_seed_draws_the_slices_by_their_number():
    buffer = filled([10, 3, 7, 4], batch_size=50)
    starts = torch.tensor([1000 + t for t in range(7)] + [3000 + t for t in range(4)] + [4000])
    torch.manual_seed(3)
    expected = starts[torch.randint(12, (50,))]
    torch.manual_seed(3)
    obs, *_ = buffer.sample("cpu")
    assert torch.equal(obs[0].flatten().long(), expected)


def test_no_slice_leaves_its_episode_and_every_slice_occurs():
    obs, *_ = filled([10, 3, 7, 4]).sample("cpu")
    assert torch.equal(obs[1:], obs[:-1] + 1)
    starts = {1000 + t for t in range(7)} | {3000 + t for t in range(4)} | {4000}
    assert set(obs[0].flatten().tolist()) == starts


def test_slices_are_equally_likely():
    obs, *_ = filled([23, 8], batch_size=25_000).sample("cpu")
    _, counts = obs[0].unique(return_counts=True)
    assert len(counts) == 25
    assert counts.min() > 850
    assert counts.max() < 1_150


@pytest.mark.parametrize("capacity", [20, 21, 37])
def test_overwritten_episodes_are_never_sampled(capacity):
    buffer = filled([9] * 30, capacity=capacity)
    obs, *_ = buffer.sample("cpu")
    assert torch.equal(obs[1:], obs[:-1] + 1)
    oldest = 30 * 9 - capacity
    rows = (obs[0].flatten() // 1000 - 1) * 9 + obs[0].flatten() % 1000
    assert rows.min() >= oldest
    assert len(buffer) == capacity


def test_an_empty_buffer_says_so():
    with pytest.raises(RuntimeError, match="0 episodes and no slice of 4 rows"):
        Buffer(100, 8).sample("cpu")
    with pytest.raises(RuntimeError, match="1 episodes and no slice"):
        filled([3]).sample("cpu")


@pytest.mark.parametrize(
    ("length", "message"), [(51, "an episode of 51 rows does not fit into buffer_size=50")], ids=["too long"]
)
def test_what_does_not_fit_is_refused(length, message):
    with pytest.raises(ValueError, match=message):
        Buffer(50, 8).add(episode(1, length))


def test_saved_and_loaded(tmp_path):
    buffer = filled([10, 7])
    buffer.save(tmp_path / "replay")
    again = Buffer(1_000, 4_000)
    again.load(tmp_path / "replay")
    assert len(again) == 17
    torch.manual_seed(0)
    one = buffer.sample("cpu")
    torch.manual_seed(0)
    assert all(torch.equal(a, b) for a, b in zip(one, again.sample("cpu"), strict=True))
    with pytest.raises(ValueError, match="capacity=1000, this run has 999"):
        Buffer(999, 8).load(tmp_path / "replay")


@pytest.mark.parametrize("lengths", [[10, 7], [9] * 30], ids=["part", "wrapped"])
@pytest.mark.parametrize("places", [("cpu", "mmap"), ("mmap", "cpu"), ("mmap", "mmap")], ids="-to-".join)
def test_what_one_storage_saves_another_one_loads(tmp_path, places, lengths):
    one, other = (Buffer(100, 40, device=Place.of(place, folder=tmp_path)) for place in places)
    for number, length in enumerate(lengths, 1):
        one.add(episode(number, length))
    other.add(episode(99, 5))
    one.save(tmp_path / "replay")
    other.load(tmp_path / "replay")
    for buffer in (one, other):
        buffer.add(episode(77, 12))
    assert same_samples(one, other)


def test_only_what_is_stored_is_saved(tmp_path):
    filled([10, 7], capacity=1_000_000).save(tmp_path / "replay")
    assert (tmp_path / "replay").stat().st_size < 10_000


def test_an_empty_buffer_is_saved_and_loaded(tmp_path):
    Buffer(100, 8).save(tmp_path / "replay")
    again = Buffer(100, 8)
    again.load(tmp_path / "replay")
    assert len(again) == again.num_eps == 0


def test_other_rows_are_refused_before_anything_changes(tmp_path):
    filled([10, 7]).save(tmp_path / "replay", step=3)
    other = Buffer(1000, 8)
    other.reserve({"obs": ((99,), torch.float32)})
    with pytest.raises(ValueError, match="its rows hold"):
        other.load(tmp_path / "replay")
    assert len(other) == 0


def test_an_insertion_takes_the_values_of_that_episode_alone():
    buffer = filled([10])
    other = episode(2, 6).double()
    other["task"] += 3
    buffer.add(other)
    assert buffer._storage["obs"].dtype == torch.float32
    assert buffer._storage["task"][:16].tolist() == [0] * 10 + [3] * 6


@pytest.mark.parametrize(
    ("capacity", "lengths"), [(600, [501] * 40), (600, [301, 21] * 40), (100, [7] * 60), (90, [60, 3, 31] * 20)]
)
def test_a_ring_that_wraps_draws_from_what_is_left_and_nothing_else(capacity, lengths):
    """Against a list of all rows: every slice of one episode whose rows are all there, each as likely."""
    buffer = Buffer(capacity, batch_size=3_000, horizon=3)
    rows = []
    for number, length in enumerate(lengths, 1):
        buffer.add(episode(number, length))
        rows = (rows + [1000 * number + row for row in range(length)])[-capacity:]
        left = {a for a, b in zip(rows, rows[3:], strict=False) if b - a == 3}
        assert buffer.num_slices == len(left)
        obs, *_ = buffer.sample("cpu") if left else (torch.zeros(4, 0, 1),)
        assert {int(o) for o in obs[0]} <= left
        assert (obs[1:] - obs[:-1] == 1).all()
