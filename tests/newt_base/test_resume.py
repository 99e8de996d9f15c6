"""Going on with a run: bit for bit where the settings stay, refused before anything is touched where it cannot be."""

import json
import os
import random
import shutil
from pathlib import Path

import pytest
import torch
from trees import PATCHES, patched

from newt_base import train
from newt_base.common import files
from newt_base.common.checkpoint import load_safely
from newt_base.common.resume import numbered, replay_file

QUICK = [
    "task=cartpole-swingup", "preset=cpu", "num_envs=2", "episode_length=6", "eval_freq=24", "batch_size=16",
    "num_samples=16", "num_elites=4", "num_pi_trajs=2", "iterations=1", "enc_dim=16", "mlp_dim=16", "latent_dim=16",
    "num_q=2", "plot=false", "utd=0.2", "seeding_coef=2", "save_buffer=true",
]  # fmt: skip
RUN = Path("logs/cartpole-swingup/1")


def run(name, *settings, main=train.main):
    return main([*QUICK, f"exp_name={name}", *settings])


def outcome(folder):
    """The metrics byte for byte, and the weights at the end."""
    weights = load_safely(folder / "checkpoints/final.pt")["model"]
    metrics = [(folder / name).read_bytes() for name in ("metrics.csv", "metrics.jsonl")]
    return metrics, {name: value.tolist() for name, value in weights.items()}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder with a whole run of 76 steps, and one of 50 that can be resumed."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run("whole", "steps=76") == 0
        assert run("part", "steps=50") == 0
    return folder


@pytest.fixture
def part(base, tmp_path, monkeypatch):
    """A copy of the part, where the test is."""
    shutil.copytree(base / RUN / "part", tmp_path / RUN / "part")
    monkeypatch.chdir(tmp_path)
    return tmp_path / RUN / "part"


