"""Trees that look like what a patch expects and are not: it refuses, and names what does not go with it."""

from __future__ import annotations

import pytest
from specimens import texts
from trees import PATCHES, sources

from newtfix.errors import Refused
from newtfix.plan.engine import plan
from newtfix.testing import variant

TOTAL = "            pi_loss = q_loss\n"
ADD = "                            self.buffer.add(_td, self.cfg.world_size, self.cfg.rank)\n"
RANDOM = "                    action = self.env.rand_act()\n"
NETWORKS = "        return torch.stack([q(x) for q in chosen])\n"
UPDATING = "                # Update agent\n"
STORE = (
    "                td = self.to_td(_obs, action, mu, std, reward, terminated)\n"
    "                self._tds[ep_len] = td\n"
)
HIDDEN = "    hidden = [NormedLinear(a, b) for a, b in pairwise(widths)]\n"
LINEAR = "    hidden = [nn.Sequential(nn.Linear(a, b), nn.LayerNorm(b), Mish()) for a, b in pairwise(widths)]\n"
COMPILED = (
    "        if cfg.compile:\n            self._forward = torch.compile(self._forward_impl)\n"
    "        else:\n            self._forward = self._forward_impl\n"
)
NORMALISED = "        self.rho = self.rho / self.rho.sum()\n"
SPENT = "                        self._update_tokens %= 1.0\n"
ACT = "self.agent(obs, t0=done, step=self._step"

