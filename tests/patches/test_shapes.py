"""Shapes of code that people's trees have, which patches know, each with what becomes of it."""

from __future__ import annotations

import pytest
from specimens import texts
from trees import PATCHES, sources

from newtfix.errors import Refused
from newtfix.model import State
from newtfix.plan.engine import inspect, plan
from newtfix.testing import variant

COMPILED = (
    "        if cfg.compile:\n            self._forward = torch.compile(self._forward_impl)\n"
    "        else:\n            self._forward = self._forward_impl\n"
)


@pytest.mark.parametrize("value", ["0.3", "5.0"])
def test_a_prior_that_somebody_chose_stays(value: str) -> None:
    tree = variant(sources(), "config.py", ("prior_coef: Weight = 10.0", f"prior_coef: float = {value}"))
    assert inspect(tree, PATCHES, ["prior-coef"])["prior-coef"].state is State.ABSENT
    assert not plan(tree, ["prior-coef"], PATCHES).after


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


def test_a_method_compiled_over_itself_is_compiled_anew_for_the_copy() -> None:
    over = "        if cfg.compile:\n            self.forward = torch.compile(self.forward)\n"
    tree = variant(sources(), "common/layers.py", (COMPILED, over), everywhere=True)
    patched = plan(tree, ["target-q"], PATCHES).after["common/layers.py"]
    assert "self.target.forward = torch.compile(type(self.target).forward.__get__(self.target))\n" in patched


@pytest.mark.parametrize("common", ["ep_len.max()", "ep_len[0]"])
def test_one_row_for_all_becomes_each_its_own(common: str) -> None:
    tree = variant(sources(), "trainer.py", ("self._tds[ep_len] = td", f"self._tds[{common}] = td"))
    patched = plan(tree, ["episode-rows"], PATCHES).after["trainer.py"]
    assert "self._tds[ep_len.long(), torch.arange(ep_len.shape[0])] = td\n" in patched


def test_the_prior_s_weight_beside_another_loss_with_its_own() -> None:
    scaled = ("(self.cfg.prior_coef * self.cfg.action_dim / 61) * prior_loss", "self.cfg.prior_coef * prior_loss")
    patched = plan(variant(texts("planning"), "tdmpc2.py", scaled), ["prior-norm"], PATCHES).after["tdmpc2.py"]
    assert "prior_loss = -(log_prior * prior_norm * self.rho[:-1, None, None]).sum(dim=(0, 2))\n" in patched
    assert patched.count("prior_norm") == 2


def test_noise_that_is_added_in_place() -> None:
    noise = "out_std * torch.randn_like(action)"
    added = (f"action = (action + {noise}).clamp(-1, 1)", f"action.add_({noise}).clamp_(-1, 1)")
    tree = variant(texts("plain"), "tdmpc2.py", added)
    assert "mu = action.clone()\n" in plan(tree, ["planner-stats"], PATCHES).after["tdmpc2.py"]


FORWARD = "\tdef forward(self, x):\n\t\treturn self._forward(x)\n"


def test_networks_in_the_forward_method_itself() -> None:
    layers = texts("plain")["common/layers.py"]
    start, end = layers.index("\t\tif cfg.compile:\n"), layers.index("\tdef _forward_impl(self, x):\n")
    layers = layers.replace(layers[start:end], "\n").replace(FORWARD, "").replace("_forward_impl", "forward")
    patched = plan({**texts("plain"), "common/layers.py": layers}, ["q-ensemble"], PATCHES).after["common/layers.py"]
    assert "\tdef forward(self, x):\n\t\treturn self._Qs(x)\n" in patched


def test_an_ensemble_whose_base_class_is_batched() -> None:
    layers = texts("plain")["common/layers.py"]
    start, end = layers.index("class QEnsemble(nn.Module):\n"), layers.index("class QOnlineTargetEnsemble")
    batched = """class Ensemble(nn.Module):
\tdef __init__(self, modules):
\t\tsuper().__init__()
\t\tself.params = from_modules(*modules, as_module=True)
\t\tself.module = deepcopy(modules[0])

\tdef _call(self, params, x):
\t\twith params.to_module(self.module):
\t\t\treturn self.module(x)

\tdef forward(self, x):
\t\treturn torch.vmap(self._call, (0, None), randomness="different")(self.params, x)


class QEnsemble(Ensemble):
\tdef __init__(self, cfg):
\t\tsuper().__init__([mlp(cfg.latent_dim + cfg.action_dim, 2 * [cfg.mlp_dim], cfg.num_bins) for _ in range(cfg.num_q)])


"""
    tree = {**texts("plain"), "common/layers.py": layers.replace(layers[start:end], batched)}
    assert inspect(tree, PATCHES, ["q-ensemble"])["q-ensemble"].state is State.APPLIED


