"""Memory for replay: how rows are laid out, where they go, and what is said when they do not fit anywhere."""

import gc
from types import SimpleNamespace

import pytest
import torch

from newt_base.common.buffer import Buffer, row_of
from newt_base.common.storage import START, WORD, Layout, Place, StorageError, free_host
from newt_base.config import load_cfg, parse_cfg
from newt_base.train import main

CUDA = torch.device("cuda:0")
ROW = {"obs": ((5,), torch.float32), "reward": ((), torch.float32), "task": ((), torch.int32)}
GB = 10**9


@pytest.fixture
def free(monkeypatch):
    """Bytes that are free, by kind of place, to be set by the test."""
    amounts = {}
    monkeypatch.setattr(Place, "free", lambda place: amounts.get(place.kind))
    return amounts


# --------------------------------------------------------------------- rows


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        {"obs": ((3,), torch.float32), "code": ((2,), torch.float64), "done": ((), torch.bool)},
        {"frame": ((3, 2, 3), torch.uint8), "number": ((), torch.int64), "half": ((5,), torch.float16)},
    ],
    ids=["as stored here", "wide", "narrow"],
)
def test_values_come_back_as_they_were(row):
    values = {name: (torch.rand(6, *shape) * 100).to(dtype) for name, (shape, dtype) in row.items()}
    layout = Layout(row)
    rows = layout.packed(values)
    assert rows.shape == (6, layout.words)
    for found in (layout.views(rows), layout.unpacked(rows)):
        assert all(
            torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in values.items()
        )


def test_bits_stay_as_they_are():
    numbers = torch.tensor([float("nan"), -0.0, float("inf"), 1e-45])
    rows = Layout({"x": ((), torch.float32), "n": ((), torch.int32)}).packed(
        {"x": numbers, "n": numbers.view(torch.int32)}
    )
    assert torch.equal(rows[:, 0], rows[:, 1])


def test_a_row_of_humanoid_takes_536_bytes():
    cfg = parse_cfg(load_cfg(["task=humanoid-walk"]))
    assert Layout(row_of(cfg)).nbytes == 4 * (67 + 3 * 21 + 2) + START == 536


def test_what_is_planned_is_what_is_reserved(tmp_path):
    for place in (Place.of("cpu"), Place.of("mmap", folder=tmp_path)):
        buffer = Buffer(1_000, 8, device=place)
        assert "1,000 rows of 36 bytes, 36 kB in " in buffer.plan(ROW)
        assert buffer._ring is None
        buffer.reserve(ROW)
        assert buffer._ring.untyped_storage().nbytes() == 36_000


# -------------------------------------------------------------------- places


@pytest.mark.parametrize(
    ("device", "amounts", "expected"),
    [
        ("cuda:0", {"cuda": 3 * GB, "pinned": 9 * GB}, "cuda"),
        ("cuda:0", {"cuda": 1.5 * GB, "pinned": 9 * GB}, "pinned"),
        ("cuda:0", {"cuda": 1.5 * GB, "pinned": 1.5 * GB, "mmap": 9 * GB}, "mmap"),
        ("cpu", {"cuda": 9 * GB, "cpu": 1.5 * GB, "mmap": 9 * GB}, "cpu"),
        ("cpu", {"cpu": 1.1 * GB, "mmap": 9 * GB}, "mmap"),
        ("cpu", {}, "cpu"),
    ],
)
def test_auto_takes_the_first_place_with_room_to_spare(tmp_path, free, device, amounts, expected):
    free.update(amounts)
    place = Place.of("auto", device, tmp_path).settled(10**6, 1_000)
    assert place.kind == expected
    assert place.device.type == ("cuda" if expected == "cuda" else "cpu")


@pytest.mark.parametrize("setting", ["cpu", "mmap", "auto"])
def test_what_does_not_fit_is_refused_before_anything_is_reserved(tmp_path, monkeypatch, free, setting):
    free.update(cpu=2e9, mmap=1e9)
    monkeypatch.setattr(Place, "reserve", lambda place, words: pytest.fail("reserved"))
    buffer = Buffer(10**8, 8, device=Place.of(setting, "cpu", tmp_path))
    with pytest.raises(StorageError) as caught:
        buffer.reserve(ROW)
    text = str(caught.value)
    assert "buffer_size=100000000: 100,000,000 rows of 36 bytes need 3.6 GB" in text
    assert f"buffer_device={setting}" in text
    found = {"cpu": "2 GB are free in host memory", "mmap": f"1 GB are free on the disk of {tmp_path}"}
    assert all(words in text for kind, words in found.items() if setting in (kind, "auto"))
    assert f"use buffer_size={({'cpu': 55, 'mmap': 27, 'auto': 44})[setting]}000000 or less" in text