# What is different, the patch, the file of newt_base, its code, what a tree has instead, words of the refusal.
CASES = {
    "a term of the policy's loss with a setting of its own": (
        "actor-modes",
        "tdmpc2.py",
        TOTAL,
        "            pi_loss = q_loss + self.cfg.smooth_coef * pi_action.diff(dim=0).square().mean()\n",
        "_pi_loss has something of its own",
    ),
    "episodes that are changed on their way": ("seeding", "trainer.py", "add(_td,", "add(self._relabel(_td),", "add"),
    "episodes that were changed before": (
        "seeding",
        "trainer.py",
        ADD,
        f"                            _td = self._relabel(_td)\n{ADD}",
        "episodes do not go to self.buffer.add alone",
    ),
    "actions that are locked": (
        "mu-std",
        "trainer.py",
        RANDOM,
        f"{RANDOM}                    action[:, self.cfg.locked] = 0.0\n",
        "random actions are not what they were when stored",
    ),
    "actions that are scaled in place": (
        "mu-std",
        "trainer.py",
        RANDOM,
        f"{RANDOM}                    action.mul_(0.5)\n",
        "random actions are not what they were when stored",
    ),
    "hidden layers of another kind": ("q-dropout", "common/layers.py", HIDDEN, LINEAR, "NormedLinear($_, $_) in mlp"),
    "a model that never trains": ("q-dropout", "tdmpc2.py", "        self.model.train()\n", "", "self.model.train()"),
    "networks with normalised weights": (
        "q-ensemble",
        "common/layers.py",
        NETWORKS,
        f"        [nn.utils.parametrizations.spectral_norm(q[0]) for q in chosen]\n{NETWORKS}",
        "spectral_norm($*_)",
    ),
    "results of one environment after the other": (
        "eval-modes",
        "trainer.py",
        "            episode_len += 1\n",
        "            episode_len += 1\n            self._note(info['final_info'][first])\n",
        "$variable]",
    ),
    "observations that are normalised where they are used": (
        "eval-modes",
        "trainer.py",
        ACT,
        ACT.replace("(obs,", "(self._norm(obs),"),
        "self.agent(self.$_($*_), $*_)",
    ),
    "environments that are reset by hand": (
        "first-obs",
        "trainer.py",
        UPDATING,
        f"                if done.any():\n                    obs = self.env.reset_done(done)\n{UPDATING}",
        "$obs = $_",
    ),
    "a duration in place of a step": (
        "plan-anneal",
        "tdmpc2.py",
        "self.cfg.constraint_final_step",
        "self.cfg.constraint_anneal_steps",
        "$duration",
    ),
    "a forward pass that is compiled by another name": (
        "target-q",
        "common/layers.py",
        COMPILED,
        "        compiled = partial(torch.compile) if cfg.compile else (lambda f: f)\n"
        "        self._forward = compiled(self._forward_impl)\n",
        "does not fit",
    ),
    "values that are asked for by another name": (
        "actor-modes",
        "tdmpc2.py",
        'return_type="avg"',
        'return_type="mean"',
        'self.model.Q($*_, return_type="avg")',
    ),
    "a policy that gives no scaled entropy": (
        "actor-modes",
        "common/world_model.py",
        '"scaled_entropy"',
        '"entropy_times_dims"',
        '"scaled_entropy"',
    ),
    "a loss that keeps something": (
        "actor-modes",
        "tdmpc2.py",
        TOTAL,
        f"{TOTAL}            self._average.lerp_(pi_loss.detach(), 0.01)\n",
        "self.$_.lerp_($*_)",
    ),
    "weights that have the shape of losses": (
        "actor-modes",
        "tdmpc2.py",
        NORMALISED,
        f"{NORMALISED}        self.rho = self.rho.view(-1, 1, 1)\n",
        "self.rho = $_.view($*_)",
    ),
    "a burst of somebody's own": (
        "burst",
        "trainer.py",
        UPDATING,
        "                if self._step >= self.cfg.pretrain_at and not self._pretrained:\n"
        "                    for _ in range(self.cfg.pretrain_updates):\n"
        "                        self.agent.update(self.buffer)\n"
        f"                    self._pretrained = True\n{UPDATING}",
        "self.agent.update is called not only where update tokens are spent",
    ),
    "resets that count updates": (
        "burst",
        "trainer.py",
        SPENT,
        f"{SPENT}                        if self._updates >= self.cfg.reset_every:\n"
        "                            self.agent.reset_heads()\n",
        "if self.$_ >= $_",
    ),
    "rewards that are scaled": (
        "eval-modes",
        "trainer.py",
        "mu, std, reward, terminated)",
        "mu, std, reward * self.cfg.reward_scale, terminated)",
        "$_ * $_",
    ),
    "a discount over several steps": (
        "eval-modes",
        "tdmpc2.py",
        "dtype=torch.float32)\n",
        "dtype=torch.float32)\n        self.discount = self.discount**self.cfg.n_step\n",
        "self.discount = $_ ** $_",
    ),
    "rows of observations that were scaled": (
        "first-obs",
        "trainer.py",
        "                td = self.to_td(_obs",
        "                _obs = _obs / 255.0\n                td = self.to_td(_obs",
        "$made = $_ / $_",
    ),
    "a duration by a name of its own": (
        "plan-anneal",
        "tdmpc2.py",
        NORMALISED,
        f"{NORMALISED}        self._steps = cfg.constraint_final_step - cfg.constraint_start_step\n",
        "$_.constraint_final_step - $_",
    ),
    "a model that plans in training mode": (
        "q-dropout",
        "tdmpc2.py",
        "        self._step_schedules()\n        self.model.eval()\n",
        "        self._step_schedules()\n",
        "self.model.eval()",
    ),
    "networks that are listened to": (
        "q-ensemble",
        "tdmpc2.py",
        NORMALISED,
        f"{NORMALISED}        for q in self.model._Qs.online._Qs:\n            q[0].register_forward_hook(print)\n",
        "register_forward_hook",
    ),
    "networks of several widths": (
        "q-ensemble",
        "common/layers.py",
        "2 * [cfg.mlp_dim], max(cfg.num_bins, 1)) for _ in",
        "2 * [cfg.mlp_dim // (1 + i % 2)], max(cfg.num_bins, 1)) for i in",
        "$_ % $_",
    ),
    "a loss that is also computed to validate": (
        "scale-order",
        "tdmpc2.py",
        "    def update(self, buffer):",
        "    def validate(self, zs, action, mu, std, task):\n"
        "        return self._pi_loss(zs, action, mu, std, task)[0]\n\n"
        "    def update(self, buffer):",
        "self._pi_loss($*_)",
    ),
    "values of all ranks": (
        "scale-order",
        "tdmpc2.py",
        "            self.scale.update(qs)\n",
        "            if self.cfg.world_size > 1:\n                qs = self._gathered(qs)\n"
        "            self.scale.update(qs)\n",
        "does not fit",
    ),
    "weights of a loss apart from the method for all": (
        "rho",
        "tdmpc2.py",
        "        info = dict(consistency_loss",
        "        total_loss = total_loss + (self.rho[:-1] * zs.diff(dim=0).square().mean((1, 2))).sum()\n"
        "        info = dict(consistency_loss",
        "self.rho in TDMPC2._loss_fn",
    ),
    "a burst at the very step": (
        "burst",
        "trainer.py",
        UPDATING,
        "                if self._step == self.cfg.seed_steps:\n"
        "                    updates = self.cfg.seed_steps\n"
        "                    for _ in range(updates):\n"
        f"                        self.agent.update(self.buffer)\n{UPDATING}",
        "self.agent.update is called not only where update tokens are spent",
    ),
    "rewards that are clipped behind the step": (
        "eval-modes",
        "trainer.py",
        "                self._step += self.cfg.num_envs",
        "                reward = reward.clamp(-1, 1)\n                self._step += self.cfg.num_envs",
        "$paid = $_",
    ),
    "observations that the agent prepares": (
        "eval-modes",
        "tdmpc2.py",
        "        obs = obs.to(self.device, non_blocking=True)\n",
        "        obs = self.stats.normalize(obs.to(self.device))\n",
        "obs = $_ in TDMPC2.forward",
    ),
    "environments for evaluation alone": (
        "eval-modes",
        "trainer.py",
        "        obs, _ = self.env.reset()\n        episode_reward",
        "        obs, _ = self._others.reset()\n        episode_reward",
        "self.env.reset() in Trainer.eval",
    ),
    "actions that are cut for the environments": (
        "eval-modes",
        "trainer.py",
        "            obs, reward, terminated, truncated, info = self.env.step(action)\n            episode_len",
        "            obs, reward, terminated, truncated, info = self.env.step(action[:, :2])\n            episode_len",
        "self.env.step($_) in Trainer.eval",
    ),
    "an encoder of more than observations": (
        "eval-modes",
        "common/world_model.py",
        "def encode(self, obs, task):",
        "def encode(self, obs, context, task):",
        "def encode(self, $_, $_)",
    ),
    "a buffer for whole episodes": (
        "seeding",
        "common/buffer.py",
        "        length = td.shape[1]\n",
        "        length = td.shape[1]\n        if length != self._episode_length + 1:\n            return 0\n",
        "add asks for a length",
    ),
    "returns that are computed where episodes are stored": (
        "seeding",
        "common/buffer.py",
        "        length = td.shape[1]\n",
        '        length = td.shape[1]\n        td["returns"] = td["reward"].flip(1).cumsum(1).flip(1)\n',
        "add marks rows",
    ),
    "episodes that go elsewhere as well": (
        "seeding",
        "trainer.py",
        ADD,
        f"{ADD}                            self.logger.save_episode(_td[0])\n",
        "episodes do not go to self.buffer.add alone",
    ),
    "a term of the policy's loss with a number for its weight": (
        "actor-modes",
        "tdmpc2.py",
        TOTAL,
        "            pi_loss = q_loss + 0.05 * pi_action.diff(dim=0).square().mean()\n",
        "$_ + $number * $_",
    ),
    "a policy that needs to be told more": (
        "actor-modes",
        "common/world_model.py",
        "    def pi(self, z, task):",
        "    def pi(self, z, task, temperature):",
        "def pi(self, $z, $task)",
    ),
    "first rows with more than observations": (
        "first-obs",
        "trainer.py",
        "self._tds[ep_len] = self.to_td(obs)",
        "self._tds[ep_len] = self.to_td(obs, goal=self.env.goal)",
        "self.to_td($variable)",
    ),
    "a loss that is weighed and summed up otherwise": (
        "rho",
        "tdmpc2.py",
        "        info = dict(consistency_loss",
        "        total_loss = total_loss + torch.dot(self.rho[:-1], zs.diff(dim=0).square().mean((1, 2)))\n"
        "        info = dict(consistency_loss",
        "self.rho in TDMPC2._loss_fn",
    ),
    "a burst in a method of its own": (
        "burst",
        "trainer.py",
        UPDATING,
        "                if self._step >= self.cfg.pretrain_at and not self._seeded:\n"
        f"                    self._seeded = True\n                    self._learn_from_seeds()\n{UPDATING}",
        "this trains, or decides on it, at one step alone",
    ),
    "tokens that are given at one step": (
        "burst",
        "trainer.py",
        UPDATING,
        f"                if self._step == 9_000:\n                    self._update_tokens += 500\n{UPDATING}",
        "this trains, or decides on it, at one step alone",
    ),
    "as many updates as seed steps at one step": (
        "burst",
        "trainer.py",
        "for _ in range(int(self._update_tokens)):",
        "for _ in range(1_000 if self._step == 20_000 else int(self._update_tokens)):",
        "this may decide how often the agent is trained",
    ),
    "updates that wait from the start": (
        "burst",
        "trainer.py",
        "        self._update_tokens = 0.0\n",
        "        self._update_tokens = 5 * cfg.episode_length\n",
        "self._update_tokens = $_",
    ),
    "episodes that are marked where they are stored": (
        "seeding",
        "common/buffer.py",
        "        length = td.shape[1]\n",
        '        length = td.shape[1]\n        td["done"][:, -1] = True\n',
        "add marks rows",
    ),
    "observations that are normalised where they are encoded": (
        "eval-modes",
        "tdmpc2.py",
        "self.model.encode(obs, task)",
        "self.model.encode(self.normalize(obs), task)",
        "self.model.encode($_, $*_)",
    ),
    "environments that are stepped by a method": (
        "eval-modes",
        "trainer.py",
        "            obs, reward, terminated, truncated, info = self.env.step(action)\n            episode_len",
        "            obs, reward, terminated, truncated, info = self._act(action)\n            episode_len",
        "in Trainer.eval",
    ),
    "targets of another reward": (
        "eval-modes",
        "tdmpc2.py",
        "        return reward + self.discount[task]",
        "        return self.cfg.reward_scale * reward + self.discount[task]",
        "in TDMPC2._td_target",
    ),
    "goals that are added to observations": (
        "eval-modes",
        "trainer.py",
        "            torch.compiler.cudagraph_mark_step_begin()\n            action, _, _ = self.agent(\n",
        "            obs = torch.cat([obs, self.env.goal()], -1)\n"
        "            torch.compiler.cudagraph_mark_step_begin()\n            action, _, _ = self.agent(\n",
        "$obs = $_($*_)",
    ),
    "layers that remember what went through": (
        "q-ensemble",
        "common/layers.py",
        "        return self.activated(super().forward(x))\n",
        "        self.dormant = x.abs()\n        return self.activated(super().forward(x))\n",
        "self.$_ = $_ in NormedLinear.forward",
    ),
    "a rate of dropout that other networks have, too": (
        "q-dropout",
        "common/world_model.py",
        "        self.cfg = cfg\n",
        "        self.cfg = cfg\n        self._noise = nn.Dropout(cfg.dropout)\n",
        "$_.dropout",
    ),
    "environments that begin an episode a step later": (
        "first-obs",
        "trainer.py",
        "final_observation",
        "last_seen",
        "final_observation",
    ),
    "weights of another horizon": (
        "rho",
        "tdmpc2.py",
        "torch.arange(self.cfg.horizon + 1",
        "torch.arange(self.cfg.train_horizon + 1",
        "$other_horizon",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(case: str) -> None:
    patch, file, old, new, words = CASES[case]
    tree = variant(sources(), file, (old, new), everywhere=True)
    with pytest.raises(Refused) as refused:
        plan(tree, [patch], PATCHES)
    assert words in f"{refused.value}\n{refused.value.where}"


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ("\t\t\taction, self._queued = self._queued, action\n", "actions are not what they were when stored"),
        (
            "\t\t\tmixed = torch.rand(4) < 0.05\n\t\t\taction[mixed] = self.env.rand_act()[mixed]\n",
            "actions are not what they were when stored",
        ),
    ],
)
def test_actions_that_are_not_the_planner_s_for_this_step(new: str, words: str) -> None:
    """What is stored was acted on later, or in part at random."""
    stepped = "\t\t\tobs, reward, terminated, truncated, info = self.env.step(action)\n\t\t\tep_len += 1\n"
    tree = variant(texts("plain"), "trainer.py", (stepped, new + stepped))
    with pytest.raises(Refused) as refused:
        plan(tree, ["planner-stats"], PATCHES)
    assert words in f"{refused.value}\n{refused.value.where}"


