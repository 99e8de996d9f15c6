"""What users of newt, TD-MPC2 and Gymnasium type is answered with what it is called here."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from newt_base.common.tracker import tracker_of
from newt_base.config import Config, load_cfg

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("enable_wandb=true", "did you mean tracker=wandb"),
        ("enable_wandb=false", "did you mean tracker=none"),
        ("wandb=true", "did you mean tracker=wandb"),
        ("disable_wandb=true", "did you mean tracker=none"),
        ("learning_rate=1e-3", "did you mean lr="),
        ("total_steps=100", "did you mean steps="),
        ("cuda=true", "did you mean device=cuda"),
        ("-m", "a command for each run, or newtfix ablate"),
        ("task=pygame-x", "is a pygame task of newt's"),
        ("wandb_project=mine", "WANDB_PROJECT in the environment"),
        ("multiproc=true", "torchrun --nproc-per-node"),
        ("tensorboard=true", "tracker=tensorboard"),
        ("task=mw-reach", "is a Meta-World task of newt's"),
        ("task=og-ant", "gym:ID for an environment that is installed"),
        ("task=HalfCheetah-v5", "task=mujoco-halfcheetah .* or task=gym:HalfCheetah-v5"),
        ("task=HalfCheetah-v2", "task=mujoco-halfcheetah .* or task=gym:HalfCheetah-v5"),
        ("task=Pendulum-v1", "did you mean task=gym:Pendulum-v1"),
        ("batchsize=8", "did you mean batch_size="),
    ],
)
def test_the_hint_is_the_right_one(argument, words):
    with pytest.raises(ValueError, match=words):
        load_cfg([argument])


def test_there_is_no_hint_where_none_is_near():
    with pytest.raises(ValueError, match="unknown setting 'own_switch'") as caught:
        load_cfg(["own_switch=true"])
    assert "did you mean" not in str(caught.value)


def test_settings_that_have_newt_s_names_work():
    cfg = load_cfg(["exp_name=mine", "save_video=true", "model_size=S", "task=walker_walk"])
    assert (cfg.exp_name, cfg.save_video, cfg.task) == ("mine", True, "walker-walk")


def test_a_tracker_that_is_not_installed_is_said_before_anything_is_built(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in ("wandb", "trackio", "tensorboard"):
        with pytest.raises(
            ValueError, match=f"tracker={name} needs {name}, which is not installed\n.*pip install {name}"
        ):
            load_cfg([f"tracker={name}"])


class Wandb:
    """Stands in for the module wandb."""

    def __init__(self, key=None):
        self.api = type("Api", (), {"api_key": key})
        self.rows, self.given = [], {}

    def init(self, **given):
        self.given = given
        return self

    def define_metric(self, *names, **_): ...

    def log(self, row):
        self.rows.append(row)

    def finish(self):
        self.rows.append("over")


@pytest.mark.parametrize(("key", "mode"), [(None, "offline"), ("secret", None)])
def test_wandb_is_offline_where_nobody_has_logged_in(monkeypatch, tmp_path, key, mode):
    wandb = Wandb(key)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    tracker = tracker_of(Config(tracker="wandb", work_dir=tmp_path), {"seed": 1})
    tracker.log({"eval/episode_reward": 3.0}, 40)
    tracker.close()
    assert wandb.given["mode"] == mode and wandb.given["dir"] == str(tmp_path) and wandb.given["config"] == {"seed": 1}
    assert wandb.rows == [{"eval/episode_reward": 3.0, "environment_step": 40}, "over"]


def test_without_a_tracker_there_is_none():
    assert tracker_of(Config(work_dir=Path()), {}) is None


SCRIPT = """import sys

if not __package__:
    import as_package  # noqa: F401

from .common import word

if __name__ == "__main__":
    sys.exit(print(__package__, word, *sys.argv[1:]))
"""


@pytest.mark.parametrize(("folder", "status", "words"), [("mine", 0, "mine found task=x"), ("my-tree", 1, "rename")])
def test_a_script_runs_as_a_file_in_its_folder(tmp_path, folder, status, words):
    tree = tmp_path / folder
    tree.mkdir()
    shutil.copy(ROOT / "newt_base/as_package.py", tree)
    for file, text in {"__init__.py": "", "common.py": "word = 'found'\n", "go.py": SCRIPT}.items():
        (tree / file).write_text(text)
    done = subprocess.run([sys.executable, "go.py", "task=x"], cwd=tree, capture_output=True, text=True, timeout=60)
    assert (done.returncode, words in done.stdout + done.stderr) == (status, True), done


@pytest.mark.parametrize("script", ["train", "evaluate", "generate_demos"])
def test_every_script_begins_so(script):
    assert "\nif not __package__:\n    import as_package" in (ROOT / f"newt_base/{script}.py").read_text()
