"""What edits made after a patch do to it: told as if they had been there before, and in lines that it wrote."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Run

from newtfix.code.flat import flat, joined
from newtfix.code.units import units
from newtfix.work.doubts import doubts
from newtfix.work.outcome import compute, save
from newtfix.work.places import base_tree
from newtfix.work.session import Target, open_session, reports

Change = Callable[[str, str, str], None]
BURST = "        updates = self._seed_steps if self.cfg.burst_updates is None else self.cfg.burst_updates\n"
RHO = "        return (self.rho[: x.shape[0]] * x.flatten(1).mean(1)).mean()\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """newt_base with all patches and their record."""
    root = tmp_path_factory.mktemp("made") / "tree"
    shutil.copytree(base_tree(), root, ignore=shutil.ignore_patterns("__pycache__"))
    session = open_session(Target(root, root))
    save(session, compute(session, tuple(session.patches)))
    return root


@pytest.fixture
def tree(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "tree"))


def edit(tree: Path, file: str, before: str, after: str) -> None:
    text = (tree / file).read_text()
    assert text.count(before) == 1, before
    (tree / file).write_text(text.replace(before, after))


def told(tree: Path) -> dict[str, str]:
    session = open_session(Target(tree, tree))
    states = reports(session, session.applied)
    found = doubts(session)
    assert all(states[name].state.value == "applied" for name in found)  # the code alone does not tell
    return found


HARMLESS = {
    "nothing": ("tdmpc2.py", RHO, RHO),
    "comments and layout": ("trainer.py", BURST, f"\n        # once\n{BURST}"),
    "a print in it": ("trainer.py", BURST, f'{BURST}        print(f"burst: {{updates}}")\n'),
    "brackets": ("trainer.py", BURST, BURST.replace("= self", "= (self").replace("updates\n", "updates)\n")),
    "another setting": ("config.py", "lr: Positive = 3e-4", "lr: Positive = 1e-4"),
    "lines of one's own elsewhere": (
        "tdmpc2.py",
        "    def _pi_loss",
        "    def lengths(self):\n        return self.cfg.horizon\n\n    def _pi_loss",
    ),
    "a method between two of a patch": (
        "trainer.py",
        "    def _burst",
        "    def lengths(self):\n        return self.cfg.horizon\n\n    def _burst",
    ),
    "a setting in front of one of a patch": (
        "config.py",
        "    burst_updates: ",
        "    my_own: int = 3\n    burst_updates: ",
    ),
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=list(HARMLESS))
def test_no_doubt(tree: Path, change: tuple[str, str, str]) -> None:
    edit(tree, *change)
    assert told(tree) == {}


def test_methods_in_another_order(tree: Path) -> None:
    text = (tree / "trainer.py").read_text()
    start, end = text.index("    def _pretrain(self"), text.index("    def train(self")
    moved = text[:start] + text[end:]
    place = moved.index("    def common_metrics(self")
    (tree / "trainer.py").write_text(moved[:place] + text[start:end] + moved[place:])
    assert told(tree) == {}


DOUBTFUL = {
    "burst: fewer updates": ("trainer.py", BURST, f"{BURST}        updates = updates // 2\n", "its lines were edited"),
    "actor-modes: another weight": (
        "tdmpc2.py",
        RHO,
        RHO.replace("(self", "(0.5 * self"),
        "its lines were edited",
    ),
    "seeding: no episode length": (
        "trainer.py",
        "max(1000, 5 * self.cfg.episode_length)",
        "max(1000, 5 * 500)",
        "its lines were edited",
    ),
    "first-obs: a condition": (
        "trainer.py",
        "self._tds[0, done] = ",
        "if self.cfg.save_video:\n                        self._tds[0, done] = ",
        "its lines were edited",
    ),
    "mu-std: another deviation behind it": (
        "trainer.py",
        "                    std = torch.full_like(action, self.cfg.log_std_max).exp()\n",
        "                    std = torch.full_like(action, self.cfg.log_std_max).exp()\n"
        "                    std = torch.ones_like(action)\n",
        "its lines were edited",
    ),
    "seeding: another threshold elsewhere": (
        "trainer.py",
        "        obs = None\n",
        "        obs = None\n        self._seed_steps = 100\n",
        "_seed_steps is set here as well",
    ),
    "burst: a flag from outside": (
        "train.py",
        "        trainer.logger = Logger(",
        "        trainer._burst_due = False\n        trainer.logger = Logger(",
        "_burst_due is set here as well",
    ),
    "target-q: a line more in a block of its own": (
        "common/layers.py",
        "            self.target._forward = ",
        "            self.compiled = True\n            self.target._forward = ",
        "its lines were edited",
    ),
}


@pytest.mark.parametrize(("name", "change"), DOUBTFUL.items(), ids=list(DOUBTFUL))
def test_lines_of_patches_that_were_edited(tree: Path, name: str, change: tuple[str, str, str, str]) -> None:
    *where, reason = change
    edit(tree, *where)
    ((found, why),) = told(tree).items()
    assert found == name.partition(":")[0] and reason in why and f"({where[0]}:" in why


AGAINST = {
    "plan-anneal: another end": (
        "common/math.py",
        "def interp_dist(",
        "def interp_dist_twice(*x):\n    return interp_dist(*x[:-1], x[-1] - x[-2])\n\n\ndef interp_dist(",
    ),
    "seeding: returns of whole episodes": (
        "common/buffer.py",
        "        values = {key: td[key][0] for",
        "        td['reward'] = td['reward'].flip(1).cumsum(1).flip(1)\n        values = {key: td[key][0] for",
    ),
}


@pytest.mark.parametrize(("name", "change"), AGAINST.items(), ids=list(AGAINST))
def test_what_would_have_been_refused(tree: Path, name: str, change: tuple[str, str, str]) -> None:
    edit(tree, *change)
    why = told(tree)[name.partition(":")[0]]
    where = re.search(r"would not fit: ([\w/.]+):(\d+): ", why)
    assert where is not None and where[1] == change[0], why
    line = (tree / where[1]).read_text().splitlines()[int(where[2]) - 1].strip()
    assert line and why.endswith(line)


def test_a_file_that_is_gone_hides_no_edits_of_others(tree: Path) -> None:
    edit(tree, "trainer.py", BURST, f"{BURST}        updates = updates // 2\n")
    (tree / "common/math.py").unlink()
    assert list(told(tree)) == ["burst"]


def test_a_record_that_does_not_say_enough(tree: Path) -> None:
    edit(tree, "trainer.py", BURST, f"{BURST}        updates = updates // 2\n")
    (tree / ".newtfix/generated/trainer.py").unlink()
    assert "does not say what the patches made of trainer.py" in told(tree)["burst"]
    ledger = tree / ".newtfix/ledger.json"
    record = json.loads(ledger.read_text())
    ledger.write_text(json.dumps({**record, "requested": [*record["requested"], "my-own"]}))
    assert "my-own, which is not at hand" in told(tree)["burst"]


def test_check_and_status_say_it(tree: Path, newtfix: Run) -> None:
    edit(tree, "trainer.py", BURST, f"{BURST}        updates = updates // 2\n")
    result = newtfix("check", "--all", "--tree", str(tree))
    assert result.code == 1 and "burst: cannot tell: its lines were edited (trainer.py:" in result.err
    assert "newtfix diff" in result.err
    assert newtfix("check", "rho", "--tree", str(tree)).code == 0
    (one,) = newtfix("check", "burst", "--tree", str(tree), "--json").json["patches"]
    assert one["state"] == "applied" and "updates // 2" in one["doubt"]
    assert "  burst: its lines were edited (" in newtfix("status", "--tree", str(tree)).err
    (tree / "trainer.py").write_bytes((tree / ".newtfix/generated/trainer.py").read_bytes())
    assert newtfix("check", "--all", "--tree", str(tree)).code == 0


def test_a_file_as_lines() -> None:
    """A line for each statement and head, whatever the layout, without docstrings and what only reports."""
    text = """