def test_updates_before_the_step_is_stored() -> None:
    text = sources()["trainer.py"]
    start, end = text.index(UPDATING), text.index("                self._check_finite(train_metrics)\n")
    updating = text[start:end]
    moved = text.replace(updating, "").replace(STORE, updating + STORE)
    with pytest.raises(Refused, match="does not fit"):
        plan({**sources(), "trainer.py": moved}, ["seeding"], PATCHES)


def test_rewards_that_are_scaled_where_they_are_drawn() -> None:
    tree = texts("plain")
    scaled = "\n\ndef scaled(td):\n\treward = 0.1 * td.get('reward')[1:].unsqueeze(-1)\n\treturn reward\n"
    with pytest.raises(Refused) as refused:
        plan({**tree, "common/buffer.py": tree["common/buffer.py"] + scaled}, ["eval-modes"], PATCHES)
    assert "reward is changed" in refused.value.where


@pytest.mark.parametrize("cut", ["obs, action = obs[: h + 1], action[:h]", "reward = reward[: self._unrolled]"])
def test_losses_over_the_first_steps_of_the_horizon(cut: str) -> None:
    text = texts("plain")["tdmpc2.py"]
    start = text.index("\tdef _loss_fn(")
    end = text.index("\n", start) + 1
    tree = {**texts("plain"), "tdmpc2.py": f"{text[:end]}\t\t{cut}\n{text[end:]}"}
    with pytest.raises(Refused, match="'rho' does not fit"):
        plan(tree, ["rho"], PATCHES)


