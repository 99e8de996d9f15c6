"""The discrepancy report: evidence, numbers against arithmetic done by hand, formats, and trees in bad shape."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from newtfix.cli import app
from newtfix.files.tree import read_tree
from newtfix.newt.roles import Found
from newtfix.plan.engine import plan
from newtfix.scan import settings as settings_module
from newtfix.scan.behaviour import read_agent, read_trainer
from newtfix.scan.evaluate import Evaluator, Unknown, class_code
from newtfix.scan.settings import parse_value, read_settings
from newtfix.scan.text import _fenced
from newtfix.work.load import load_patches
from newtfix.work.places import base_tree, builtin_patches

PLAIN = Path(__file__).parents[1] / "specimens/plain"
HUMANOID = ("task=humanoid-run", "num_envs=20", "episode_length=250", "action_dim=21")


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def patch(self, name: str) -> Any:
        return next(patch for patch in self.json["patches"] if patch["id"] == name)


Scan = Callable[..., Result]


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Scan:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, command: str = "scan") -> Result:
        with pytest.raises(SystemExit) as end:
            app([command, *arguments], prog_name="newtfix")
        captured = capfd.readouterr()
        return Result(int(end.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def copy(tmp_path: Path) -> Callable[..., Path]:
    def make(source: Path, **texts: str) -> Path:
        """A copy of a tree, with some files replaced (`common__math` is common/math.py)."""
        tree = tmp_path / "tree"
        shutil.copytree(source, tree, ignore=shutil.ignore_patterns("__pycache__"))
        for name, text in texts.items():
            (tree / f"{name.replace('__', '/')}.py").write_text(text)
        return tree

    return make


# --- numbers, by hand -------------------------------------------------------------------------------------------------


def test_numbers_of_humanoid(scan: Scan) -> None:
    """N=20, L=250, A=21: 5*20*250 = 25,000 against 5*250 = 1,250; 21/61; 21^2/61; rho^t over their sum 1.875."""
    result = scan("--json", *HUMANOID)
    numbers = result.json["numbers"]
    assert (result.code, result.json["schema"]) == (0, 1)
    seed = numbers["seed_steps"]
    assert (seed["here"], seed["reference"], seed["ratio"]) == (25_000, 1_250, 20)
    assert (numbers["burst_updates"]["here"], numbers["burst_updates"]["reference"]) == (0, 1_250)
    assert (numbers["updates_per_step"]["here"], numbers["updates_per_step"]["reference"]) == (0.075, 1)
    assert numbers["replayed_per_step"]["here"] == pytest.approx(0.075 * 1024)
    assert (numbers["prior_coef"]["here"], numbers["prior_coef"]["ratio"]) == (10, 10)
    assert numbers["prior_factor"]["here"] == 1
    assert numbers["prior_factor"]["reference"] == pytest.approx(0.344, abs=5e-4)
    assert numbers["prior_weight"]["reference"] == pytest.approx(7.23, abs=5e-3)
    weights = numbers["temporal_weights"]
    assert weights["here"] == pytest.approx([1 / 1.875, 0.5 / 1.875, 0.25 / 1.875])
    assert weights["reference"] == pytest.approx([1 / 3, 0.5 / 3, 0.25 / 3])
    assert numbers["loss_weight"]["ratio"] == pytest.approx(8 / 5)
    assert (numbers["annealing_end"]["here"], numbers["annealing_end"]["reference"]) == (12_000_000, 10_000_000)
    assert numbers["target_networks"]["here"] is True  # compile is False in newt_base
    assert "16,667 more environment steps" in result.patch("burst")["consequence"]
    assert result.patch("seeding")["consequence"].startswith("Learning starts after 25,000 environment steps")


@pytest.mark.parametrize(
    ("given", "here", "reference"),
    [
        (["num_envs=20", "episode_length=500"], 50_000, 2_500),
        (["num_envs=1", "episode_length=100"], 500, 1_000),
        (["num_envs=8", "episode_length=250", "world_size=2", "seeding_coef=3"], 12_000, 1_250),
        (["preset=cpu"], 5_000, 1_250),  # 4 environments, 250 steps
    ],
    ids=["20 environments", "below the least", "two processes", "a preset"],
)
def test_seed_steps(scan: Scan, given: list[str], here: int, reference: int) -> None:
    seed = scan("--json", *given).json["numbers"]["seed_steps"]
    assert (seed["here"], seed["reference"], seed["ratio"]) == (here, reference, here / reference)


def test_what_is_not_known_is_a_formula_and_an_example(scan: Scan) -> None:
    """newt_base learns the episode length from the simulator; N=10 by default."""
    result = scan("--json")
    seed = result.json["numbers"]["seed_steps"]
    assert (seed["here"], seed["reference"], seed["ratio"]) == (None, None, None)
    assert (seed["here_formula"], seed["reference_formula"]) == ("50 L", "max(1000, 5 L)")
    assert seed["example"] == "for episode_length=500: 25,000 here, 2,500 in the reference (10x)"
    assert "episode_length is not known" in seed["how"]
    assert result.json["numbers"]["prior_factor"]["reference"] is None
    assert result.json["settings"]["num_envs"]["source"].startswith("config.py:")
    assert "episode_length" not in result.json["settings"]


def test_compile_decides_whether_there_are_target_networks(scan: Scan) -> None:
    told = scan("--json", "compile=true")
    assert told.json["numbers"]["target_networks"]["here"] is False
    assert "With compile=True (command line)" in told.patch("target-q")["consequence"]


# --- evidence and states ----------------------------------------------------------------------------------------------


def test_evidence_is_what_stands_there(scan: Scan) -> None:
    result = scan("--json", *HUMANOID)
    assert len(result.json["patches"]) == 16
    assert result.json["defects"] == [p["id"] for p in result.json["patches"] if p["kind"] == "defect"]
    for patch in result.json["patches"]:
        places = [(place["file"], place["line"]) for place in patch["evidence"]]
        assert places == sorted(set(places))
        assert patch["evidence"], patch["id"]
        for place in patch["evidence"]:
            line = (base_tree() / place["file"]).read_text("utf-8").splitlines()[place["line"] - 1]
            assert place["text"] == line.strip()


def test_the_table_and_the_summary(scan: Scan) -> None:
    result = scan(*HUMANOID)
    assert re.search(r"^seeding +critical +available +trainer\.py:\d+ and \d more$", result.out, re.M)
    assert re.search(r"^env steps before learning +25,000 +1,250 +20x$", result.out, re.M)
    assert re.search(
        r"^  trainer\.py:\d+: if self\._step >= self\.cfg\.seeding_coef \* self\._update_freq:$", result.out, re.M
    )
    assert "planner-stats  prerequisite  applied" in result.out
    assert re.search(r"15 of 16 discrepancies found, 4 critical; 1 fixed\.$", result.err)


def test_what_newtfix_applied_is_not_by_hand(scan: Scan, copy: Callable[..., Path]) -> None:
    tree = str(copy(base_tree()))
    assert scan("prior-coef", "--tree", tree, command="apply").code == 0
    result = scan("--json", "--tree", tree)
    assert [result.patch(name)["by_hand"] for name in ("prior-coef", "planner-stats", "rho")] == [False, True, False]
    assert result.patch("prior-coef")["evidence"][0]["text"].startswith("prior_coef: Weight = 1.0")
    assert result.json["numbers"]["prior_coef"]["ratio"] == 1


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """newt_base with all patches, without newtfix's record."""
    tree = tmp_path_factory.mktemp("patched") / "tree"
    shutil.copytree(base_tree(), tree, ignore=shutil.ignore_patterns("__pycache__"))
    patches = load_patches([builtin_patches()])
    for file, text in plan(read_tree(tree).sources, patches, patches).after.items():
        (tree / file).write_bytes(text.encode())
    return tree


