"""Fitting checkpoints: prefixes, padding on either side, rows of several tasks, and what is refused."""

import pytest
import torch
from trees import make_cfg, tree

BASE = tree()
OBS, A = 3, 2
NARROW = {"obs_shape": {"state": (OBS,)}, "action_dim": A}
PADDED = {"obs_shape": {"state": (128,)}, "action_dim": 16}


def build(seed=0, names=("fake-task",), **settings):
    torch.manual_seed(seed)
    dims = settings.pop("action_dims", [A] * len(names))
    settings = {"obs_shapes": [(OBS,)] * len(dims), "global_tasks": list(names), **NARROW, **settings}
    cfg = make_cfg(BASE, 3, [50], action_dims=dims, num_global_tasks=len(set(names)), **settings)
    cfg.discounts = [0.98] * len(dims)
    return BASE.tdmpc2.TDMPC2(BASE.world_model.WorldModel(cfg), cfg)


def randomise(agent):
    """Weights that matter everywhere: fresh last layers are zero."""
    for p in agent.model.parameters():
        if p.requires_grad or p.ndim == 2:
            torch.nn.init.normal_(p, std=0.2)
    return agent


def answers(agent, obs, action, monkeypatch):
    """Policy mean, Q and next latent at OBS observations and A actions, padded as this agent wants them."""
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    task = torch.zeros(len(obs), dtype=torch.int32)
    obs = torch.nn.functional.pad(obs, (0, agent.cfg.obs_shape["state"][0] - OBS))
    action = torch.nn.functional.pad(action, (0, agent.cfg.action_dim - A))
    with torch.no_grad():
        z = agent.model.encode(obs, task)
        mean, info = agent.model.pi(z, task)
        assert not mean[:, A:].any()
        return (
            mean[:, :A], info["log_std"][:, :A], agent.model.next(z, action, task),
            *(agent.model.Q(z, action, task, return_type="all", target=t) for t in (False, True)),
        )  # fmt: skip