def test_another_loss_is_averaged_as_the_three_are_and_one_without_weights_is_not() -> None:
    tree = variant(
        texts("plain"),
        "tdmpc2.py",
        ("\t\treward_loss, value_loss = 0, 0\n", "\t\treward_loss, value_loss = 0, 0\n\t\tending = 0\n"),
        ("\t\t\tfor q in qs:\n", "\t\t\tending = ending + zs[t].mean() * self.rho[t]\n\t\t\tfor q in qs:\n"),
        (
            "\t\t\tself.cfg.reward_coef * reward_loss +\n",
            "\t\t\t0.5 * zs[-1].square().mean() + self.cfg.end_coef * ending +\n"
            "\t\t\tself.cfg.reward_coef * reward_loss +\n",
        ),
    )
    divided = {
        line.split(" = ")[0].strip()
        for line in plan(tree, ["rho"], PATCHES).after["tdmpc2.py"].splitlines()
        if line.endswith("/ self.cfg.horizon") and " = " in line
    }
    assert {"consistency", "reward_loss", "value_loss", "ending"} <= divided
    assert "zs" not in divided


def test_noise_on_a_schedule() -> None:
    noise = ("(action + out_std *", "(action + self._noise_scale(step) * out_std *")
    tree = variant(texts("plain"), "tdmpc2.py", noise)
    assert "return action, mu, out_std\n" in plan(tree, ["planner-stats"], PATCHES).after["tdmpc2.py"]


def test_losses_that_are_called_by_keyword() -> None:
    called = ("self.pi_loss(zs, action, task)", "self.pi_loss(zs=zs, action=action, task=task)")
    patched = plan(variant(texts("plain"), "tdmpc2.py", called), ["planner-stats"], PATCHES).after["tdmpc2.py"]
    assert "self.pi_loss(zs=zs, action=action, mu=mu, std=std, task=task)" in patched


def test_dropout_that_is_there_and_off_is_switched_on() -> None:
    tree = dict(texts("plain"))
    on = plan(tree, ["q-dropout"], PATCHES).after
    off = variant({**tree, **on}, "config.py", ("dropout: float = 0.01", "dropout: float = 0.0"))
    assert plan(off, ["q-dropout"], PATCHES).after == {"config.py": on["config.py"]}


def test_settings_that_a_base_class_has() -> None:
    config = sources()["config.py"]
    start = config.index("    horizon: ")
    line = config[start : config.index("\n", start) + 1]
    base = f"@dataclass\nclass Planning:\n{line}    prior_coef: float = 10.0\n\n\n@dataclass\nclass Config(Planning):\n"
    text = config.replace(line, "").replace("@dataclass\nclass Config:\n", base)
    own = next(one for one in config.splitlines(keepends=True) if one.startswith("    prior_coef:"))
    tree = {**sources(), "config.py": text.replace(own, "")}
    after = plan(tree, ["prior-coef", "burst"], PATCHES).after["config.py"]
    assert "    prior_coef: float = 1.0\n" in after
    assert "burst_updates" in after[after.index("class Config(Planning)") :]


def test_a_threshold_that_is_named_before_what_it_is_made_of() -> None:
    early = "cfg.seeding_coef * cfg.num_envs * cfg.episode_length * cfg.world_size"
    tree = variant(
        sources(),
        "trainer.py",
        ("        self._start_time = time()\n", f"        self._until = {early}\n        self._start_time = time()\n"),
        ("if self._step >= self.cfg.seeding_coef * self._update_freq:", "if self._step >= self._until:"),
    )
    patched = plan(tree, ["seeding"], PATCHES).after["trainer.py"]
    assert "        self._until = max(1000, 5 * cfg.episode_length)\n" in patched


def test_a_fix_by_hand_in_code_that_is_replaced_is_pointed_out() -> None:
    alone, both = (
        plan(texts("planning"), wanted, PATCHES).notes for wanted in (["actor-modes"], ["actor-modes", "prior-norm"])
    )
    assert any("'prior-norm' by hand" in note for note in alone)
    assert not any("'prior-norm'" in note for note in both)