def test_a_patched_tree_has_the_numbers_of_the_reference(scan: Scan, patched: Path) -> None:
    result = scan("--json", "--tree", str(patched), *HUMANOID)
    assert result.json["present"] == []
    assert {(p["state"], p["by_hand"]) for p in result.json["patches"]} == {("applied", True)}
    numbers = result.json["numbers"]
    compared = ("seed_steps", "burst_updates", "prior_coef", "prior_factor", "prior_weight", "loss_weight")
    assert {name: numbers[name]["ratio"] for name in compared} == dict.fromkeys(compared, 1)
    assert numbers["seed_steps"]["here"] == 1_250
    assert numbers["prior_weight"]["here"] == pytest.approx(441 / 61)
    assert numbers["annealing_end"]["here"] == 10_000_000
    assert (
        scan("--json", "--tree", str(patched), *HUMANOID, "burst_updates=7").json["numbers"]["burst_updates"]["here"]
        == 7
    )


def test_half_a_fix_says_what_is_there_and_what_is_missing(
    scan: Scan, patched: Path, copy: Callable[..., Path]
) -> None:
    layers = (
        (patched / "common/layers.py").read_text().replace("network[0].dropout = nn.Dropout(cfg.dropout).p", "pass")
    )
    result = scan("--json", "--tree", str(copy(patched, common__layers=layers)))
    dropout = result.patch("q-dropout")
    assert (dropout["state"], dropout["there"]) == ("partial", ["layer"])
    assert [(gap["edit"], gap["state"]) for gap in dropout["missing"]] == [("ensemble", "available")]
    assert "nn.ModuleList" in dropout["missing"][0]["nearest"]["text"]
    assert dropout["consequence"].startswith("The fix is there in part")
    assert result.json["present"] == ["q-dropout"]
    assert "  to add what is missing: newtfix apply q-dropout --tree tree" in scan("--tree", "tree").out


