"""q-ensemble: the networks held stacked, and evaluated as one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from observed import Tree, ensemble_of
from specimens import texts
from tables import left_alone, name_of, refused, rewritten
from torch.overrides import TorchFunctionMode
from trees import PATCHES, make_cfg, sources, tree

from newtfix.model import State
from newtfix.plan.engine import inspect, plan

STACKED = ["q-ensemble"]


SETS = [["q-ensemble"], ["q-ensemble", "q-dropout", "target-q"]]


def ensemble(ids, **settings):
    """Online and target Q networks, with other random weights, and inputs [5, B, F]."""
    modules = tree(ids)
    torch.manual_seed(0)
    both = modules.layers.QOnlineTargetEnsemble(make_cfg(modules, 1, [250], num_q=4, mlp_dim=64, **settings))
    with torch.no_grad():
        for parameter in both.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return both.eval(), torch.randn(5, 32, 18)


def pair(ids=STACKED, **settings):
    """The same networks one by one and stacked, and inputs."""
    loop, x = ensemble([name for name in ids if name != "q-ensemble"], **settings)
    stacked, _ = ensemble(ids, **settings)
    stacked.load_state_dict(loop.state_dict())
    return loop, stacked, x


@pytest.mark.parametrize("ids", SETS, ids="+".join)
@pytest.mark.parametrize("target", [False, True], ids=["online", "target"])
def test_values_are_those_of_the_networks_one_by_one(ids, target):
    loop, stacked, x = pair(ids)
    torch.testing.assert_close(stacked(x, target), loop(x, target), rtol=1e-5, atol=1e-5)
    assert stacked(x[0, 0], target).shape == loop(x[0, 0], target).shape


class Products(TorchFunctionMode):
    """Notes the shapes of weights that are multiplied with."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.nn.functional.linear:
            self.shapes.append(tuple(args[1].shape))
        if func is torch.baddbmm:
            self.shapes.append(tuple(args[2].shape))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("drawn", [[1, 3], [0, 1], [3, 1], [2], torch.tensor([3, 1]), torch.tensor([0, 2])], ids=str)
def test_of_the_networks_only_those_drawn_are_computed(drawn):
    _, stacked, x = pair()
    with Products() as products:
        found = stacked(x, drawn=drawn)
    assert torch.equal(found, stacked(x)[drawn])
    assert products.shapes == [(len(drawn), *shape) for shape in ((18, 64), (64, 64), (64, 101))]


def test_each_layer_is_one_product():
    loop, stacked, x = pair()
    for both, products in ((loop, 12), (stacked, 3)):
        with Products() as seen:
            both(x)
        assert len(seen.shapes) == products
    assert len(list(loop.online.parameters())) == 4 * len(list(stacked.online.parameters()))


@pytest.mark.parametrize("drawn", [None, [1, 3], [3, 0]], ids=str)
def test_gradients_are_those_of_the_networks_one_by_one(drawn):
    loop, stacked, x = pair()
    weights = torch.randn_like(loop(x, drawn=drawn))
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    for both, own in zip((loop, stacked), inputs, strict=True):
        (both(own, drawn=drawn) * weights).sum().backward()
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-4, atol=1e-5)
    expected = [p.grad if p.grad is not None else torch.zeros_like(p) for p in loop.online.parameters()]
    for parameter in stacked.online.parameters():
        parameter.data = parameter.grad  # read as newt's networks
    found = [view for network in stacked.online._Qs for view in network.parameters()]
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other.detach(), one, rtol=1e-4, atol=1e-4)


def test_without_gradients_of_its_own_it_passes_them_on():
    _, stacked, x = pair()
    stacked.track_grad(False)
    x.requires_grad_()
    stacked(x).sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in stacked.parameters())