@pytest.mark.parametrize("given", [".detach().cpu()", ".cpu().float()", '.to("cpu")', ""])
def test_actions_that_are_given_away_otherwise(given: str) -> None:
    tree = variant(texts("plain"), "tdmpc2.py", ("return action.cpu()", f"return action{given}"))
    patched = plan(tree, ["planner-stats"], PATCHES).after["tdmpc2.py"]
    assert f"\t\t\treturn action{given}, mu{given}, std{given}\n" in patched


def test_a_prior_that_the_tree_scales_itself() -> None:
    text = sources()["tdmpc2.py"]
    line = next(one for one in text.splitlines(keepends=True) if "prior_loss = self._sum_over_time(-log_prior)" in one)
    indent = line[: len(line) - len(line.lstrip())]
    more = f"{line}{indent}prior_loss = prior_loss * self.cfg.action_dim / 21\n"
    with pytest.raises(Refused, match="does not fit"):
        plan({**sources(), "tdmpc2.py": text.replace(line, more)}, ["prior-norm"], PATCHES)


@pytest.mark.parametrize(
    ("default", "answer"),
    [("field(default=10.0)", "field(default=1.0)"), ("PRIOR", None)],
)
def test_a_prior_s_default_that_is_no_number(default: str, answer: str | None) -> None:
    tree = variant(sources(), "config.py", ("prior_coef: Weight = 10.0", f"prior_coef: float = {default}"))
    if answer is None:
        with pytest.raises(Refused):
            plan(tree, ["prior-coef"], PATCHES)
    else:
        assert f"prior_coef: float = {answer}  #" in plan(tree, ["prior-coef"], PATCHES).after["config.py"]


def test_critics_in_a_file_of_their_own_are_not_taken_for_repaired() -> None:
    tree = sources()
    layers = tree["common/layers.py"]
    start = layers.index("class QOnlineTargetEnsemble")
    moved = {"common/layers.py": layers[:start], "common/critic.py": f"from .layers import *\n\n\n{layers[start:]}"}
    with pytest.raises(Refused, match="does not fit"):
        plan({**tree, **moved}, ["target-q"], PATCHES)


def test_of_a_class_and_its_subclass_the_one_that_has_it_all_plays_the_role() -> None:
    config = sources()["config.py"]
    more = "\n\n@dataclass\nclass Debugging(Settings):\n    prior_coef: float = 10.0\n"
    tree = {**sources(), "config.py": config.replace("class Config:", "class Settings:") + more}
    after = plan(tree, ["prior-coef", "burst"], PATCHES).after["config.py"]
    assert after.count("prior_coef: Weight = 1.0") == after.count("prior_coef: float = 10.0") == 1
    assert after.index("burst_updates") < after.index("class Debugging")


def test_a_run_that_can_be_stopped_and_updates_that_are_timed_have_a_burst() -> None:
    tree = variant(
        sources(),
        "trainer.py",
        ("while self._step <= self.cfg.steps:", "while self._step <= self.cfg.steps and not self._stopped:"),
        (
            "                            update_metrics = self.agent.update(self.buffer)\n",
            '                            with record_function("update"):\n'
            "                                update_metrics = self.agent.update(self.buffer)\n",
        ),
    )
    patched = plan(tree, ["burst"], PATCHES).after["trainer.py"]
    assert patched.index("self._burst_due = self.cfg.burst_updates") < patched.index("and not self._stopped:")


@pytest.mark.parametrize(
    ("used", "extended"),
    [
        ("{**self.eval(), **self.common_metrics()}", "{**self.eval(), **self.eval_policy(), **self.common_metrics()}"),
        ("self.eval() | self.common_metrics()", "self.eval() | self.eval_policy() | self.common_metrics()"),
    ],
)
def test_metrics_of_an_evaluation_that_are_joined_at_once(used: str, extended: str) -> None:
    tree = variant(sources(), "trainer.py", ("eval_metrics = self.eval()\n", f"eval_metrics = {used}\n"))
    patched = plan(tree, ["eval-modes"], PATCHES)
    assert f"eval_metrics = {extended}\n" in patched.after["trainer.py"]
    again = inspect({**tree, **patched.after}, PATCHES, ["eval-modes"])
    assert again["eval-modes"].state is State.APPLIED


def test_actions_that_the_trainer_brings_to_the_cpu() -> None:
    tree = variant(sources(), "trainer.py", ("self.env.step(action)", "self.env.step(action.cpu())"), everywhere=True)
    assert (
        "self.env.step(action.cpu())" in plan(tree, ["eval-modes"], PATCHES).after["trainer.py"].split("eval_policy")[1]
    )


