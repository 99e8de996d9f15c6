"""planner-stats: shapes of code that it knows, and those that it refuses."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from specimens import texts
from tables import refused_in_plain
from trees import PATCHES

from newtfix import testing
from newtfix.errors import Refused
from newtfix.plan.engine import plan
from newtfix.testing import variant

PLAIN = Path(__file__).parents[1] / "specimens/plain"


@cache
def sources():
    return {p.relative_to(PLAIN).as_posix(): p.read_bytes().decode() for p in sorted(PLAIN.rglob("*.py"))}


def patched(ids):
    return {**sources(), **plan(sources(), ids, PATCHES).after}


@pytest.mark.parametrize(
    "keys", ['KEYS = ("obs", "action", "reward", "task")', 'KEYS = ["action", "obs", "reward", "task"]']
)
def test_keys_by_name_are_extended(keys: str) -> None:
    tree = dict(texts("plain"))
    buffer = tree["common/buffer.py"]
    call = buffer[buffer.index(".select(") : buffer.index(")", buffer.index(".select("))]
    tree["common/buffer.py"] = buffer.replace(call, ".select(*KEYS, strict=False").replace(
        "\ndef transform", f"\n{keys}\n\n\ndef transform", 1
    )
    patched = plan(tree, ["planner-stats"], PATCHES).after["common/buffer.py"]
    assert '"action", "mu", "std"' in patched


def test_noise_that_is_added_in_place() -> None:
    noise = "out_std * torch.randn_like(action)"
    added = (f"action = (action + {noise}).clamp(-1, 1)", f"action.add_({noise}).clamp_(-1, 1)")
    tree = variant(texts("plain"), "tdmpc2.py", added)
    assert "mu = action.clone()\n" in plan(tree, ["planner-stats"], PATCHES).after["tdmpc2.py"]


def test_noise_on_a_schedule() -> None:
    noise = ("(action + out_std *", "(action + self._noise_scale(step) * out_std *")
    tree = variant(texts("plain"), "tdmpc2.py", noise)
    assert "return action, mu, out_std\n" in plan(tree, ["planner-stats"], PATCHES).after["tdmpc2.py"]


def test_losses_that_are_called_by_keyword() -> None:
    called = ("self.pi_loss(zs, action, task)", "self.pi_loss(zs=zs, action=action, task=task)")
    patched = plan(variant(texts("plain"), "tdmpc2.py", called), ["planner-stats"], PATCHES).after["tdmpc2.py"]
    assert "self.pi_loss(zs=zs, action=action, mu=mu, std=std, task=task)" in patched


@pytest.mark.parametrize("given", [".detach().cpu()", ".cpu().float()", '.to("cpu")', ""])
def test_actions_that_are_given_away_otherwise(given: str) -> None:
    tree = variant(texts("plain"), "tdmpc2.py", ("return action.cpu()", f"return action{given}"))
    patched = plan(tree, ["planner-stats"], PATCHES).after["tdmpc2.py"]
    assert f"\t\t\treturn action{given}, mu{given}, std{given}\n" in patched


PLANNING = "action = self.plan(obs, t0=t0, step=step, eval_mode=eval_mode, task=task)\n"


BRANCHES = f"""\
		if mpc:
			{PLANNING}\
		else:
			action, info = self.pi(obs, task)
			if eval_mode:
				action = info["mean"]
		return action.cpu()