def test_what_is_not_recognised_says_what_was_looked_for(scan: Scan, copy: Callable[..., Path]) -> None:
    """The threshold is another number, made elsewhere: not the code to fix, yet the number is known."""
    trainer = (base_tree() / "trainer.py").read_text()
    trainer = trainer.replace("self.cfg.seeding_coef * self._update_freq", "self._first")
    trainer = trainer.replace("        self._update_freq =", "        self._first = 6000\n        self._update_freq =")
    result = scan("--json", "--tree", str(copy(base_tree(), trainer=trainer)), "episode_length=500")
    seeding = result.patch("seeding")
    assert seeding["state"] == "drifted"
    assert "seeding" not in result.json["present"]
    threshold = next(gap for gap in seeding["missing"] if gap["edit"] == "threshold")
    assert "seeding_coef" in threshold["looked_for"]
    assert seeding["consequence"].endswith(
        "Learning starts after 6,000 environment steps, in the reference after 2,500: 2.4 times as many."
    )
    assert "not recognised: threshold in trainer.py, Trainer" in scan("--tree", "tree").out


def test_a_users_patch_is_reported_with_its_own_words(scan: Scan, tmp_path: Path) -> None:
    patch = '''"""Less noise.

Effect: half the noise. Returns rise by 3.
"""
from newtfix.model import Edit, Patch, Severity, Shape
SHAPE = Shape("den = max(1, end)", "den = max(2, end)")
PATCH = Patch("Less noise", Severity.MINOR, (Edit("e", "math", "", (SHAPE,)),))
'''
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/less_noise.py").write_text(patch)
    found = scan("--json", "--patches", "mine").patch("less-noise")
    assert (found["state"], found["consequence"]) == ("available", "half the noise. Returns rise by 3.")


# --- the tree is only read --------------------------------------------------------------------------------------------


def _state(tree: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in sorted(tree.rglob("*"))}


def test_nothing_is_imported_and_nothing_written(scan: Scan, tmp_path: Path, copy: Callable[..., Path]) -> None:
    tree = copy(PLAIN)
    for path in tree.rglob("*.py"):
        path.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit('imported')\n{path.read_text()}")
    before = _state(tree)
    result = scan("--tree", str(tree), "--json")
    assert (result.code, result.json["numbers"]["seed_steps"]["here"]) == (0, 5 * 4 * 25)
    assert _state(tree) == before
    assert not (tmp_path / "ran").exists()