def contents(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


# ------------------------------------------------------------------- bit for bit


def test_a_resumed_run_is_the_whole_run_from_within_an_episode(base, part, capsys):
    assert run("part", "steps=76", "resume=true") == 0
    assert f"going on from {part}/checkpoints/52.pt, at step 52" in capsys.readouterr().out
    assert outcome(part) == outcome(base / RUN / "whole")


def test_and_from_where_all_episodes_end(base, part):
    checkpoint = part / "checkpoints/48.pt"
    assert run("part", "steps=76", "resume=true", f"checkpoint={checkpoint}") == 0
    assert outcome(part) == outcome(base / RUN / "whole")
    assert (part / "backup-001/checkpoints/52.pt").exists(), "what came later is kept"


def test_and_from_before_its_first_evaluation(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("first", "steps=2", "keep=none") == 0
    assert run("first", "steps=76", "resume=true", f"checkpoint={RUN}/first/checkpoints/0.pt") == 0
    assert outcome(RUN / "first") == outcome(base / RUN / "whole")


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_and_from_before_its_environments_were_seeded(mode, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ["task=gym:Pendulum-v1", "random_baseline=false", f"env_mode={mode}", "steps=30", "keep=none"]
    folder = tmp_path / "logs/gym-Pendulum-v1/1/run"
    assert run("run", *settings) == 0
    whole = outcome(folder)
    for path in [*numbered(folder / "checkpoints")[:-1], folder / "checkpoints/final.pt"]:
        path.unlink()
    assert run("run", *settings, "resume=true") == 0
    assert outcome(folder) == whole


def test_the_last_checkpoint_knows_its_step(base):
    folder = base / RUN / "whole/checkpoints"
    assert load_safely(folder / "final.pt")["step"] == load_safely(numbered(folder)[0])["step"] > 0


def test_random_streams_of_others_go_on_too(base, part, monkeypatch):
    seen = []
    finish = train.Logger.finish

    def look(self, agent=None):
        seen.append((random.random(), torch.rand(()).item()))
        finish(self, agent)

    monkeypatch.setattr(train.Logger, "finish", look)
    for settings in (["steps=76", "random_baseline=false"], ["steps=76", "resume=true"]):
        name = "part" if "resume=true" in settings else "again"
        assert run(name, *settings, "random_baseline=true") == 0
    assert seen[0] == seen[2]


@pytest.mark.parametrize(
    "settings",
    [
        ["task=cup-catch,mujoco-reacher", "task_dim=4"],
        ["task=hopper-hop", "env_mode=async", "lr_schedule=warmup", "warmup_steps=7"],
    ],
    ids=["several tasks", "processes, warm-up"],
)
def test_of_other_kinds(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("whole", *settings, "steps=42") == 0
    assert run("part", *settings, "steps=27") == 0
    assert run("part", *settings, "steps=42", "resume=true") == 0
    whole, part = (next(tmp_path.glob(f"logs/*/1/{name}")) for name in ("whole", "part"))
    assert outcome(part) == outcome(whole)


@pytest.mark.parametrize("stop", [21, 39], ids=["before the burst", "after it"])
def test_with_all_patches_bursts_and_segments_included(stop, tmp_path, monkeypatch):
    """The end of seeding, at 1,000 steps in these patches, is set to 30."""
    for file, text in patched(frozenset(PATCHES)).items():
        path = tmp_path / "patched_tree" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("max(1000,", "max(30,"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    main = __import__("patched_tree.train").train.main
    burst = "burst_updates=3"
    assert run("whole", "steps=76", burst, main=main) == 0
    assert run("part", f"steps={stop}", burst, main=main) == 0
    assert run("part", "steps=76", "resume=true", burst, main=main) == 0
    assert outcome(tmp_path / RUN / "part") == outcome(tmp_path / RUN / "whole")


# ---------------------------------------------------------------------- settings


def test_settings_that_change_are_listed_and_taken(part, capsys):
    assert run("part", "steps=60", "resume=true", "lr=0.001", "utd=0.5") == 0
    said = capsys.readouterr().out
    assert "steps=60 (it was 50)" in said and "lr=0.001 (it was 0.0003)" in said and "utd=0.5 (it was 0.2)" in said
    rates = [group["lr"] for group in load_safely(part / "checkpoints/final.pt")["optim"]["param_groups"]]
    assert rates[1] == 0.001 and rates[0] == pytest.approx(0.0003)


def test_a_run_that_is_beyond_the_steps_asked_for_is_left_as_it_is(part, capsys):
    before = contents(part.parent)
    assert run("part", "steps=20", "resume=true") == 2
    assert "beyond steps=20" in capsys.readouterr().err and contents(part.parent) == before
    assert run("part", "steps=20", "resume=auto") == 0  # a job that is queued again
    assert "nothing is left to do" in capsys.readouterr().out and contents(part.parent) == before


def test_settings_that_cannot_change_are_all_named(part, capsys):
    before = contents(part.parent)
    assert run("part", "steps=60", "resume=true", "horizon=5", "latent_dim=32", "episodic=true") == 2
    said, refused = capsys.readouterr()
    assert all(words in refused for words in ("horizon=3", "latent_dim=16", "episodic=false"))
    assert "new from here on" not in said
    assert contents(part.parent) == before


# ----------------------------------------------------------------------- damage


def spoil(path, at=0.5):
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 1
    path.write_bytes(data)


def stand_in(path, target=None):
    """A pipe, or a link to `target`, under a file's name."""
    path.unlink()
    os.mkfifo(path) if target is None else path.symlink_to(target)


DAMAGE = {
    "agent is a pipe": lambda folder: stand_in(folder / "52.pt"),
    "agent is a device": lambda folder: stand_in(folder / "52.pt", "/dev/zero"),
    "replay is a pipe": lambda folder: stand_in(folder / "52.replay"),
    "replay is a device": lambda folder: stand_in(folder / "52.replay", "/dev/zero"),
    "agent": lambda folder: spoil(folder / "52.pt"),
    "replay": lambda folder: spoil(folder / "52.replay"),
    "replay cut off": lambda folder: (folder / "52.replay").write_bytes((folder / "52.replay").read_bytes()[:-500]),
    "no replay": lambda folder: (folder / "52.replay").unlink(),
    "other replay": lambda folder: shutil.copy(folder / "48.replay", folder / "52.replay"),
    "text": lambda folder: (folder / "52.pt").write_text("hello"),
    "weights alone": lambda folder: shutil.copy(folder / "final.pt", folder / "52.pt"),
    "another program's": lambda folder: torch.save({"step": "many"}, folder / "52.pt"),
}


def rewrite(path, **parts):
    """A sealed file with other parts, as another program may write it."""
    state = load_safely(path) | parts
    return files.write_whole(path, lambda file: torch.save(state, file))


ODD = [
    {"step": "abc"}, {"settings": "{"}, {"settings": 5}, {"settings": "[]"}, {"replays": 5}, {"replays": []},
    {"log": 7}, {"log": "{}"}, {"optim": 5}, {"schedules": 5}, {"scale": 5},
]  # fmt: skip


@pytest.mark.parametrize("parts", ODD, ids=str)
def test_auto_passes_over_what_another_program_sealed(parts, part, capsys):
    rewrite(part / "checkpoints/52.pt", **parts)
    assert run("part", "steps=52", "resume=auto") == 0
    said = capsys.readouterr().out
    assert f"passed over: {part}/checkpoints/52.pt cannot be resumed: it has no " in said
    assert f"going on from {part}/checkpoints/48.pt" in said


OTHER = [{"_rows": -5}, {"_rows": 500}, {"_num_eps": "x"}, {"extra": 5}, {"extra": {"trainer": {}}}, {"env": "x"}]


@pytest.mark.parametrize("parts", OTHER, ids=str)
def test_and_over_its_replay(parts, part, capsys):
    folder = part / "checkpoints"
    extra = load_safely(folder / "52.replay")["extra"]
    parts = {"extra": extra | {"trainer": parts}} if "env" in parts else parts
    rewrite(folder / "52.pt", replays=[rewrite(folder / "52.replay", **parts)])
    assert run("part", "steps=52", "resume=auto") == 0
    assert f"passed over: {folder}/52.replay cannot be resumed: " in capsys.readouterr().out


def test_optimisers_that_do_not_fit_are_refused_in_words(part, capsys):
    rewrite(part / "checkpoints/52.pt", optim={})
    assert run("part", "steps=76", "resume=true") == 2
    assert f"error: {part}/checkpoints/52.pt does not fit this agent: KeyError" in capsys.readouterr().err


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_is_refused_and_the_older_one_offered(damage, part, capsys):
    damage(part / "checkpoints")
    before = contents(part.parent)
    assert run("part", "steps=76", "resume=true") == 2
    said = capsys.readouterr().err
    assert "52." in said and f"resume=auto, which goes on from {part}/checkpoints/48.pt" in said
    assert contents(part.parent) == before


def test_auto_passes_over_what_is_damaged_and_says_so(base, part, capsys):
    spoil(part / "checkpoints/52.replay")
    assert run("part", "steps=76", "resume=auto") == 0
    said = capsys.readouterr().out
    assert f"passed over: {part}/checkpoints/52.replay is damaged" in said
    assert f"going on from {part}/checkpoints/48.pt" in said
    assert outcome(part) == outcome(base / RUN / "whole")


def test_auto_begins_where_there_is_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("new", "steps=10", "resume=auto") == 0
    assert f"there is nothing to resume in {RUN.absolute()}/new/checkpoints; a new run" in capsys.readouterr().out
    assert run("other", "steps=10", "resume=true") == 2
    assert "finds no checkpoint with its replay buffer" in capsys.readouterr().err
    assert not (tmp_path / RUN / "other").exists()


# ------------------------------------------------------------------------- rows


def test_rows_are_those_that_the_checkpoint_knows(base, part):
    """Rows after it, half a row, a lost file: all the same."""
    with (part / "metrics.jsonl").open("a") as file:
        file.write('{"category": "train", "step": 60}\n{"category": "ev')
    (part / "metrics.csv").unlink()
    assert run("part", "steps=76", "resume=true") == 0
    assert outcome(part) == outcome(base / RUN / "whole")
    timed = [json.loads(line)["step"] for line in (part / "timing.jsonl").read_text().splitlines()]
    assert timed == sorted(timed) and len(timed) == len(set(timed)) + 3, "an evaluation and a training row at each"


def test_the_newest_are_kept_and_the_best(part, base):
    assert run("part", "steps=100", "resume=true", "keep=2") == 0
    folder = part / "checkpoints"
    assert [path.name for path in numbered(folder)] == ["102.pt", "96.pt"]
    assert {path.name for path in folder.glob("*.replay")} == {"102.replay", "96.replay"}
    rows = [json.loads(line) for line in (part / "metrics.jsonl").read_text().splitlines()]
    returns = {row["step"]: row["episode_reward"] for row in rows if row["category"] == "eval"}
    assert load_safely(folder / "best.pt")["step"] == max(returns, key=lambda step: (returns[step], -step))


def test_the_best_of_what_was_discarded_goes_too(part):
    """The best one is of the step that comes last, then the run goes on from an earlier one."""
    folder = part / "checkpoints"
    (folder / "best.pt").unlink()
    shutil.copy(folder / "52.pt", folder / "best.pt")
    assert run("part", "steps=50", "resume=true", f"checkpoint={folder}/48.pt") == 0
    assert load_safely(part / "backup-001/checkpoints/best.pt")["step"] == 52
    rows = [json.loads(line) for line in (part / "metrics.jsonl").read_text().splitlines()]
    returns = {row["step"]: row["episode_reward"] for row in rows if row["category"] == "eval"}
    there = [step for step in returns if (folder / f"{step}.pt").exists()]
    assert load_safely(folder / "best.pt")["step"] == max(there, key=returns.get)


def test_a_write_that_is_cut_off_leaves_the_last_whole_checkpoint(base, part, monkeypatch, capsys):
    """Killed while it writes: what is half written has no checkpoint's name, and goes with the next run."""
    written = files.os.replace

    def die(source, target):
        if str(target).endswith("72.pt"):
            raise KeyboardInterrupt
        written(source, target)

    monkeypatch.setattr(files.os, "replace", die)
    assert run("part", "steps=76", "resume=true") == 130
    monkeypatch.setattr(files.os, "replace", written)
    (part / "checkpoints/.96.pt.tmp").write_bytes(b"half")
    assert replay_file(part / "checkpoints/72.pt", 0).exists() and not (part / "checkpoints/72.pt").exists()
    assert run("part", "steps=76", "resume=true") == 0
    assert outcome(part) == outcome(base / RUN / "whole")
    assert not list(part.rglob("*.tmp"))