import torch  # a comment
def f(x, *,
      y=1):
    '''What it does.'''
    if x: return 1
    elif y:
        print(x)
        try:
            z = (x
                 + y)
        except ValueError as e: raise
        else: z = 2
        finally:
            x = 3
    match z:
        case 1:
            return [z]
    return z
"""
    lines = flat(text)
    assert [(line.place, line.text) for line in lines][:6] == [
        (2, "import torch"),
        (3, "def f(x, *, y=1):"),
        (6, "    if x:"),
        (6, "        return 1"),
        (7, "    else:"),
        (7, "        if y:"),
    ]
    assert "\n                z = x + y\n" in joined(lines) and "print" not in joined(lines)
    assert [line.text for line in flat(joined(lines))] == [line.text for line in lines]
    assert [line.text.strip() for line in lines[-4:]] == ["match z:", "case 1:", "return [z]", "return z"]


def test_units_of_a_file() -> None:
    text = """
import torch
@cache
def f(x):
    def g(y):
        return y
    return g(x)
SIZE = 3
class A(B):
    rate = 0.1
    def f(self):
        return self.rate
    other = 2
    @property
    def f(self):
        return 2
if SIZE:
    class C:
        pass
"""
    found = {key: [line.text.strip() for line in lines] for key, lines in units(flat(text)).items()}
    assert found == {
        "": ["import torch", "SIZE = 3", "if SIZE:", "class C:", "pass"],
        "f": ["@cache", "def f(x):", "def g(y):", "return y", "return g(x)"],
        "A.": ["class A(B):", "rate = 0.1", "other = 2"],
        "A.f": ["def f(self):", "return self.rate"],
        "A.f~2": ["@property", "def f(self):", "return 2"],
    }
