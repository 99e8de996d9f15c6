"""Recordings for `newtfix parity`: what is refused, and what is read."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from commands import Run
from recordings import Arrays, reference, write_tree
from trees import PATCHES

from newtfix.cli import app
from newtfix.errors import UsageError
from newtfix.parity import measure
from newtfix.parity.compare import _row, relative_error
from newtfix.parity.fixture import read_fixture
from newtfix.parity.pinned import Pinned, PinningError

ROOT = Path(__file__).parents[2]


GOLDEN = Path(os.environ.get("NEWTFIX_GOLDEN", ROOT.parent / "shared/golden"))


def without(*keys: str) -> Arrays:
    return {key: value for key, value in reference().items() if key not in keys}


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        pytest.param(without("cfg/num_q"), ["cfg/num_q is missing"], id="no setting"),
        pytest.param(without("cfg/rho"), ["cfg/rho is missing"], id="no coefficient"),
        pytest.param(without("w/_pi.1.ln.bias"), ["w/_pi.1.ln.bias is missing"], id="no weight"),
        pytest.param(without("in/eps_td"), ["in/eps_td is missing", "td_target"], id="no noise"),
        pytest.param(
            without("in/q_plan"), ["in/q_plan is missing", "plan_value"], id="an optional result without its input"
        ),
        pytest.param(without("out/td_target"), ["out/td_target is missing"], id="no result"),
        pytest.param(
            without("out/actor/bc/scale_4/q_loss"), ["out/actor/bc/scale_4/q_loss is missing"], id="half a mode"
        ),
        pytest.param(
            {**reference(), "in/action": reference()["in/action"][:-1]},
            ["in/action has the shape [3, 5, 3]", "[4, 5, 3]"],
            id="short actions",
        ),
        pytest.param(
            {**reference(), "cfg/horizon": np.array(3)}, ["in/obs has the shape [5, 5, 6]"], id="other horizon"
        ),
        pytest.param({**reference(), "cfg/horizon": np.array(2.5)}, ["cfg/horizon is 2.5"], id="half a step"),
        pytest.param({**reference(), "cfg/rho": np.array([0.5, 0.5])}, ["cfg/rho has the shape [2]"], id="two values"),
        pytest.param({**reference(), "cfg/simnorm_dim": np.array(5)}, ["cfg/simnorm_dim=5"], id="uneven simplices"),
        pytest.param(
            {**reference(), "w/_pi.0.bias": np.zeros(3)}, ["w/_pi.0.bias has the shape [3]"], id="other width"
        ),
        pytest.param({**reference(), "in/q_pi": np.array([0, 4])}, ["in/q_pi is [0, 4]"], id="a network too many"),
        pytest.param({**reference(), "in/q_pi": np.array([0.0, 1.0])}, ["in/q_pi is [0.0, 1.0]"], id="fractions"),
        pytest.param({**reference(), "in/mu": np.array("x")}, ["in/mu is not an array of numbers"], id="text"),
        pytest.param({**reference(), "in/mu": np.array([{}])}, ["in/mu is pickled"], id="pickled"),
        pytest.param(
            {
                **reference(),
                **{f"out/actor/bc/scale_x/{p}": np.array(1.0) for p in ("pi_loss", "q_loss", "prior_loss")},
            },
            ["out/actor/bc/scale_x/grad_norm is missing"],
            id="a scale by another name",
        ),
        pytest.param(
            {key.replace("/bc/", "/foo/"): value for key, value in reference().items()},
            ["the mode 'foo' is none of sac, awac, residual, bc_sac, bc"],
            id="a mode that does not exist",
        ),
        pytest.param(
            {**reference(), "in/std": reference()["in/std"] * np.nan}, ["in/std holds numbers that"], id="not finite"
        ),
        pytest.param({**reference(), "cfg/rho": np.array(np.nan)}, ["cfg/rho is nan"], id="a setting that is none"),
        pytest.param(
            {**reference(), "in/two_hot_x": np.array(1.0)},
            ["in/two_hot_x has the shape []; it should be [M 1]"],
            id="a number where there should be rows",
        ),
        pytest.param(
            {key.replace("/bc/scale_4/", "/bc/scale_0/"): value for key, value in reference().items()},
            ["the scale '0' is no number above 0"],
            id="a scale of nothing",
        ),
        pytest.param({}, ["cfg/horizon is missing"], id="empty"),
    ],
)
def test_a_recording_that_is_wrong_is_refused_with_the_key(parity: Run, arrays: Arrays, words: list[str]) -> None:
    result = parity(arrays)
    assert (result.code, result.out) == (2, "")
    assert all(word in result.err for word in words), result.err
    assert "fixture.npz" in result.err


@pytest.mark.parametrize(
    ("content", "word"),
    [
        pytest.param(None, "there is no file", id="nothing"),
        pytest.param(b"", "is not an npz file", id="empty"),
        pytest.param(b"just text", "is not an npz file", id="text"),
        pytest.param(b"PK\x03\x04 not a zip", "is not an npz file", id="no zip"),
        pytest.param("array", "a single array", id="npy"),
        pytest.param("damaged", "cannot be read", id="damaged"),
    ],
)
def test_a_file_that_is_no_recording(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes | str | None, word: str
) -> None:
    path = tmp_path / "given.npz"
    if content == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif content == "damaged":
        np.savez(path, **reference())
        raw = path.read_bytes()
        where = raw.index(reference()["in/obs"].tobytes())
        path.write_bytes(raw[:where] + b"\xff\x00" + raw[where + 2 :])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(SystemExit) as end:
        app(["parity", str(path)], prog_name="newtfix")
    assert end.value.code == 2
    assert word in capfd.readouterr().err


def test_groups_that_were_not_recorded_have_no_rows(tmp_path: Path) -> None:
    kept = {key: value for key, value in reference().items() if "awac" not in key and "plan" not in key}
    np.savez(tmp_path / "some.npz", **kept, **{"out/novel": np.zeros(2)})
    fixture = read_fixture(tmp_path / "some.npz")
    assert set(fixture.results) == {key[4:] for key in kept if key.startswith("out/")}
    assert fixture.ignored == ("out/novel",)


def test_the_batch_is_as_large_as_its_observations_where_no_setting_says_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", **without("cfg/batch_size"))
    assert "batch_size" not in read_fixture(tmp_path / "some.npz").settings
    short = {**without("cfg/batch_size"), "in/reward": reference()["in/reward"][:, 1:]}
    np.savez(tmp_path / "short.npz", **short)
    with pytest.raises(UsageError, match="in/reward has the shape"):
        read_fixture(tmp_path / "short.npz")


def test_other_spellings_of_the_same_numbers_are_read(tmp_path: Path) -> None:
    """Counts as floats, single numbers as arrays of one, and bytes in the other order."""
    usual = reference()
    other = {key: value.astype(value.dtype.newbyteorder(">")) for key, value in usual.items()}
    other |= {"cfg/num_q": np.array(float(usual["cfg/num_q"])), "out/total_loss": usual["out/total_loss"].reshape(1)}
    np.savez(tmp_path / "other.npz", **other)
    fixture = read_fixture(tmp_path / "other.npz")
    assert isinstance(fixture.settings["num_q"], int)
    assert all(
        array.dtype.isnative and np.array_equal(array.squeeze(), usual[key].squeeze())
        for key, array in fixture.arrays.items()
    )


@pytest.mark.parametrize("tol", ["-1", "nan", "inf"])
def test_a_tolerance_that_is_none(parity: Run, tol: str) -> None:
    assert parity(reference(), "--tol", tol).code == 2


def test_numbers_of_another_shape_or_none_at_all_are_said() -> None:
    def said(computed: object) -> str:
        return _row("encode", "model", np.ones((2, 1)), np.array(computed), "", 1e-4).error

    assert said([1.0, 1.0]) == "" and said([1.0, np.inf]) == "it is not finite"
    assert said([1.0, 1.0, 1.0]) == "its shape is [3], the recorded one [2, 1]"


def test_what_is_drawn_in_another_shape_than_recorded_is_an_error() -> None:
    with Pinned(torch.ones(2, 3), [torch.tensor([2, 0])]):
        assert torch.equal(torch.randn(2, 1, 3), torch.ones(2, 1, 3))
        assert sorted(torch.randperm(3).tolist()) == [0, 1, 2] and torch.randperm(3)[0] == 2
        with pytest.raises(PinningError, match=r"it draws noise of shape \[4\]; the recorded noise is \[2, 3\]"):
            torch.randn(4)
        with pytest.raises(PinningError, match=r"it draws from 2 Q networks; the recorded ones are \[2, 0\]"):
            torch.randperm(2)


@pytest.mark.parametrize("agent", [{}, {"scale": 1.0}, {"scale": torch.ones(1)}])
def test_an_agent_is_left_as_it_was(agent: dict[str, Any]) -> None:
    """With a running scale that is a number or a tensor, or without one."""
    made: Any = SimpleNamespace(model=torch.nn.Linear(1, 1), cfg=SimpleNamespace(actor_mode="bc"))
    for name, value in agent.items():
        setattr(made, name, SimpleNamespace(value=value))
    weight = made.model.weight.detach().clone()
    with torch.no_grad(), measure._left_as_is(made):
        made.model.weight.add_(1)
        made.cfg.actor_mode = "sac"
        if agent:
            measure._set_scale(made, 3.0)
    assert made.cfg.actor_mode == "bc" and torch.equal(made.model.weight, weight)
    assert not agent or float(made.scale.value) == 1.0


def test_a_method_that_is_replaced_for_a_while_comes_back_also_where_it_was_the_objects_own() -> None:
    class Agent:
        def act(self) -> str:
            return "of the class"

    agent: Any = Agent()
    with measure._replaced(agent, "act", lambda: "for a while"):
        assert agent.act() == "for a while"
    assert agent.act() == "of the class" and vars(agent) == {}
    agent.act = lambda: "its own"
    with measure._replaced(agent, "act", lambda: "for a while"):
        pass
    assert agent.act() == "its own"


def test_relative_errors() -> None:
    recorded = np.array([0.0, -4.0])
    assert relative_error(recorded, np.array([0.002, -4.0])) == pytest.approx(5e-4)
    assert relative_error(np.array(0.0), np.array(-0.0)) == 0
    assert relative_error(np.array(0.0), np.array(1e-3)) > 1


@pytest.mark.parametrize(
    "name", ["golden_tdmpc_square", "golden_tdmpc_square_stress", "golden_newt", "golden_newt_padded"]
)
def test_the_recordings_of_the_reference_and_of_newt(parity: Run, tmp_path: Path, name: str) -> None:
    if not (GOLDEN / f"{name}.npz").is_file():
        pytest.skip(f"NEWTFIX_GOLDEN={GOLDEN} has no {name}.npz")
    write_tree(tmp_path / "newt_patched", PATCHES)
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        result = parity(dict(arrays), "--json")
    assert (result.code, result.failed) == (0, set())