def test_half_written_trees_are_left_alone(scan: Scan, copy: Callable[..., Path]) -> None:
    from newtfix.files.journal import JOURNAL

    tree = copy(PLAIN)
    journal = tree / JOURNAL
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.write_text("{}")
    before = _state(tree)
    result = scan("--tree", str(tree))
    assert result.code == 3 and "newtfix status" in result.err
    assert _state(tree) == before


def test_files_that_do_not_parse_are_noted(scan: Scan, copy: Callable[..., Path]) -> None:
    tree = copy(PLAIN, junk="def (:\n")
    (tree / "latin.py").write_bytes(b"# \xe9\nx = 1\n")
    result = scan("--tree", str(tree))
    assert result.code == 0
    assert "junk.py is not read: syntax error, line 1" in result.err
    assert "500 " in result.out


def test_a_broken_config_leaves_the_rest(scan: Scan, copy: Callable[..., Path]) -> None:
    tree = copy(PLAIN, config=f"{(PLAIN / 'config.py').read_text()}\ndef (:\n")
    result = scan("--tree", str(tree), "--json")
    assert any(re.match(r"config\.py is not read: syntax error, line \d+", note) for note in result.json["notes"])
    assert result.patch("prior-coef")["state"] == "drifted"
    assert result.patch("target-q")["state"] == "available"
    seed = result.json["numbers"]["seed_steps"]
    assert seed["here"] is None and "seeding_coef" in seed["how"]


@pytest.mark.parametrize("name", ["trainer", "tdmpc2"])
def test_a_broken_trainer_or_agent_is_an_error_with_its_line(scan: Scan, copy: Callable[..., Path], name: str) -> None:
    result = scan("--tree", str(copy(PLAIN, **{name: f"{(PLAIN / f'{name}.py').read_text()}\ndef (:\n"})))
    assert result.code == 4
    assert re.search(rf"{name}\.py, line \d+", result.err)


