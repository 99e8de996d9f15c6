"""What `newtfix scan` reads of settings: dataclasses, YAML, arguments, tables of tasks, and expressions."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import Run

from newtfix.newt.roles import Found
from newtfix.scan import settings as settings_module
from newtfix.scan.evaluate import Evaluator, Unknown, class_code
from newtfix.scan.settings import parse_value, read_settings
from newtfix.work.places import base_tree

PLAIN = Path(__file__).parents[1] / "specimens/plain"


def test_settings_of_a_dataclass() -> None:
    text = """
from dataclasses import dataclass, field
SIZE = 3
class Base:
    inherited: int = 7
@dataclass
class Config(Base, Elsewhere):
    buffer_size: int = 10_000_000
    low: float = -10
    high: float = +10.0
    lr: float = 3e-4
    product: int = 2 * SIZE
    wrapped: int = field(metadata={"help": "text"}, default=4)
    made: list = field(default_factory=lambda: [1, 2])
    computed: int = len(open("x").read())
    empty: list = field(default_factory=list)
    later: int
    plain = "text"
"""
    settings = read_settings({"config.py": text}, Found("config.py", "Config"), [])
    assert settings.values == {
        **{"inherited": 7, "buffer_size": 10_000_000, "low": -10, "high": 10.0, "lr": 3e-4, "product": 6},
        **{"wrapped": 4, "made": [1, 2], "plain": "text"},
    }
    assert {"computed", "empty", "later"} <= settings.names
    assert settings.source("lr") == "config.py:11"


def test_settings_that_are_set_anew() -> None:
    text = """
class Config:
    rho: float = 0.5
    horizon: int = 3
    tau: float = 0.01
    def __post_init__(self):
        self.rho = 0.25
        if self.horizon:
            self.horizon = 5
"""
    settings = read_settings({"config.py": text}, Found("config.py", "Config"), [])
    assert settings.values == {"rho": 0.25, "tau": 0.01} and settings.source("rho") == "config.py:7"
    assert "horizon" in settings.names


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
def test_wrong_arguments(scan: Run, arguments: list[str], said: str) -> None:
    result = scan(*arguments)
    assert result.code == 2
    assert said in result.out + result.err


HYDRA = """
defaults:
  - override hydra/launcher: local
task: [plain, rough]
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


def test_settings_in_yaml(scan: Run, copy: Callable[..., Path]) -> None:
    """5 * 6 * 200 = 6,000 steps against 1,000; there is no dataclass."""
    tree = copy(PLAIN, config="def parse_cfg(cfg):\n    return cfg\n")
    (tree / "config.yaml").write_text(HYDRA)
    found = scan("--tree", str(tree), "--json").json
    assert (found["numbers"]["seed_steps"]["here"], found["numbers"]["seed_steps"]["reference"]) == (6_000, 1_000)
    assert found["numbers"]["replayed_per_step"]["here"] == pytest.approx(102.4)
    assert found["settings"]["tau"] == {"value": 0.01, "source": "config.yaml:16"}
    assert (found["tasks"]["names"], found["tasks"]["action_dims"]) == (["plain", "rough"], [])
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


def test_tasks_beside_the_tree(scan: Run, tmp_path: Path, copy: Callable[..., Path]) -> None:
    """Two tasks of 100 and 500 steps, one environment for each: 5 * 2 * 500 = 5,000 against 2,500."""
    config = (PLAIN / "config.py").read_text().replace("\tepisode_length: int = 25\n", "\tepisode_length: Any = None\n")
    config += (
        "\n\ndef parse_cfg(cfg):\n\tif cfg.task == 'both':\n\t\tcfg.num_envs = cfg.num_tasks\n"
        "\telse:\n\t\tcfg.rank = 3\n\tcfg.eval_freq = 1\n"
    )
    tree = copy(PLAIN, config=config.replace("eval_freq: int = 500", "eval_freq: Any = None"))
    (tree / "sets.py").write_text(
        "TASK_SET = {**OTHERS, 'both': ['short', 'long', 'short'], 'split': tuple('short long'.split())}\n"
    )
    (tmp_path / "tasks.json").write_text(json.dumps(TASKS))
    both = scan("--tree", str(tree), "--json", "task=both", "num_envs=9")
    assert both.json["tasks"] == {
        "count": 2,
        "names": ["short", "long"],
        "episode_lengths": [100, 500],
        "action_dims": [6, 21],
    }
    assert both.json["settings"]["num_envs"]["value"] == 2
    assert any(note.startswith("num_envs=9 is not used: with task=both") for note in both.json["notes"])
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


def test_a_damaged_table_of_tasks_is_noted(scan: Run, tmp_path: Path, copy: Callable[..., Path]) -> None:
    tree = copy(PLAIN)
    (tmp_path / "tasks.json").write_text("{")
    result = scan("--tree", str(tree), "--json")
    assert result.json["notes"][0].startswith("../tasks.json is not read")
    assert result.json["numbers"]["seed_steps"]["here"] == 500


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
        *[("cfg.none or 0", 0), ("cfg.n if not cfg.none else 1", 2), ("self.annotated()", 6)],
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
        *[("(-cfg.n) ** 0.5", "(-cfg.n) ** 0.5"), ("cfg.n if cfg.none > 1 else 1", "none > 1")],
        *[("self.grown()", "part"), ("self.two()", "self.two"), ("self.scaled()", "self.scaled")],
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
    def annotated(self):
        part: int = 3 * cfg.n
        return part
    def grown(self):
        part = 1
        for _ in range(3):
            part += 1
        return part
    def two(self):
        if self.cfg.n:
            return 1
        return 2
    def scaled(self, by=2):
        return by
"""
    evaluator = Evaluator({"n": 2, "none": None}, class_code(ast.parse(code), "C"))
    return evaluator.number(ast.parse(expression, mode="eval").body)


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
def test_text_where_a_number_belongs_is_refused(scan: Run, given: str, said: str) -> None:
    result = scan("--tree", str(PLAIN), given)
    assert result.code == 2 and said in result.err


def test_a_number_that_no_float_holds_is_not_known(scan: Run, copy: Callable[..., Path]) -> None:
    config = (
        (base_tree() / "config.py").read_text().replace("prior_coef: Weight = 10.0", f"prior_coef: Weight = {10**400}")
    )
    tree = copy(base_tree(), config=f"{config}\nLARGE = 0x{'f' * 512}\n")
    result = scan("--json", "--tree", str(tree))
    assert (result.code, result.json["numbers"]["prior_coef"]["here"]) == (0, None)