def test_plans_that_are_kept_for_some_steps() -> None:
    """The early return would stay an action alone, where the caller asks for statistics as well."""
    kept = "\t\tif self._held is not None:\n\t\t\treturn self._held\n"
    text = texts("plain")["tdmpc2.py"]
    start = text.index("\tdef plan(")
    place = text.index("\t\t", start)
    with pytest.raises(Refused) as refused:
        plan({**texts("plain"), "tdmpc2.py": text[:place] + kept + text[place:]}, ["planner-stats"], PATCHES)
    assert "return $_ in TDMPC2.plan, which does not go with it" in refused.value.where


STEPPED = "\t\t\tobs, reward, terminated, truncated, info = self.env.step(action)\n"
HALVES = "\t\tself._out_obs = torch.cat([obs0, obs1], dim=1)\n"
BATCH = "\t\tobs, action, reward, task = self._buffer.sample()\n"
STORED = "\t\t\t\t_td = self._tds[:ep_len[i]+1, i].unsqueeze(0)\n"
AVERAGED = "\t\tvalue_loss = value_loss / self.cfg.num_q\n"
POLICY_LOSS = "\t\tloss = (clone + best).mean()\n"
ACTS = "\t\tmpc = mpc if mpc is not None else self.cfg.mpc\n"
PLANS = "action = self.plan(obs, "