def test_a_folder_that_is_no_tree(scan: Scan, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert scan("--tree", "empty").code == 4
    assert scan("--tree", "nowhere").code == 4


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_of_a_dataclass() -> None:
    text = """
from dataclasses import dataclass, field
SIZE = 3
class Base:
    inherited: int = 7
@dataclass
class Config(Base):
    buffer_size: int = 10_000_000
    low: float = -10
    high: float = +10.0
    lr: float = 3e-4
    product: int = 2 * SIZE
    wrapped: int = field(default=4)
    made: list = field(default_factory=lambda: [1, 2])
    computed: int = len(open("x").read())
    later: int
    plain = "text"
"""
    settings = read_settings({"config.py": text}, Found("config.py", "Config"), [])
    assert settings.values == {
        **{"inherited": 7, "buffer_size": 10_000_000, "low": -10, "high": 10.0, "lr": 3e-4, "product": 6},
        **{"wrapped": 4, "made": [1, 2], "plain": "text"},
    }
    assert {"computed", "later"} <= settings.names
    assert settings.source("lr") == "config.py:11"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("20", 20), ("10_000", 10_000), ("-10", -10), ("+10.0", 10.0), ("1e-4", 1e-4), ("1e6", 1e6), (".5", 0.5)],
        *[("true", True), ("False", False), ("none", None), ("", None), ("[1, 2]", [1, 2]), ("a,b", "a,b")],
        *[("'5'", "5"), ("walker-walk", "walker-walk"), ("nan", "nan"), ("0x10", "0x10")],
    ],
)
def test_values_as_people_type_them(text: str, value: Any) -> None:
    parsed = parse_value(text)
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["num_env=20"], "Did you mean num_envs=...?"),
        (["episode-length=20"], "Did you mean episode_length=...?"),
        (["seeding"], "such as num_envs=20"),
        (["preset=cpuu"], "The presets: cpu"),
        (["--json", "--sarif"], "Run the command once for each"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_arguments(scan: Scan, arguments: list[str], said: str) -> None:
    result = scan(*arguments)
    assert result.code == 2
    assert said in result.out + result.err


HYDRA = """
defaults:
  - override hydra/launcher: local
task: plain
num_envs: 6
seeding_coef: 5
world_size: 1
batch_size: 1_024
utd: 0.1
episode_length: 200
action_dim: ???
work_dir: ${hydra:run.dir}
horizon: 3
rho: 0.5   # decay
optim:
  tau: 1e-2
prior_coef: 2
compile: true
"""


def test_settings_in_yaml(scan: Scan, copy: Callable[..., Path]) -> None:
    """5 * 6 * 200 = 6,000 steps against 1,000; there is no dataclass."""
    tree = copy(PLAIN, config="def parse_cfg(cfg):\n    return cfg\n")
    (tree / "config.yaml").write_text(HYDRA)
    found = scan("--tree", str(tree), "--json").json
    assert (found["numbers"]["seed_steps"]["here"], found["numbers"]["seed_steps"]["reference"]) == (6_000, 1_000)
    assert found["numbers"]["replayed_per_step"]["here"] == pytest.approx(102.4)
    assert found["settings"]["tau"] == {"value": 0.01, "source": "config.yaml:16"}
    assert found["tasks"]["action_dims"] == []
    assert scan("--tree", str(tree), "--json", "+num_envs=1").json["numbers"]["seed_steps"]["here"] == 1_000


def test_yaml_beside_a_dataclass_wins_and_says_so() -> None:
    sources = {
        "config.py": "class Config:\n    horizon: int = 3\n    rho: float = 0.5\n    tau: float = 0.01\n",
        "config.yaml": "horizon: 5\nrho: 0.5\ntau: 0.01\n",
        "sweep.yaml": "program: train.py\nhorizon: 9\n",
    }
    settings = read_settings(sources, Found("config.py", "Config"), [])
    assert (settings.get("horizon"), settings.source("rho")) == (5, "config.yaml:2")
    assert settings.notes == ("horizon is 5 in config.yaml:1, 3 in config.py:2: the first is used here",)


@pytest.mark.parametrize(
    "text", ["horizon: [3\n", "a: &a [*a]\nhorizon: 3\nrho: 1\ntau: 1\n", "- 1\n", "!!python/x 3\n"]
)
def test_odd_yaml_is_no_error(text: str) -> None:
    settings = read_settings({"config.yaml": text}, None, [])
    assert settings.get("horizon") in (None, 3)


def test_without_a_yaml_library_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_module, "_YAML_MODULES", ("no_such_module",))
    settings = read_settings({"config.yaml": HYDRA}, None, ["num_envs=3"])
    assert settings.values == {"num_envs": 3}
    assert "pip install pyyaml" in settings.notes[0]


TASKS = {
    "short": {"action_dim": 6, "max_episode_steps": 100},
    "long": {"action_dim": 21, "max_episode_steps": 500},
}


def test_tasks_beside_the_tree(scan: Scan, tmp_path: Path, copy: Callable[..., Path]) -> None:
    """Two tasks of 100 and 500 steps, one environment for each: 5 * 2 * 500 = 5,000 against 2,500."""
    config = (PLAIN / "config.py").read_text().replace("\tepisode_length: int = 25\n", "\tepisode_length: Any = None\n")
    config += (
        "\n\ndef parse_cfg(cfg):\n\tif cfg.task == 'both':\n\t\tcfg.num_envs = cfg.num_tasks\n\tcfg.eval_freq = 1\n"
    )
    tree = copy(PLAIN, config=config.replace("eval_freq: int = 500", "eval_freq: Any = None"))
    (tree / "sets.py").write_text(
        "TASK_SET = {'both': ['short', 'long', 'short'], 'split': tuple('short long'.split())}\n"
    )
    (tmp_path / "tasks.json").write_text(json.dumps(TASKS))
    both = scan("--tree", str(tree), "--json", "task=both")
    assert both.json["tasks"] == {
        "count": 2,
        "names": ["short", "long"],
        "episode_lengths": [100, 500],
        "action_dims": [6, 21],
    }
    assert both.json["settings"]["num_envs"]["value"] == 2
    assert (both.json["numbers"]["seed_steps"]["here"], both.json["numbers"]["seed_steps"]["reference"]) == (
        5_000,
        2_500,
    )
    assert both.json["numbers"]["prior_factor"]["reference"] == pytest.approx([6 / 61, 21 / 61])
    assert "this run is affected" in both.patch("episode-rows")["consequence"]
    one = scan("--tree", str(tree), "--json", "task=short")
    assert one.json["numbers"]["seed_steps"]["here"] == 5 * 4 * 100
    assert "this run is not affected" in one.patch("episode-rows")["consequence"]
    assert scan("--tree", str(tree), "--json", "task=split").json["tasks"]["count"] == 2
    assert "did you mean short?" in scan("--tree", str(tree), "task=shorf").err
    assert one.json["settings"]["eval_freq"]["value"] == 1