"""


POLICY = '\t\t\taction, info = self.pi(obs, task)\n\t\t\treturn (info["mean"] if eval_mode else action).cpu()\n'


@pytest.mark.parametrize(
    "returns",
    [
        f"\t\tif not mpc:\n{POLICY}\t\treturn {PLANNING.strip().removeprefix('action = ')}.cpu()\n",
        f"\t\tif not mpc:\n{POLICY}\t\t{PLANNING}\t\treturn action.cpu()\n",
        f"\t\tif mpc:\n\t\t\t{PLANNING}\t\t\treturn action.cpu()\n{POLICY.replace(3 * chr(9), 2 * chr(9))}",
    ],
)
def test_planner_and_policy_that_each_return(returns: str) -> None:
    tree = variant(texts("plain"), "tdmpc2.py", (BRANCHES, returns))
    assert (
        "\t\tif mpc:\n"
        "\t\t\taction, mu, std = self.plan(obs, t0=t0, step=step, eval_mode=eval_mode, task=task)\n"
        "\t\telse:\n"
        "\t\t\taction, info = self.pi(obs, task)\n"
        '\t\t\tmu, std = info["mean"], info["log_std"].exp()\n'
        '\t\t\taction = info["mean"] if eval_mode else action\n'
        "\t\tif return_stats:\n"
        "\t\t\treturn action.cpu(), mu.cpu(), std.cpu()\n"
        "\t\treturn action.cpu()\n"
    ) in plan(tree, ["planner-stats"], PATCHES).after["tdmpc2.py"]


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ("\t\t\taction, self._queued = self._queued, action\n", "actions are changed before they are stored"),
        (
            "\t\t\tmixed = torch.rand(4) < 0.05\n\t\t\taction[mixed] = self.env.rand_act()[mixed]\n",
            "actions are changed before they are stored",
        ),
    ],
)
def test_actions_that_are_not_the_planner_s_for_this_step(new: str, words: str) -> None:
    """What is stored was acted on later, or in part at random."""
    stepped = "\t\t\tobs, reward, terminated, truncated, info = self.env.step(action)\n\t\t\tep_len += 1\n"
    tree = variant(texts("plain"), "trainer.py", (stepped, new + stepped))
    with pytest.raises(Refused) as refused:
        plan(tree, ["planner-stats"], PATCHES)
    assert words in f"{refused.value}\n{refused.value.detail}"


def test_plans_that_are_kept_for_some_steps() -> None:
    """The early return would stay an action alone, where the caller asks for statistics as well."""
    kept = "\t\tif self._held is not None:\n\t\t\treturn self._held\n"
    text = texts("plain")["tdmpc2.py"]
    start = text.index("\tdef plan(")
    place = text.index("\t\t", start)
    with pytest.raises(Refused) as refused:
        plan({**texts("plain"), "tdmpc2.py": text[:place] + kept + text[place:]}, ["planner-stats"], PATCHES)
    assert "the patch does not go with this code of TDMPC2.plan: return self._held" in refused.value.where


def test_the_planner_s_mean_is_not_the_tensor_that_noise_is_added_to():
    after = testing.apply(texts("plain"), "planner-stats", patches=PATCHES)["tdmpc2.py"]
    assert "\t\tmu = action.clone()\n" in after


def test_a_script_that_relies_on_what_was_is_named():
    script = "def probe(agent, zs, action, task):\n    return agent.update_pi(zs, action, task)\n"
    with pytest.raises(Refused, match="calls update_pi with the parameters that it had") as refused:
        plan({**texts("plain"), "probe.py": script}, ["planner-stats"], PATCHES)
    assert "probe.py:2" in refused.value.where


DATASET = """
class Recorded:
	def __init__(self, rows):
		self.rows = rows

	def sample(self, device):
		return self._taken(self.rows.to(device))

	def _taken(self, rows):
		return rows["obs"], rows["action"][1:], rows["reward"][1:], None