def test_a_refusal_names_the_places_that_would_do(tmp_path, free):
    free.update(cpu=1e9, mmap=9e9)
    with pytest.raises(StorageError, match=r"or less, or buffer_device=mmap$"):
        Place.of("cpu", folder=tmp_path).settled(10**6, 2_000)
    free.update(cpu=2.1e9, mmap=0)
    with pytest.raises(StorageError, match=r"or less, or buffer_device=cpu$"):
        Place.of("auto", folder=tmp_path).settled(10**6, 2_000)


def test_processes_on_one_machine_share_its_memory(free, monkeypatch):
    free.update(cpu=3e9)
    Place.of("cpu").settled(10**6, 2_000)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(StorageError, match=r"2 GB for each of 2 processes; .* 1.5 GB are free"):
        Place.of("cpu").settled(10**6, 2_000)


def test_a_mapped_file_goes_with_the_process(tmp_path):
    folder = tmp_path / "run"
    buffer = Buffer(1_000, 8, device=Place.of("mmap", folder=folder))
    buffer.reserve(ROW)
    assert list(folder.iterdir()) == []
    assert "run" in buffer.plan(ROW)


def test_a_disk_that_fills_up_meanwhile_is_a_clear_error(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(StorageError, match=r"no room for a file of 4 kB .No space left on device"):
        Place.of("mmap", folder=tmp_path).reserve(1_000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_places_that_are_not_here():
    with pytest.raises(ValueError, match=r"buffer_device=pinned is for CUDA"):
        Place.of("pinned")
    with pytest.raises(ValueError, match=r"no CUDA device"):
        Place.of("cuda")
    with pytest.raises(ValueError, match=r"needs a folder"):
        Place.of("mmap")


def fake_driver(status, calls):
    return lambda: SimpleNamespace(
        cudaHostRegister=lambda *args: calls.append(args) or status,
        cudaHostUnregister=lambda *args: calls.append(args),
    )


def test_pinned_memory_is_locked_until_it_is_given_back(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.cuda, "cudart", fake_driver(0, calls))
    memory = Place("pinned", torch.device("cpu")).reserve(1_000)
    address, part = memory.data_ptr(), memory[10:]
    del memory
    gc.collect()
    assert calls == [(address, 1_000 * WORD, 0)]
    del part
    gc.collect()
    assert calls[1:] == [(address,)]


def test_memory_that_cannot_be_locked_is_a_clear_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "cudart", fake_driver(2, []))
    with pytest.raises(StorageError, match=r"4 kB of host memory cannot be page-locked .CUDA error 2"):
        Place("pinned", torch.device("cpu")).reserve(1_000)


# ----------------------------------------------------------------- the host


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


MEMINFO = {"proc/meminfo": "MemTotal: 16000 kB\nMemAvailable:    8000 kB\n"}
V2 = {
    "proc/self/cgroup": "0::/user/job\n",
    "sys/fs/cgroup/user/memory.max": "5000000\n",
    "sys/fs/cgroup/user/memory.current": "4000000\n",
    "sys/fs/cgroup/user/memory.stat": "anon 3000000\ninactive_file 500000\n",
    "sys/fs/cgroup/user/job/memory.max": "max\n",
    "sys/fs/cgroup/user/job/memory.current": "1000\n",
}
V1 = {
    "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "3000000\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000000\n",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [({}, None), (MEMINFO, 8_192_000), (MEMINFO | V2, 1_500_000), (MEMINFO | V1, 2_000_000), (V1, 2_000_000)],
    ids=["nothing known", "machine", "control groups", "control groups, version 1", "those alone"],
)
def test_free_host_memory_is_the_least_of_what_is_allowed(tmp_path, files, expected):
    write(tmp_path, files)
    assert free_host(tmp_path) == expected


def test_this_host_has_memory():
    free = free_host()
    assert free is None or free > 10**7


# -------------------------------------------------------------------- a run


QUICK = ["task=cartpole-swingup", "preset=cpu", "steps=100", "num_envs=1", "episode_length=10", "random_baseline=false"]


@pytest.mark.parametrize("place", ["auto", "mmap"])
def test_a_run_says_what_its_replay_takes(tmp_path, monkeypatch, capsys, place):
    monkeypatch.chdir(tmp_path)
    assert main([*QUICK, f"buffer_device={place}", "plot=false", "utd=0.05", "save_agent=false"]) == 0
    where = {
        "auto": "host memory (buffer_device=cpu)",
        "mmap": f"a file in {tmp_path}/logs/cartpole-swingup/1/default",
    }[place]
    assert f"replay: 100,000 rows of 48 bytes, 4.8 MB in {where}" in capsys.readouterr().out
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 4_000_000]


def test_a_run_whose_replay_cannot_fit_ends_before_it_begins(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*QUICK, "buffer_size=1e15"]) == 2
    error = capsys.readouterr().err
    assert "error: buffer_size=1000000000000000: " in error
    assert "Traceback" not in error
    assert not list(tmp_path.rglob("config.yaml"))