def test_a_damaged_table_of_tasks_is_noted(scan: Scan, tmp_path: Path, copy: Callable[..., Path]) -> None:
    tree = copy(PLAIN)
    (tmp_path / "tasks.json").write_text("{")
    result = scan("--tree", str(tree), "--json")
    assert result.json["notes"][0].startswith("../tasks.json is not read")
    assert result.json["numbers"]["seed_steps"]["here"] == 500


# --- expressions and code ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        *[("cfg.n * 3", 6), ("self.cfg.n ** 2 // 3", 1), ("max(1000, 5 * cfg['n'])", 1000), ("-cfg.n", -2)],
        *[
            ("cfg.get('n')", 2),
            ("getattr(cfg, 'zz', 4)", 4),
            ("cfg.none or 7", 7),
            ("cfg.n if cfg.none is None else 1", 2),
        ],
        *[("math.ceil(cfg.n / 4)", 1), ("self.total", 20), ("self.twice", 40), ("self.half()", 10), ("int(2.7)", 2)],
    ],
)
def test_expressions_with_a_value(expression: str, value: float) -> None:
    assert _evaluate(expression) == value


@pytest.mark.parametrize(
    ("expression", "missing"),
    [
        *[("cfg.other * 2", "other"), ("cfg.none * 2", "none"), ("max(1000, cfg.none)", "none"), ("f(3)", "f(3)")],
        *[
            ("self._step + 1", "self._step"),
            ("1 / 0", "1 / 0"),
            ("2 ** 10 ** 9", "2 ** 10 ** 9"),
            ("self.loop", "self.loop"),
        ],
        *[("self.either", "self.either"), ("x", "x"), ("'a' * 10 ** 9", "'a'"), ("open('x')", "open('x')")],
    ],
)
def test_expressions_without_one(expression: str, missing: str) -> None:
    with pytest.raises(Unknown, match=re.escape(missing)):
        _evaluate(expression)


def _evaluate(expression: str) -> float:
    code = """
class C:
    def __init__(self, cfg):
        self.total, self.loop = cfg.n * 10, self.loop
        self.either = 1
        self._step = 0
    def later(self):
        self.either = 2
        self._step += 1
    @property
    def twice(self):
        return 2 * self.total
    def half(self):
        part = self.total / 2
        return part
"""
    evaluator = Evaluator({"n": 2, "none": None}, class_code(ast.parse(code), "C"))
    return evaluator.number(ast.parse(expression, mode="eval").body)


TRAIN = """
class Trainer:
    def __init__(self, cfg):
        self._update_freq = cfg.num_envs * 100
        self._threshold = 5 * self._update_freq
    @property
    def seed_end(self):
        return self._threshold
    def train(self):
        limit = self._threshold
        while self._step <= self.cfg.steps:
            if self._step >= self.cfg.eval_steps:
                self.eval()
            {loop}
    def learn(self):
        for _ in range(int(self._tokens)):
            self.agent.update(self.buffer)
        self._tokens -= 1
"""
LOOPS = {
    "if": "if self._step >= self._threshold: self.learn()",
    "an assignment": "ready = self._step > 5 * self._update_freq\n            if ready: self.learn()",
    "elif": "if self._step < 10: pass\n            elif self._step >= limit: self.learn()",
    "one side of an and": "if self.ok and self._step >= self.seed_end: self.learn()",
    "the other way round": "if self._threshold <= self._step: self.learn()",
    "an early return": "if self._step < limit: continue\n            self.learn()",
    "a number": "if self._step >= 1000: self.learn()",
    "another one that acts": "acting = self._step >= 7\n            if self._step >= limit: self.learn()",
}


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_thresholds_in_the_wild(loop: str) -> None:
    trainer = read_trainer(
        {"t.py": TRAIN.replace("{loop}", f"{loop}\n            self._step += 2")}, Found("t.py", "Trainer")
    )
    evaluator = Evaluator({"num_envs": 2, "steps": 9, "eval_steps": 3}, trainer.code)
    assert evaluator.number(trainer.thresholds[-1].node, trainer.thresholds[-1].function) == 1000
    assert trainer.bursts == ()