# What is different, the patch, the file of the specimen, its code, what a tree has instead, words of the refusal.
FORKS = {
    "a mask of the tree's own": (
        "actor-modes",
        "common/world_model.py",
        "class WorldModel(nn.Module):\n",
        "class WorldModel(nn.Module):\n\tdef action_mask(self, task):\n\t\treturn self._action_masks[task]\n\n",
        "another action_mask, with other parameters",
    ),
    "a burst of the tree's own": (
        "burst",
        "trainer.py",
        "\tdef eval(self):\n",
        "\tdef _burst(self, n):\n\t\treturn n\n\n\tdef eval(self):\n",
        "another _burst, with other parameters",
    ),
    "halves that are shuffled": (
        "planner-stats",
        "common/buffer.py",
        HALVES,
        f"\t\torder = torch.randperm(4)\n\t\tobs1, action1 = obs1[:, order], action1[:, order]\n{HALVES}",
        "EnsembleBuffer.sample, which does not go with it",
    ),
    "batches with weights": (
        "planner-stats",
        "common/buffer.py",
        BATCH,
        "\t\t(obs, action, reward, task), info = self._buffer.sample(return_info=True)\n",
        "edit 'sample-device'",
    ),
    "batches that are fetched ahead": (
        "planner-stats",
        "common/buffer.py",
        BATCH,
        "\t\tobs, action, reward, task = self._ahead()\n",
        "edit 'sample-device'",
    ),
    "actions that are mirrored": (
        "planner-stats",
        "trainer.py",
        STORED,
        f'{STORED}\t\t\t\tself.buffer.add(self._mirrored(_td))\n\t\t\t\t_td["action"] = -_td["action"]\n',
        "episodes are not what they were when added to the buffer",
    ),
    "losses that are averages": (
        "rho",
        "tdmpc2.py",
        AVERAGED,
        f"{AVERAGED}\t\treward_loss = reward_loss / action.shape[0]\n",
        "which does not go with it",
    ),
    "values that are averages": (
        "rho",
        "tdmpc2.py",
        AVERAGED,
        f"{AVERAGED}\t\tvalue_loss = value_loss / len(action)\n",
        "which does not go with it",
    ),
    "losses that are averaged by a factor": (
        "rho",
        "tdmpc2.py",
        AVERAGED,
        f"{AVERAGED}\t\treward_loss = reward_loss * self._share\n",
        "which does not go with it",
    ),
    "episodes that are also written down": (
        "seeding",
        "trainer.py",
        STORED,
        f"{STORED}\t\t\t\ttorch.save(_td.clone(), 'episode.pt')\n",
        "episodes do not go to self.buffer.add alone",
    ),
    "an agent that waits for the end of seeding itself": (
        "seeding",
        "tdmpc2.py",
        ACTS,
        f"{ACTS}\t\tmpc = mpc and step >= self.cfg.seeding_coef * self.cfg.num_envs * self.cfg.episode_length\n",
        "self.cfg.seeding_coef in TDMPC2, which does not go with it",
    ),
    "observations that are normalised on the way": (
        "eval-modes",
        "tdmpc2.py",
        PLANS,
        "action = self.plan(self.normalised(obs), ",
        "self.plan($_, $*_) in TDMPC2.forward, which does not go with it",
    ),
    "rewards under another name": (
        "eval-modes",
        "trainer.py",
        STEPPED,
        f"{STEPPED}\t\t\tpaid = symlog(reward)\n",
        "which does not go with it",
    ),
    "a policy loss with a term more": (
        "actor-modes",
        "tdmpc2.py",
        POLICY_LOSS,
        f"{POLICY_LOSS}\t\tloss = loss + SMOOTH * pi_action.diff(dim=0).square().mean()\n",
        "which does not go with it",
    ),
    "a policy loss in low precision": (
        "actor-modes",
        "tdmpc2.py",
        POLICY_LOSS,
        f"\t\twith torch.autocast('cuda'):\n\t{POLICY_LOSS}",
        "which does not go with it",
    ),
}