@pytest.mark.parametrize("here, there", [(NARROW, PADDED), (PADDED, NARROW), (NARROW, NARROW), (PADDED, PADDED)])
def test_padding_on_one_side_changes_no_answer(here, there, tmp_path, monkeypatch):
    source, agent = randomise(build(**there)), build(1, **here)
    source.save(tmp_path / "a.pt", step=3)
    assert agent.load(tmp_path / "a.pt", resume=True) == {"step": 3}
    inputs = torch.randn(5, OBS), torch.rand(5, A)
    for mine, theirs in zip(*(answers(x, *inputs, monkeypatch) for x in (agent, source)), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("key", ["model", None])
def test_forms_of_a_checkpoint(prefix, key, tmp_path):
    source = randomise(build())
    state = {prefix + name: value for name, value in source.model.state_dict().items()}
    torch.save({key: state} if key else state, tmp_path / "a.pt")
    agent = build(1)
    assert agent.load(tmp_path / "a.pt") == {}
    assert all(torch.equal(v, source.model.state_dict()[k]) for k, v in agent.model.state_dict().items())


def test_rows_of_one_task_are_reduced_and_repeated(tmp_path):
    build(names=["fake-task"] * 7).save(tmp_path / "seven.pt")
    agent = build(1, names=["fake-task"] * 3)
    agent.load(tmp_path / "seven.pt")
    assert agent.model._action_masks.tolist() == [[1.0, 1.0]] * 3


@pytest.mark.parametrize(
    "there, here, message",
    [
        ({"num_q": 2}, {"num_q": 3}, "_Qs.online._Qs.2.0.weight is missing there and (16, 18) here"),
        ({"num_q": 3}, {"num_q": 2}, "_Qs.online._Qs.2.0.weight is (16, 18) there and missing here"),
        ({"latent_dim": 24}, {}, "_encoder.state.1.weight is (24, 16) there and (16, 16) here"),
        ({"action_dims": [1]}, {}, "by _action_masks, its tasks have [1] actions and these have [2]"),
        (PADDED | {"action_dims": [3]}, {}, "_action_masks is (1, 16) there and (1, 2) here"),
        (PADDED | {"obs_shape": {"state": (127,)}}, {}, "_action_masks is (1, 16) there and (1, 2) here"),
        ({"obs_shape": {"state": (4,)}}, {}, "_encoder.state.0.weight is (16, 4) there and (16, 3) here"),
        ({"task_dim": 5}, {}, "_encoder.state.0.weight is (16, 8) there and (16, 3) here"),
    ],
    ids=["fewer Q", "more Q", "latent", "actions", "padded actions", "not newt's padding", "obs", "embedding"],
)
def test_misfits_are_named_and_change_nothing(there, here, message, tmp_path):
    build(**there).save(tmp_path / "a.pt")
    agent = build(1, **here)
    before = {name: value.clone() for name, value in agent.model.state_dict().items()}
    with pytest.raises(ValueError) as caught:
        agent.load(tmp_path / "a.pt")
    assert message in str(caught.value)
    assert str(tmp_path / "a.pt") in str(caught.value)
    assert all(torch.equal(before[name], value) for name, value in agent.model.state_dict().items())


@pytest.mark.parametrize(
    "content", [b"hello", b"", [1, 2], {"model": {"a": 3}}, {"step": 3}, torch.nn.Linear(2, 2)],
    ids=["text", "empty", "list", "numbers", "no weights", "module"],
)  # fmt: skip
def test_what_is_no_checkpoint(content, tmp_path):
    path = tmp_path / "a.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match=r"a\.pt (cannot be read safely|is no checkpoint)"):
        build().load(path)


def test_weights_alone_cannot_be_resumed(tmp_path):
    torch.save(build().model.state_dict(), tmp_path / "a.pt")
    with pytest.raises(ValueError, match="cannot be resumed: it has no optim"):
        build().load(tmp_path / "a.pt", resume=True)


SEVERAL = {"task_dim": 6, "action_dims": [2, 1, 2], **PADDED}


def test_tasks_are_found_by_their_embeddings(tmp_path):
    """Other orders and parts of the tasks an agent was trained on are no obstacle; other tasks are."""
    source = randomise_but_embeddings(build(names=["a", "b", "c"], **SEVERAL))
    source.save(tmp_path / "abc.pt")
    part = build(1, names=["c", "b"], **SEVERAL | {"action_dims": [2, 1]})
    part.load(tmp_path / "abc.pt")
    assert torch.equal(part.model._task_emb.weight, source.model._task_emb.weight[[2, 1]])
    assert part.model._action_masks.sum(1).tolist() == [2, 1]
    other = build(1, names=["d", "b"], **SEVERAL | {"action_dims": [2, 1]})
    with pytest.raises(ValueError, match=r"_action_masks is \(3, 16\) there and \(2, 16\) here"):
        other.load(tmp_path / "abc.pt")


def randomise_but_embeddings(agent):
    kept = agent.model._task_emb.weight.clone()
    randomise(agent)
    agent.model._task_emb.weight.data.copy_(kept)
    return agent


@pytest.mark.parametrize("names, dims", [(["d"] * 3, [5] * 3), (["d", "e"], [1, 7])], ids=["one task", "two"])
def test_finetuning_keeps_the_new_tasks_masks_and_embeddings(names, dims, tmp_path):
    build(names=["a", "b", "c"], **SEVERAL).save(tmp_path / "abc.pt")
    agent = build(1, names=names, **SEVERAL | {"action_dims": dims, "finetune": True})
    own = {name: agent.model.state_dict()[name].clone() for name in ("_task_emb.weight", "_action_masks")}
    agent.load(tmp_path / "abc.pt")
    assert all(torch.equal(agent.model.state_dict()[name], value) for name, value in own.items())


def test_a_newt_agent_of_several_tasks_keeps_its_own_embeddings(tmp_path):
    """Those of newt come from a text encoder."""
    source = randomise(build(names=["a", "b", "c"], **SEVERAL))
    source.save(tmp_path / "abc.pt")
    agent = build(1, names=["a", "b", "c"], **SEVERAL)
    agent.load(tmp_path / "abc.pt")
    assert torch.equal(agent.model._task_emb.weight, source.model._task_emb.weight)


def test_a_resumed_warm_up_goes_on(tmp_path):
    class Batch:
        def sample(self, device):
            task = torch.zeros(3, 8, dtype=torch.int32)
            parts = [torch.rand(3, 8, A) for _ in range(3)]
            return torch.randn(4, 8, OBS), *parts, torch.rand(3, 8, 1), task

    def rates(agent):
        return [group["lr"] for optim in (agent.optim, agent.pi_optim) for group in optim.param_groups]

    settings = {"lr_schedule": "warmup", "warmup_steps": 5}
    agent, again = build(**settings), build(**settings)
    for _ in range(3):
        agent.update(Batch())
    agent.save(tmp_path / "a.pt")
    again.load(tmp_path / "a.pt", resume=True)
    for _ in range(5):
        agent.update(Batch())
        again.update(Batch())
        assert rates(agent) == rates(again)
    assert rates(again)[1] == pytest.approx(agent.cfg.lr)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_file_that_was_cut_off_is_refused_by_its_name(share, tmp_path):
    path = tmp_path / "cut.pt"
    build().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=r"cut\.pt cannot be read safely .*it is damaged"):
        build().load(path)
