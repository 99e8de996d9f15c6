"""Edits that people make to their trees and that a patch must not be blind to: it refuses."""

from __future__ import annotations

import pytest
from specimens import texts
from trees import PATCHES, sources

from newtfix import testing
from newtfix.errors import Refused
from newtfix.plan.engine import plan

RENAMED = [
    ("self.model", "self.world", "actor-modes"),
    ("self.cfg", "self.config", "seeding"),
    ("cfg.horizon", "cfg.plan_horizon", "seeding"),
    ("cfg.rank", "cfg.worker", "burst"),
    ("cfg.log_std_max", "cfg.widest", "mu-std"),
]

PLAN = "\t\t\taction = self.plan(obs, t0=t0, step=step, eval_mode=eval_mode, task=task)\n"
BUFFER = "\t\tobs, action, reward, task = self._buffer.sample()\n"
STORE = "\t\t\t\tself.buffer.add(_td, self.cfg.world_size, self.cfg.rank)\n"
UPDATED = "\t\tself.scale.update(qs)\n"
SPENT = "\t\t\t\t\t\t_metrics = self.agent.update(self.buffer)\n"
COPY = "\t\tself.target = deepcopy(self.online)\t# follows\n"

# patch, file, code of the specimen `plain`, what a tree has instead, a word of the refusal
CASES = {
    "another way to act": (
        "planner-stats",
        "trainer.py",
        "\t\t\tif use_agent:\n",
        "\t\t\tif self._step == 7:\n\t\t\t\taction = self._last\n\t\t\telif use_agent:\n",
        "leave 'mu' without a value",
    ),
    "an early return": (
        "planner-stats",
        "tdmpc2.py",
        "\t\tobs = obs.to(self.device)\n\t\tmpc = mpc",
        "\t\tobs = obs.to(self.device)\n\t\tif step == 7:\n\t\t\treturn obs\n\t\tmpc = mpc",
        "'return'",
    ),
    "an action that is scaled": (
        "planner-stats",
        "tdmpc2.py",
        "\t\treturn action.cpu()\n",
        "\t\taction = action * self.cfg.max_std\n\t\treturn action.cpu()\n",
        "'return'",
    ),
    "samples that are filtered": (
        "planner-stats",
        "common/buffer.py",
        BUFFER,
        BUFFER + "\t\tobs, action = obs[:, ::2], action[:, ::2]\n",
        "'sample-device'",
    ),
    "a batch that is mirrored": (
        "planner-stats",
        "tdmpc2.py",
        "\t\tobs, action, reward, task = buffer.sample(device=self.device)\n",
        "\t\tobs, action, reward, task = buffer.sample(device=self.device)\n\t\taction = -action\n",
        "'sample'",
    ),
    "a variable of that name": (
        "planner-stats",
        "tdmpc2.py",
        "\t\ttotal_loss.backward()\n",
        "\t\tstd = self.track(action.std())\n\t\ttotal_loss.backward()\n",
        "the name 'std'",
    ),
    "noise that is not the planner's": (
        "planner-stats",
        "tdmpc2.py",
        "action = (action + out_std * torch.randn_like(action)).clamp(-1, 1)",
        "action = (action + 0.1 * torch.randn_like(action)).clamp(-1, 1)",
        "'plan'",
    ),
    "episodes that are filtered": (
        "seeding",
        "trainer.py",
        STORE,
        "\t\t\t\tif ep_len[i] >= 3:\n\t" + STORE,
        "self.buffer.add is not called whenever an episode is over",
    ),
    "episodes that are relabelled": (
        "seeding",
        "trainer.py",
        STORE,
        "\t\t\t\t_td['reward'] = self.relabel(_td)\n" + STORE,
        "episodes do not go to self.buffer.add alone",
    ),
    "an update that depends": (
        "scale-order",
        "tdmpc2.py",
        UPDATED,
        "\t\tif self.cfg.finetune:\n\t" + UPDATED,
        "'before-use'",
    ),
    "updates with something beside them": (
        "burst",
        "trainer.py",
        SPENT,
        SPENT + "\t\t\t\t\t\tself.buffer.refresh()\n",
        "'method'",
    ),
    "a duration in place of an end": (
        "plan-anneal",
        "tdmpc2.py",
        "*2*[zeros], step, 100, 200)",
        "*2*[zeros], step, 100, 200 - 100)",
        "'duration'",
    ),
    "done that is reset": (
        "first-obs",
        "trainer.py",
        "\t\t\t\tep_len[i] = 0\n",
        "\t\t\t\tep_len[i] = 0\n\t\t\t\tdone[i] = False\n",
        "'row-0'",
    ),
    "a library under the name of the tree's own": (
        "actor-modes",
        "tdmpc2.py",
        "from common import math\n",
        "import math\n\nfrom common import math as tdmath\n",
        "'loss'",
    ),
    "an agent that acts from another step on than it learns": (
        "seeding",
        "trainer.py",
        "\t\t\tuse_mpc = self._step >= self.cfg.seeding_coef * self._update_freq\n",
        "\t\t\tuse_mpc = self._step >= self.cfg.random_steps\n",
        "'threshold'",
    ),
    "weights that something else uses": (
        "rho",
        "tdmpc2.py",
        "\tdef update_pi(self",
        "\tdef _returns(self, values):\n\t\treturn (values * self.rho[:, None]).sum(0)\n\n\tdef update_pi(self",
        "'weights'",
    ),
    "weights under a name of their own": (
        "rho",
        "tdmpc2.py",
        "\t\tclone = (F.mse_loss(pi_action[:-1], action, reduction='none').mean(2) * self.rho[:-1, None]).sum(0)\n",
        "\t\tw = self.rho[:-1, None]\n"
        "\t\tclone = (F.mse_loss(pi_action[:-1], action, reduction='none').mean(2) * w).sum(0)\n",
        "'weights'",
    ),
    "observations that an evaluation normalises": (
        "eval-modes",
        "trainer.py",
        "\t\tobs, _ = self.env.reset()\n",
        "\t\tobs, _ = self.env.reset()\n\t\tobs = self.normalised(obs)\n",
        "'beside-the-planner'",
    ),
    "another mixture of demonstrations": (
        "planner-stats",
        "common/buffer.py",
        "class EnsembleBuffer(Buffer):",
        "class MixedBuffer(Buffer):",
        "takes 4 values from sample, which returns 6",
    ),
    "another call of the policy's update": (
        "planner-stats",
        "trainer.py",
        "\tdef common_metrics(self):\n",
        "\tdef distil(self, zs, action, task):\n\t\treturn self.agent.update_pi(zs.detach(), action, task)\n\n"
        "\tdef common_metrics(self):\n",
        "calls update_pi with the parameters that it had",
    ),
    "another use of the plan": (
        "planner-stats",
        "tdmpc2.py",
        "\tdef update_pi(self",
        "\tdef again(self, obs, t0, task):\n\t\treturn self.plan(obs, t0, task=task)\n\n\tdef update_pi(self",
        "takes one value from plan, which returns 3",
    ),
    "a temperature that is learnt": (
        "actor-modes",
        "tdmpc2.py",
        "-self.cfg.entropy_coef * info",
        "-self.alpha * info",
        "'loss'",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_code_that_a_patch_would_break_is_refused(case):
    patch, file, old, new, said = case
    tree = texts("plain")
    assert tree[file].count(old) == 1
    testing.apply(tree, patch, patches=PATCHES)
    with pytest.raises(Refused, match=said):
        testing.apply({**tree, file: tree[file].replace(old, new)}, patch, patches=PATCHES)


@pytest.mark.parametrize(("old", "new", "patch"), RENAMED, ids=lambda value: value)
def test_an_attribute_by_another_name_is_refused(old, new, patch):
    """Whether the patch does not find its place or finds it and would write the name that it knows."""
    tree = {
        file: text.replace(old, new).replace(old.replace("self.", ""), new.replace("self.", ""))
        for file, text in sources().items()
    }
    field = old.partition(".")[2]
    tree = {file: text.replace(f"    {field}: ", f"    {new.partition('.')[2]}: ") for file, text in tree.items()}
    with pytest.raises(Refused, match=rf"'{patch}'"):
        testing.apply(tree, patch, patches=PATCHES)


def test_a_target_that_is_copied_compiled_is_not_taken_for_fixed():
    tree = texts("plain")
    layers = tree["common/layers.py"]
    start, end = layers.index("\t\t# compile where asked to\n"), layers.index("\n\tdef _forward_impl")
    own = "\t\tself._forward = self._forward_impl\n\n"
    own += "\tdef compile_forward(self):\n\t\tself._forward = torch.compile(self._forward_impl)\n"
    layers = layers[:start] + own + layers[end:]
    assert layers.count(COPY) == 1
    late = "\t\tif cfg.compile:\n\t\t\tself.online.compile_forward()\n"
    patched = testing.apply(
        {**tree, "common/layers.py": layers.replace(COPY, late + COPY)}, "target-q", patches=PATCHES
    )
    assert "self.target._forward = torch.compile(self.target._forward_impl)" in patched["common/layers.py"]


def test_the_planner_s_mean_is_not_the_tensor_that_noise_is_added_to():
    after = testing.apply(texts("plain"), "planner-stats", patches=PATCHES)["tdmpc2.py"]
    assert "\t\tmu = action.clone()\n" in after


def test_a_metric_that_would_be_gone_where_it_is_read_is_refused():
    agent = texts("plain")["tdmpc2.py"]
    agent = agent.replace("{'pi_loss': loss}", "{'pi_loss': loss, 'pi_clone': clone.mean()}")
    reads = agent.replace(UPDATED, "\t\tself.clones = info['pi_clone'] + 1\n" + UPDATED)
    testing.apply({**texts("plain"), "tdmpc2.py": agent}, "actor-modes", patches=PATCHES)
    with pytest.raises(Refused, match="reads the entry 'pi_clone', which nothing sets any more"):
        testing.apply({**texts("plain"), "tdmpc2.py": reads}, "actor-modes", patches=PATCHES)


def test_a_script_that_relies_on_what_was_is_named():
    script = "def probe(agent, zs, action, task):\n    return agent.update_pi(zs, action, task)\n"
    with pytest.raises(Refused, match="calls update_pi with the parameters that it had") as refused:
        plan({**texts("plain"), "probe.py": script}, ["planner-stats"], PATCHES)
    assert "probe.py:2" in refused.value.where