def test_a_burst_that_equality_never_meets(scan: Scan, patched: Path, copy: Callable[..., Path]) -> None:
    """1,250 is no multiple of 20: `==` never holds. It is one of 10, so with 10 environments it does."""
    trainer = (
        (patched / "trainer.py")
        .read_text()
        .replace("self._step >= self._seed_steps and", "self._step == self._seed_steps and")
    )
    tree = str(copy(patched, trainer=trainer))
    told = scan("--tree", tree, "--json", "num_envs=20", "episode_length=250").json["numbers"]["burst_updates"]
    assert told["here"] == 0 and "the step grows by 20: never met" in told["how"]
    assert (
        scan("--tree", tree, "--json", "num_envs=10", "episode_length=250").json["numbers"]["burst_updates"]["here"]
        == 1250
    )


def test_a_prior_coefficient_that_nothing_reads_online() -> None:
    """As in upstream: read in the model loss alone, where the prior is 0 unless the agent is being pretrained."""
    text = """
class A:
    def __init__(self):
        self.rho = torch.pow(self.cfg.rho, torch.arange(self.cfg.horizon + 1))
        self.rho = self.rho / self.rho.sum()
    def _loss_fn(self):
        if self.cloning: prior = self.bc()
        else: prior = 0
        return 1 + self.cfg.prior_coef * prior
"""
    agent = read_agent({"a.py": text}, Found("a.py", "A"))
    assert (agent.prior_readers, agent.prior_is_zero, agent.normalised) == (("_loss_fn",), True, True)
    other = read_agent(
        {"a.py": text.replace("else: prior = 0", "").replace("/ self.rho.sum()", "")}, Found("a.py", "A")
    )
    assert (other.prior_is_zero, other.normalised) == (False, False)


# --- formats ----------------------------------------------------------------------------------------------------------