def test_as_a_list_it_gives_networks_that_share_its_parameters():
    loop, stacked, x = pair()
    networks = stacked.online._Qs
    assert len(networks) == 4
    assert type(networks[0]) is torch.nn.Sequential
    torch.testing.assert_close(networks[-1](x), loop.online._Qs[-1](x), rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        networks[2][-1].weight.zero_()
        networks[2][-1].bias.zero_()
    assert not stacked(x)[2].any()
    assert stacked(x)[1].any()
    assert stacked(x, target=True)[2].any()
    networks[1].load_state_dict(networks[3].state_dict())
    torch.testing.assert_close(stacked(x)[1], stacked(x)[3])


def test_what_is_registered_with_one_network_stays_with_it():
    _, stacked, x = pair()
    calls = []
    networks = list(stacked.online._Qs)
    for network in networks:
        network.register_forward_hook(lambda *_: calls.append(1))
    stacked(x)
    assert not calls
    networks[0](x)
    assert len(calls) == 1


def agent_of(ids, seed=0, **settings):
    modules = tree(ids)
    torch.manual_seed(seed)
    cfg = make_cfg(modules, 1, [250], num_q=3, **settings)
    return modules.tdmpc2.TDMPC2(modules.world_model.WorldModel(cfg), cfg)


def same_weights(one, other, **tolerance):
    a, b = one.state_dict(), other.state_dict()
    assert list(a) == list(b)
    for name, value in a.items():
        torch.testing.assert_close(b[name], value, **tolerance, msg=name)


def test_a_fresh_agent_has_the_weights_that_it_has_without_the_patch():
    base, patched = agent_of([]), agent_of(STACKED)
    same_weights(base.model, patched.model, rtol=0, atol=0)
    assert base.model.total_params == patched.model.total_params


def learn(agent, seed=1):
    """One update on a random batch. Returns the metrics."""
    generator = torch.Generator().manual_seed(seed)
    steps = (3, 8)
    obs = torch.randn(4, 8, 3, generator=generator)
    action, mu, std = (torch.rand(*steps, 2, generator=generator) for _ in range(3))
    batch = (
        obs,
        action,
        mu,
        std + 0.1,
        torch.rand(*steps, 1, generator=generator),
        torch.zeros(steps, dtype=torch.int64),
    )
    torch.manual_seed(seed)

    class Batch:
        def sample(self, device):
            return batch

    return agent.update(Batch())


@pytest.mark.parametrize(("old", "new"), [([], STACKED), (STACKED, []), (STACKED, STACKED)], ids=["in", "out", "same"])
def test_a_checkpoint_goes_on_with_and_without_the_patch(old, new, tmp_path):
    """Weights, target and optimisers: another update gives the same weights."""
    before, after = agent_of(old), agent_of(new, seed=7)
    for seed in range(3):
        learn(before, seed)
    before.save(tmp_path / "agent.pt")
    after.load(tmp_path / "agent.pt", resume=True)
    metrics = [learn(agent, seed=9) for agent in (before, after)]
    a, b = before.model.state_dict(), after.model.state_dict()
    assert list(a) == list(b)
    for name, value in a.items():  # Adam makes a step of up to 3e-4 of what a gradient near 0 is rounded to
        assert (b[name] - value).abs().mean() < 2e-5, name
    for name, value in metrics[0].items():
        torch.testing.assert_close(metrics[1][name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_optimisers_are_stored_with_newts_entries():
    agents = agent_of([]), agent_of(STACKED)
    for agent in agents:
        learn(agent)
    base, patched = (agent.optim.state_dict() for agent in agents)
    assert [group["params"] for group in base["param_groups"]] == [group["params"] for group in patched["param_groups"]]
    assert base["state"].keys() == patched["state"].keys()
    for number, entry in base["state"].items():
        for name, value in entry.items():
            torch.testing.assert_close(patched["state"][number][name], value, rtol=1e-3, atol=1e-5)


def test_a_state_dict_of_other_networks_is_refused():
    _, stacked, _ = pair()
    entries = stacked.state_dict()
    del entries["online._Qs.2.1.bias"]
    with pytest.raises(RuntimeError, match=r"Missing key\(s\).*online\._Qs"):
        stacked.load_state_dict(entries)


def test_the_target_follows_and_no_more():
    loop, stacked, x = pair()
    for both in (loop, stacked):
        both.soft_update_target()
    same_weights(loop, stacked)
    assert not torch.equal(stacked(x), stacked(x, target=True))
    stacked.hard_update_target()
    assert torch.equal(stacked(x), stacked(x, target=True))


def test_it_moves_to_other_kinds_of_numbers():
    _, stacked, x = pair()
    expected = stacked(x)
    torch.testing.assert_close(stacked.double()(x.double()).float(), expected, rtol=1e-4, atol=1e-4)
    assert stacked.to("meta")(x.double().to("meta")).shape == expected.shape


def test_networks_that_cannot_be_stacked_are_named():
    layers = tree(STACKED).layers
    with pytest.raises(TypeError, match="PReLU"):
        layers.StackedNetworks([torch.nn.Sequential(torch.nn.PReLU()) for _ in range(2)])


FORWARD = "\tdef forward(self, x):\n\t\treturn self._forward(x)\n"


def test_networks_in_the_forward_method_itself() -> None:
    layers = texts("plain")["common/layers.py"]
    start, end = layers.index("\t\tif cfg.compile:\n"), layers.index("\tdef _forward_impl(self, x):\n")
    layers = layers.replace(layers[start:end], "\n").replace(FORWARD, "").replace("_forward_impl", "forward")
    patched = plan({**texts("plain"), "common/layers.py": layers}, ["q-ensemble"], PATCHES).after["common/layers.py"]
    assert "\tdef forward(self, x):\n\t\tvalues = self._Qs(x)\n\t\treturn values\n" in patched


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


NETWORKS = "        return torch.stack([q(x) for q in chosen])\n"


NORMALISED = "        self.rho = self.rho / self.rho.sum()\n"


REFUSED = {
    "networks with normalised weights": (
        "common/layers.py",
        NETWORKS,
        f"        [nn.utils.parametrizations.spectral_norm(q[0]) for q in chosen]\n{NETWORKS}",
        "spectral_norm(q[0])",
    ),
    "networks that are listened to": (
        "tdmpc2.py",
        NORMALISED,
        f"{NORMALISED}        for q in self.model._Qs.online._Qs:\n            q[0].register_forward_hook(print)\n",
        "register_forward_hook",
    ),
    "networks of several widths": (
        "common/layers.py",
        "2 * [cfg.mlp_dim], max(cfg.num_bins, 1)) for _ in",
        "2 * [cfg.mlp_dim // (1 + i % 2)], max(cfg.num_bins, 1)) for i in",
        "$_ % $_",
    ),
    "layers that remember what went through": (
        "common/layers.py",
        "        return self.activated(super().forward(x))\n",
        "        self.dormant = x.abs()\n        return self.activated(super().forward(x))\n",
        "code of NormedLinear.forward: self.dormant = ",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    refused("q-ensemble", *REFUSED[case])


LAYERS = sources()["common/layers.py"]


LOOP = LAYERS[LAYERS.index("    def _forward_impl(") : LAYERS.index("\n    def forward(self, x, drawn=None):")]


REWRITES = [
    (
        "common/layers.py",
        [],
        [
            "        return self._Qs(x, drawn)\n",
            "            self._forward = self._forward_impl\n        self._Qs = StackedNetworks(",
        ],
        ["q(x) for q"],
    ),
    (
        "common/layers.py",
        [
            (
                LOOP,
                "    def _forward_impl(self, x):\n        values = [net(x) for net in self._Qs]  # one by one\n"
                "        return torch.stack(values)\n",
            )
        ],
        ["        values = self._Qs(x)  # one by one\n        return values\n"],
        ["net(x)"],
    ),
    (
        "common/layers.py",
        [(LOOP, LOOP.replace("for q in chosen])", "for q in chosen], dim=0)"))],
        ["        return self._Qs(x, drawn)\n"],
        ["q(x) for q"],
    ),
]


@pytest.mark.parametrize("row", REWRITES, ids=name_of)
def test_rewrites(row: Any) -> None:
    rewritten("q-ensemble", *row)


ALONE = [
    (
        "common/layers.py",
        [(LOOP, "        return self._vmap(x)\n")],
        None,
    ),
]


@pytest.mark.parametrize("row", ALONE, ids=name_of)
def test_leaves_alone(row: Any) -> None:
    left_alone("q-ensemble", *row)


def promise(tree: Tree) -> None:
    """What the patch promises, on any specimen, by what the tree does."""
    both, x = ensemble_of(tree, dropout=0.0)
    expected = torch.stack([network(x) for network in both.online._Qs])
    calls: list[int] = []
    for network in both.online._Qs:
        network.register_forward_hook(lambda *_: calls.append(1))
    torch.testing.assert_close(both(x), expected, rtol=1e-5, atol=1e-5)
    assert len(calls) <= 1
    both(x).square().mean().backward()
    assert all(p.grad is not None for p in both.online.parameters())