"""


def test_a_dataset_that_stands_in_for_the_buffer_is_named():
    """The update would take six values of the four that it gives."""
    with pytest.raises(Refused, match=r"gives 4 values by Recorded\.sample, where 6 are taken now") as refused:
        plan({**texts("plain"), "recorded.py": DATASET}, ["planner-stats"], PATCHES)
    assert "recorded.py:6" in refused.value.where
    other = DATASET.replace(', rows["reward"][1:], None', "")
    assert plan({**texts("plain"), "recorded.py": other}, ["planner-stats"], PATCHES).after


DRAWN = "\t\tobs, action, reward, task = buffer.sample(device=self.device)\n"
GIVEN = "\t\treturn action.cpu()\n"
OTHERWISE = {
    "an update in two methods": (
        DRAWN,
        f"{DRAWN}\t\treturn self._update(obs, action, reward, task)\n\n"
        "\tdef _update(self, obs, action, reward, task):\n",
        "self._update(obs, action, mu, std, reward, task)",
        "def _update(self, obs, action, mu, std, reward, task):",
    ),
    "an action that stays where the environments are": (
        GIVEN,
        f"\t\tif self.cfg.env_on_gpu:\n\t\t\treturn action\n{GIVEN}",
        "\t\t\tif return_stats:\n\t\t\t\treturn action, mu, std\n\t\t\treturn action\n",
        "\t\tif return_stats:\n\t\t\treturn action.cpu(), mu.cpu(), std.cpu()\n",
    ),
}


@pytest.mark.parametrize("case", OTHERWISE)
def test_statistics_go_where_the_action_goes(case: str) -> None:
    before, after, *expected = OTHERWISE[case]
    tree = variant(texts("plain"), "tdmpc2.py", (before, after))
    patched = plan(tree, ["planner-stats"], PATCHES).after["tdmpc2.py"]
    assert [one for one in expected if one not in patched] == []


HALVES = "\t\tself._out_obs = torch.cat([obs0, obs1], dim=1)\n"


BATCH = "\t\tobs, action, reward, task = self._buffer.sample()\n"


STORED = "\t\t\t\t_td = self._tds[:ep_len[i]+1, i].unsqueeze(0)\n"


REFUSED_IN_PLAIN = {
    "halves that are shuffled": (
        "common/buffer.py",
        HALVES,
        f"\t\tobs1, action1 = shuffled(obs1, action1)\n{HALVES}",
        "the patch cannot tell what this does to it: obs1, action1 = shuffled",
    ),
    "batches with weights": (
        "common/buffer.py",
        BATCH,
        "\t\t(obs, action, reward, task), info = self._buffer.sample(return_info=True)\n",
        "edit 'batch'",
    ),
    "batches that are fetched ahead": (
        "common/buffer.py",
        BATCH,
        "\t\tobs, action, reward, task = self._ahead()\n",
        "edit 'batch'",
    ),
    "actions that are mirrored": (
        "trainer.py",
        STORED,
        f'{STORED}\t\t\t\tself.buffer.add(self._mirrored(_td))\n\t\t\t\t_td["action"] = -_td["action"]\n',
        "episodes are changed before they are added to the buffer",
    ),
}


@pytest.mark.parametrize("case", REFUSED_IN_PLAIN)
def test_refused_in_plain(case: str) -> None:
    refused_in_plain("planner-stats", *REFUSED_IN_PLAIN[case])


BUFFER = "\t\tobs, action, reward, task = self._buffer.sample()\n"


GUARDED_IN_PLAIN = {
    "another way to act": (
        "trainer.py",
        "\t\t\tif use_agent:\n",
        "\t\t\tif self._step == 7:\n\t\t\t\taction = self._last\n\t\t\telif use_agent:\n",
        "leave 'mu' without a value",
    ),
    "an early return": (
        "tdmpc2.py",
        "\t\tobs = obs.to(self.device)\n\t\tmpc = mpc",
        "\t\tobs = obs.to(self.device)\n\t\tif step == 7:\n\t\t\treturn obs\n\t\tmpc = mpc",
        "'return'",
    ),
    "an action that is scaled": (
        "tdmpc2.py",
        "\t\treturn action.cpu()\n",
        "\t\taction = action * self.cfg.max_std\n\t\treturn action.cpu()\n",
        "'return'",
    ),
    "samples that are scaled": (
        "common/buffer.py",
        BUFFER,
        BUFFER + "\t\tobs, action = obs, 2 * action\n",
        "'batch'",
    ),
    "a batch that is mirrored": (
        "tdmpc2.py",
        "\t\tobs, action, reward, task = buffer.sample(device=self.device)\n",
        "\t\tobs, action, reward, task = buffer.sample(device=self.device)\n\t\taction = -action\n",
        "'sample'",
    ),
    "a variable of that name": (
        "tdmpc2.py",
        "\t\ttotal_loss.backward()\n",
        "\t\tstd = self.track(action.std())\n\t\ttotal_loss.backward()\n",
        "the name 'std'",
    ),
    "noise that is not the planner's": (
        "tdmpc2.py",
        "action = (action + out_std * torch.randn_like(action)).clamp(-1, 1)",
        "action = (action + 0.1 * torch.randn_like(action)).clamp(-1, 1)",
        "plan does not scale its noise with what the planner found",
    ),
    "another mixture of demonstrations": (
        "common/buffer.py",
        "class EnsembleBuffer(Buffer):",
        "class MixedBuffer(Buffer):",
        "takes 4 values from sample, which returns 6",
    ),
    "another call of the policy's update": (
        "trainer.py",
        "\tdef common_metrics(self):\n",
        "\tdef distil(self, zs, action, task):\n\t\treturn self.agent.update_pi(zs.detach(), action, task)\n\n"
        "\tdef common_metrics(self):\n",
        "calls update_pi with the parameters that it had",
    ),
    "another use of the plan": (
        "tdmpc2.py",
        "\tdef update_pi(self",
        "\tdef again(self, obs, t0, task):\n\t\treturn self.plan(obs, t0, task=task)\n\n\tdef update_pi(self",
        "plan is called here, too",
    ),
}


@pytest.mark.parametrize("case", GUARDED_IN_PLAIN)
def test_guarded_in_plain(case: str) -> None:
    refused_in_plain("planner-stats", *GUARDED_IN_PLAIN[case])