def test_markdown(scan: Scan) -> None:
    result = scan("--markdown", *HUMANOID)
    assert result.out.startswith("# Discrepancies of newt_patched\n\n15 of 16 discrepancies found")
    headings = re.findall(r"^## ([\w-]+)", result.out, re.M)
    assert headings[:2] == ["Numbers", "The"] and len(headings) == 18
    for table in re.findall(r"(?:^\|.*\n)+", result.out, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert result.out.count("```") % 2 == 0
    assert re.search(r"^trainer\.py:\d+: if self\._step >= self\.cfg\.seeding_coef", result.out, re.M)
    assert "episode\\_length=250" in result.out


def test_the_page_shows_real_output(scan: Scan) -> None:
    page = (Path(__file__).parents[2] / "docs/scan.md").read_text("utf-8")
    told = scan("num_envs=20", "episode_length=250", "action_dim=21").out + scan().out
    shown = [line for block in re.findall(r"^```text\n(.*?)^```", page, re.M | re.S) for line in block.splitlines()]
    assert len(shown) > 20
    assert not set(shown) - set(told.splitlines()) - {""}


def test_code_with_backticks_stays_in_its_fence() -> None:
    assert _fenced("x = '````'").startswith("`````text\n")


LEVELS = {"critical": "error", "moderate": "warning", "minor": "note", "prerequisite": "note"}


def test_sarif(scan: Scan, copy: Callable[..., Path]) -> None:
    """What the specification asks of the parts that are used (SARIF 2.1.0, sections 3.13 to 3.52)."""
    tree = copy(PLAIN, junk="def (:\n")
    log = scan("--tree", str(tree), "--sarif").json
    patches = load_patches([builtin_patches()])
    assert set(log) == {"$schema", "version", "runs"} and log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver, rules = run["tool"]["driver"], run["tool"]["driver"]["rules"]
    assert driver["name"] == "newtfix" and [rule["id"] for rule in rules] == list(patches)
    for rule in rules:
        assert rule["defaultConfiguration"]["level"] == LEVELS[patches[rule["id"]].severity.value]
        assert all(rule[key]["text"] for key in ("shortDescription", "fullDescription", "help"))
    base = run["originalUriBaseIds"]["SRCROOT"]["uri"]
    assert base == tree.as_uri() + "/"
    assert run["invocations"][0]["executionSuccessful"] is True
    notes = [note["message"]["text"] for note in run["invocations"][0]["toolExecutionNotifications"]]
    assert "junk.py is not read: syntax error, line 1: invalid syntax" in notes
    _check_results(run["results"], rules, tree)


def _check_results(results: list[Any], rules: list[Any], tree: Path) -> None:
    fingerprints = set()
    for result in results:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        failing = result["kind"] == "fail"
        assert result["level"] == (rules[result["ruleIndex"]]["defaultConfiguration"]["level"] if failing else "none")
        assert result["message"]["text"]
        (location,) = result["locations"]
        artifact, region = (location["physicalLocation"][key] for key in ("artifactLocation", "region"))
        assert artifact["uriBaseId"] == "SRCROOT" and not artifact["uri"].startswith("/")
        line = (tree / artifact["uri"]).read_text().splitlines()[region["startLine"] - 1]
        assert region["snippet"]["text"] == line.strip()
        fingerprints.add(result["partialFingerprints"]["newtfixPlace/v1"])
    assert len(fingerprints) == len(results) > 20


def test_fingerprints_stay_when_lines_move(scan: Scan, copy: Callable[..., Path]) -> None:
    tree = copy(PLAIN)
    before = scan("--tree", str(tree), "--sarif").json["runs"][0]["results"]
    path = tree / "trainer.py"
    path.write_text("# moved\n" * 9 + path.read_text())
    after = scan("--tree", str(tree), "--sarif").json["runs"][0]["results"]
    prints = [[result["partialFingerprints"] for result in results] for results in (before, after)]
    assert prints[0] == prints[1] and before != after


# --- what a user may get wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("num_envs=abc", "num_envs=abc is not a whole number"),
        ("num_envs=0", "num_envs=0 is not a whole number"),
        ("world_size=1.5", "world_size=1.5 is not a whole number"),
        ("episode_length=", "episode_length=None is not a whole number"),
        ("prior_coef=much", "prior_coef=much is not a number"),
    ],
)
def test_text_where_a_number_belongs_is_refused(scan: Scan, given: str, said: str) -> None:
    result = scan("--tree", str(PLAIN), given)
    assert result.code == 2 and said in result.err


def test_status_and_scan_show_the_same_places(scan: Scan, copy: Callable[..., Path]) -> None:
    tree = copy(PLAIN)
    scanned = {one["id"]: one for one in scan("--tree", str(tree), "--json").json["patches"]}
    status = scan("--tree", str(tree), "--json", command="status").json
    for one in status["patches"]:
        assert [(place["file"], place["line"]) for place in one["places"]] == [
            (place["file"], place["line"]) for place in scanned[one["id"]]["evidence"]
        ], one["id"]


def test_a_patch_that_needs_another_first_is_said_in_one_line(scan: Scan) -> None:
    out = scan("--tree", str(PLAIN)).out
    lines = out.splitlines()
    waiting = [number for number, line in enumerate(lines) if "needs planner-stats first" in line]
    assert waiting and not any("looked for" in lines[number + 1] for number in waiting)


def test_the_rule_of_a_patched_tree_is_shown_and_not_a_name(scan: Scan) -> None:
    assert scan("seeding", command="apply").code == 0
    row = next(line for line in scan().out.splitlines() if line.startswith("env steps"))
    assert row.count("max(1000, 5 L)") == 2 and "_seed_steps" not in row