@pytest.mark.parametrize("case", FORKS)
def test_what_forks_do_is_not_overwritten(case: str) -> None:
    patch, file, code, instead, words = FORKS[case]
    tree = variant(texts("plain"), file, (code, instead))
    assert plan(texts("plain"), [patch], PATCHES).after
    with pytest.raises(Refused) as refused:
        plan(tree, [patch], PATCHES)
    assert words in f"{refused.value}\n{refused.value.where}"


def test_settings_in_a_part_of_the_settings_are_no_settings() -> None:
    config = sources()["config.py"]
    line = next(line for line in config.splitlines(keepends=True) if line.startswith("    eval_episodes: "))
    nested = "@dataclass\nclass Evaluation:\n" + line + "\n\n@dataclass\nclass Config:\n"
    config = config.replace(line, "    evaluation: Evaluation = dataclasses.field(default_factory=Evaluation)\n")
    config = config.replace("@dataclass\nclass Config:\n", nested, 1).replace('after="eval_episodes"', "")
    trainer = sources()["trainer.py"].replace("cfg.eval_episodes", "cfg.evaluation.eval_episodes")
    with pytest.raises(Refused, match="eval_episodes, which this tree does not have"):
        plan({**sources(), "config.py": config, "trainer.py": trainer}, ["eval-modes"], PATCHES)


def test_the_trainer_that_is_imported_is_the_one() -> None:
    tree = sources()
    kept = {**tree, "own_trainer.py": tree["trainer.py"].replace("class Trainer", "class OwnTrainer")}
    kept["archive/trainer.py"] = kept.pop("trainer.py")
    kept["train.py"] = "from .own_trainer import OwnTrainer\n"
    assert "own_trainer.py" in plan(kept, ["seeding"], PATCHES).after
    kept["train.py"] = "from .archive.trainer import Trainer\n"
    assert "archive/trainer.py" in plan(kept, ["seeding"], PATCHES).after


def test_a_subclass_with_a_patched_method_of_its_own_is_pointed_out() -> None:
    tree = {
        **texts("plain"),
        "agents.py": "from tdmpc2 import TDMPC2\n\n\nclass Soft(TDMPC2):\n\tdef plan(self, obs):\n\t\tpass\n",
    }
    with pytest.raises(Refused) as refused:
        plan(tree, ["planner-stats"], PATCHES)
    assert "agents.py: Soft has its own plan" in refused.value.where