SPENT = "\t\t\t\tself._update_tokens += ", "self._update_tokens -= rounds\n"
TOKENS = texts("plain")["trainer.py"][slice(*(texts("plain")["trainer.py"].index(part) for part in SPENT))] + SPENT[1]
SPENDER = (
    "\tdef _spend(self) -> dict:\n\t\t_metrics = {}\n"
    + TOKENS.replace("\t\t\t\t\ttrain_metrics.update(_metrics)\n", "").replace("\t\t\t\t", "\t\t")
    + "\t\treturn _metrics\n\n"
)


def spent_by_a_method() -> dict[str, str]:
    changes = (
        (TOKENS, "\t\t\t\ttrain_metrics.update(self._spend())\n"),
        ("\tdef eval(self):\n", f"{SPENDER}\tdef eval(self):\n"),
    )
    return variant(texts("plain"), "trainer.py", *changes)


def test_tokens_that_a_method_of_its_own_spends() -> None:
    tree = spent_by_a_method()
    loop = (
        "\t\t\tif self._step >= self._seed_steps and self._hand_over_segments(ep_len):\n"
        "\t\t\t\tif self._burst_due:\n"
        "\t\t\t\t\ttrain_metrics.update(self._burst())\n"
        "\t\t\t\telse:\n"
        "\t\t\t\t\ttrain_metrics.update(self._spend())\n"
    )
    for first, second in ((["seeding", "burst"], []), (["seeding"], ["burst"]), (["burst"], ["seeding"])):
        then = {**tree, **plan(tree, first, PATCHES).after}
        patched = {**then, **plan(then, second, PATCHES).after}["trainer.py"]
        assert loop in patched
        assert SPENDER in patched


def test_a_method_that_spends_nothing_is_no_place_for_a_burst() -> None:
    tree = spent_by_a_method()
    tree["trainer.py"] = tree["trainer.py"].replace("\t\tself._update_tokens += self.cfg", "\t\ttokens = self.cfg")
    with pytest.raises(Refused, match="'burst' does not fit"):
        plan(tree, ["burst"], PATCHES)


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


@pytest.mark.parametrize("more", [".requires_grad_(False)", ".eval()"])
def test_copies_that_do_not_learn(more: str) -> None:
    tree = variant(sources(), "common/layers.py", ("deepcopy(self.online)", f"deepcopy(self.online){more}"))
    assert "self.target._forward = torch.compile(" in plan(tree, ["target-q"], PATCHES).after["common/layers.py"]


@pytest.mark.parametrize(
    ("default", "patched"),
    [
        ("prior_coef: float = Field(10.0, ge=0)", "prior_coef: float = Field(1.0, ge=0)"),
        (
            'prior_coef: float = field(default=10, metadata={"a": 1})',
            'prior_coef: float = field(default=1.0, metadata={"a": 1})',
        ),
        ("prior_coef = 10.0", "prior_coef = 1.0"),
    ],
)
def test_defaults_of_the_prior_s_weight_in_other_words(default: str, patched: str) -> None:
    tree = variant(sources(), "config.py", ("prior_coef: Weight = 10.0", default))
    assert patched in plan(tree, ["prior-coef"], PATCHES).after["config.py"]


def test_a_property_that_asks_another_whether_seeding_is_over() -> None:
    threshold = "self._step >= self.cfg.seeding_coef * self._update_freq"
    properties = (
        "\t@property\n\tdef seeding_steps(self) -> int:\n\t\t'''Steps at random.'''\n"
        "\t\treturn self.cfg.seeding_coef * self._update_freq\n\n"
        "\t@property\n\tdef is_seeding(self):\n\t\treturn self._step < self.seeding_steps\n\n"
    )
    trainer = texts("plain")["trainer.py"].replace(threshold, "not self.is_seeding")
    trainer = trainer.replace("\tdef eval(self):\n", f"{properties}\tdef eval(self):\n")
    tree = {**texts("plain"), "trainer.py": trainer}
    patched = plan(tree, ["seeding", "burst"], PATCHES).after["trainer.py"]
    assert "\t\treturn self._seed_steps\n" in patched
    assert "\t\treturn self._step < self.seeding_steps\n" in patched
    assert "\t\t\tuse_mpc = not self.is_seeding\n" in patched
    assert "\t\t\tif self._step >= self._seed_steps and self._hand_over_segments(ep_len):\n" in patched
