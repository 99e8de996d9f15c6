"""Settings: command line, presets, validation, derived values, and the entry point's errors."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from trees import PATCHES, tree

from newt_base import config, train
from newt_base.common import MODEL_SIZE, machine
from newt_base.common.settings import comments, settable
from newt_base.common.usage import usage
from newt_base.config import Config, ConfigError, load_cfg, parse_cfg

ROOT = Path(config.__file__).resolve().parents[1]
SHORT = ["preset=cpu", "task=cartpole-swingup", "episode_length=10", "num_envs=2", "batch_size=16", "eval_freq=1"]
SMALL = ["num_samples=16", "num_elites=4", "num_pi_trajs=2", "iterations=1", "random_baseline=false"]


@pytest.mark.parametrize(
    "argument, value",
    [
        ("steps=1000", 1000),
        ("steps=1e4", 10_000),
        ("steps=1_000", 1000),
        ("utd=1", 1.0),
        ("lr=1e-4", 1e-4),
        ("mpc=false", False),
        ("compile=true", True),
        ("compile=auto", "auto"),
        ("bf16=true", True),
        ("eval_freq=none", None),
        ("eval_freq=null", None),
        ("exp_name=2024", "2024"),
        ("exp_name=a=b", "a=b"),
        ("out_dir=runs/${x}: y", "runs/${x}: y"),
        ("lr_schedule=warmup", "warmup"),
        ("model_size=none", None),
        ("task=ball_in_cup_catch", "cup-catch"),
    ],
)
def test_values_as_typed(argument, value):
    got = getattr(load_cfg([argument]), argument.partition("=")[0])
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize(
    "argument, key, suggestion",
    [
        ("stepz=3", "stepz", "steps=..."),
        ("--batch-size=3", "--batch-size", "batch_size=..."),
        ("steps", "steps", "steps=..."),
        ("preset=cpuu", "preset", "preset=cpu"),
        ("task=waker-wlk", "task", "task=walker-walk"),
        ("env_mode=asinc", "env_mode", "env_mode=async"),
        ("model_size=M", "model_size", None),
        ("steps=abc", "steps", None),
        ("steps=1.5", "steps", None),
        ("steps=true", "steps", None),
        ("steps=0", "steps", None),
        ("steps=", "steps", None),
        ("lr=nan", "lr", None),
        ("lr=.inf", "lr", None),
        ("lr=0", "lr", None),
        ("mpc=maybe", "mpc", None),
        ("mpc=1", "mpc", None),
        ("compile=1", "compile", None),
        ("compile=autp", "compile", "compile=auto"),
        ("bf16=auto", "bf16", None),
        ("rho=1.5", "rho", None),
        ("steps=[1]", "steps", None),
        ("constrained_planning=3", "constrained_planning", None),
        ("exp_name=../up", "exp_name", None),
        ("exp_name=..", "exp_name", None),
        ("device=gpu", "device", None),
        ("checkpoint=missing.pt", "checkpoint", None),
        ("finetune=true", "finetune", None),
        ("num_elites=600", "num_elites", None),
        ("episode_length=2", "horizon", None),
        ("vmin=20", "vmin", None),
        ("work_dir=x", "work_dir", None),
    ],
)
def test_what_is_refused(argument, key, suggestion):
    with pytest.raises(ConfigError) as caught:
        load_cfg([argument])
    assert caught.value.key == key
    assert key in str(caught.value)
    if suggestion:
        assert suggestion in str(caught.value)


def test_presets_fit_and_give_way():
    for name in config.PRESETS:
        cfg = load_cfg([f"preset={name}"])
        assert all(getattr(cfg, key) == value for key, value in config.PRESETS[name].items())
        assert name in config.PRESET_HELP
    assert load_cfg(["num_envs=7", "preset=cpu"]).num_envs == 7


def test_model_size_fills_widths_that_were_not_given(tmp_path):
    cfg = parse_cfg(load_cfg([*SHORT, "model_size=S", "mlp_dim=1024"]))
    assert (cfg.enc_dim, cfg.latent_dim, cfg.num_q) == tuple(
        MODEL_SIZE["S"][k] for k in ("enc_dim", "latent_dim", "num_q")
    )
    assert cfg.mlp_dim == 1024  # its default, but given by name
    assert parse_cfg(Config(task="cartpole-swingup", mlp_dim=64)).mlp_dim == 64
    assert parse_cfg(Config(task="cartpole-swingup")).model_size == "B"


def test_derived_settings():
    given = load_cfg(["task=ball_in_cup-catch", "num_envs=3", "eval_freq=2000", "seed=4"])
    cfg = parse_cfg(given)
    assert given.work_dir is None, "the settings that came in stay as they are"
    assert cfg.work_dir == Path("logs/cup-catch/4/default")
    assert cfg.task_title == "Cup Catch"
    assert cfg.tasks == cfg.global_tasks == ["cup-catch"] * 3
    assert (cfg.num_tasks, cfg.num_global_tasks) == (1, 1)
    assert (cfg.obs_shape, cfg.action_dim, cfg.episode_length) == ({"state": (8,)}, 2, 500)
    assert cfg.discounts == [pytest.approx(0.99)] * 3
    assert (cfg.episode_lengths, cfg.action_dims) == ([500] * 3, [2] * 3)
    assert cfg.bin_size == pytest.approx(0.2)
    assert cfg.eval_freq == cfg.save_freq == 3000, "rounded up to whole episodes"
    assert parse_cfg(cfg) == cfg
    assert parse_cfg(load_cfg(["task=cup-catch"])).eval_freq == 20 * 500 * 10


def test_what_is_rounded_up_is_said(capsys):
    train.resolve([*SHORT, "save_freq=50"])
    said = capsys.readouterr().out
    assert "eval_freq=1 becomes eval_freq=20: whole episodes" in said
    assert "save_freq=50 becomes save_freq=60: a multiple of eval_freq" in said
    train.resolve([*SHORT, "eval_freq=20", "save_freq=60"])
    assert "becomes" not in capsys.readouterr().out


def test_replay_must_hold_an_episode_of_each_environment():
    with pytest.raises(ConfigError, match="buffer_size=1000") as caught:
        parse_cfg(load_cfg(["buffer_size=1000"]))
    assert caught.value.valid == "at least 5010"


def test_latent_must_split_into_simplices():
    with pytest.raises(ConfigError, match="simnorm_dim=7"):
        parse_cfg(load_cfg(["simnorm_dim=7"]))


def test_get():
    assert Config().get("steps") == 1_000_000
    assert Config().get("nothing", 3) == 3


@pytest.mark.parametrize(
    ("device", "there", "compiled"),
    [
        ("auto", True, True),
        ("auto", False, False),
        ("cuda:1", True, True),
        ("cpu", True, False),
        ("mps", False, False),
    ],
)
def test_compile_auto_is_decided_by_the_device(device, there, compiled, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    given = load_cfg(["task=cartpole-swingup", f"device={device}", "compile=auto", "steps=100_000"])
    assert parse_cfg(given).compile is compiled
    assert given.compile == "auto"


@pytest.mark.parametrize(
    ("settings", "compiler", "compiled"),
    [
        (["steps=100_000", "utd=0.5"], True, True),
        (["steps=100_000", "utd=0.4"], True, False),
        (["steps=100_000", "utd=0.5"], False, False),
        (["steps=100_000", "utd=0.5", "device=mps"], True, False),
    ],
)
def test_compile_auto_on_a_cpu_is_for_long_runs(settings, compiler, compiled, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}" if compiler else None)
    assert parse_cfg(load_cfg(["task=cartpole-swingup", "compile=auto", *settings])).compile is compiled


def test_compile_auto_knows_what_an_earlier_run_compiled(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))

    def compiled(*settings, compile="auto"):
        return parse_cfg(load_cfg(["task=cartpole-swingup", f"compile={compile}", "steps=6000", *settings]))

    assert not compiled().compile
    machine.keep_compiled(compiled("seed=2", "steps=100", compile="true"))
    assert compiled("seed=3", "exp_name=other").compile
    assert not compiled("steps=4000").compile  # too short even so
    assert not compiled("horizon=4").compile  # another agent
    machine.keep_compiled(compiled("horizon=4", compile="false"))
    assert not compiled("horizon=4").compile


def test_choices_are_spelled_as_they_are_typed():
    with pytest.raises(ConfigError, match="valid: false, true, auto"):
        load_cfg(["compile=never"])
    with pytest.raises(ConfigError, match="valid: 0, 1, 2"):
        load_cfg(["constrained_planning=3"])


def test_a_field_added_later_is_parsed_checked_and_explained(monkeypatch):
    added = dataclasses.make_dataclass("Added", [("extra", int, dataclasses.field(default=2))], bases=(Config,))
    monkeypatch.setattr(config, "Config", added)
    assert config.load_cfg(["extra=5"]).extra == 5
    with pytest.raises(ConfigError, match="extra=x"):
        config.load_cfg(["extra=x"])


def test_settings_of_patches_are_explained_and_checked():
    """They come as plain fields with a comment, in a tree where all patches are in."""
    patched = tree(PATCHES).config
    text = usage("patched", patched)
    assert re.search(r"^  burst_updates=none +updates when seeding ends; None", text, re.M)
    assert re.search(r"^  prior_coef=1.0 +weight of", text, re.M)
    assert patched.load_cfg(["burst_updates=7", "dropout=0"]).dropout == 0.0
    for argument in ("burst_updates=some", "dropout=high"):
        with pytest.raises(ValueError, match=f"{argument} has the wrong type"):
            patched.load_cfg([argument])


def test_sizes_and_presets_are_choices():
    with pytest.raises(ConfigError, match="valid: none, T, S, B, L, XL"):
        load_cfg(["model_size=M"])
    with pytest.raises(ConfigError, match="at most 1"):
        load_cfg(["tau=1.1"])


def test_a_field_taken_away_is_tolerated(monkeypatch):
    fields = [(f.name, f.type, f) for f in dataclasses.fields(Config) if f.name != "scale_threshold"]
    reduced = dataclasses.make_dataclass("Reduced", fields, namespace={"get": Config.get})
    monkeypatch.setattr(config, "Config", reduced)
    assert not hasattr(config.load_cfg(["preset=cpu"]), "scale_threshold")


def test_help_lists_every_setting_with_its_meaning(capsys):
    assert train.main(["--help"]) == 0
    text = capsys.readouterr().out
    meanings = comments(config.Config)
    for field in settable(config.Config).values():
        assert f"  {field.name}=" in text
        assert meanings[field.name]
    for name in config.PRESETS:
        assert f"  {name}" in text


@pytest.mark.parametrize("argument", ["stepz=3", "buffer_size=10", "resume=true", "task=nope"])
def test_bad_settings_exit_2_and_leave_nothing(argument, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train.main([argument]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and not captured.out
    assert not list(tmp_path.iterdir())


def test_a_short_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train.main([*SHORT, *SMALL, "steps=40", "random_baseline=true"]) == 0
    folder = Path("logs/cartpole-swingup/1/default")
    summary = json.loads((folder / "summary.json").read_text())
    assert [entry["step"] for entry in summary["evaluations"]] == [0, 20, 40]
    assert summary["return_random"] > 0 and summary["return_before"] is not None
    assert Path(summary["learning_curve"]).is_file() and Path(summary["checkpoint"]).is_file()
    assert str(folder) in capsys.readouterr().out


def test_what_was_not_measured_or_learnt_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train.main([*SHORT, *SMALL, "steps=40", "eval_freq=1000", "seeding_coef=100"]) == 0
    said = capsys.readouterr()
    assert "No evaluation after step 0" in said.out and "return at step" not in said.out
    assert "Nothing was learnt: seeding takes longer than steps=40" in said.err
    assert json.loads(next(tmp_path.rglob("summary.json")).read_text())["return_final"] is None


def test_divergence_exits_1_and_names_it(tmp_path, monkeypatch, capsys):
    def diverge(self):
        raise train.TrainingDiverged(1234, "value_loss", float("nan"))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train.Trainer, "train", diverge)
    assert train.main([*SHORT, "random_baseline=false"]) == 1
    message = capsys.readouterr().err
    assert "1,234" in message and "value_loss" in message and "No checkpoint" in message


def test_a_refused_checkpoint_leaves_the_earlier_run_where_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = [*SHORT, *SMALL, "steps=40", "random_baseline=false"]
    assert train.main(run) == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (tmp_path / "other.pt").write_bytes(b"no checkpoint")
    assert train.main([*run, f"checkpoint={tmp_path / 'other.pt'}"]) == 2
    assert "other.pt cannot be read safely" in capsys.readouterr().err
    (tmp_path / "other.pt").unlink()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"])
def test_interruption_ends_workers_and_names_the_checkpoint(number, status, tmp_path):
    command = [sys.executable, "-m", "newt_base.train", *SHORT, *SMALL, "env_mode=async"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    first = tmp_path / "logs/cartpole-swingup/1/default/checkpoints/0.pt"
    deadline = time.monotonic() + 60
    while not first.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    message = process.communicate(timeout=60)[1]
    assert process.returncode == status, message
    assert "Traceback" not in message
    if number == signal.SIGINT:
        assert f"Last checkpoint: {first.parent}/" in message
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline + 60:  # from Python 3.14 on, a process that starts workers ends after them
            os.killpg(process.pid, 0)
            time.sleep(0.05)
