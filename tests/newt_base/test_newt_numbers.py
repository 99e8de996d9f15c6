"""newt's own numbers: recorded weights load under newt's names and give newt's outputs. Skipped without recordings."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from trees import make_cfg, tree

BASE = tree()
FOLDER = Path(os.environ.get("NEWTFIX_GOLDEN", Path(__file__).parents[3] / "shared" / "golden"))
SIZES = ("action_dim", "latent_dim", "enc_dim", "mlp_dim", "num_enc_layers", "num_q", "num_bins", "simnorm_dim")
OTHERS = ("vmin", "vmax", "horizon", "batch_size", "log_std_min", "log_std_max")


@pytest.fixture(params=["golden_newt.npz", "golden_newt_padded.npz"])
def recorded(request):
    path = FOLDER / request.param
    if not path.is_file():
        pytest.skip(f"no recording {path}; NEWTFIX_GOLDEN names their folder")
    with np.load(path, allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def load_model(recorded):
    settings = {name: recorded[f"cfg/{name}"].item() for name in (*SIZES, *OTHERS)}
    settings |= {"obs_shape": {"state": (recorded["cfg/obs_dim"].item(),)}, "task_dim": 0}
    settings |= {"action_dims": [recorded["cfg/true_action_dim"].item()]}
    cfg = make_cfg(BASE, 1, [50], **settings)
    cfg.bin_size = (cfg.vmax - cfg.vmin) / (cfg.num_bins - 1)
    model = BASE.world_model.WorldModel(cfg)
    model.load_state_dict({name[2:]: value for name, value in recorded.items() if name.startswith("w/")})
    return model.eval()


def test_outputs(recorded, monkeypatch):
    model = load_model(recorded)
    action, task = recorded["in/action"], torch.zeros(recorded["in/action"].shape[:2], dtype=torch.int32)
    monkeypatch.setattr(torch, "randn_like", lambda x: recorded["in/eps"].to(x))
    with torch.no_grad():
        z = model.encode(recorded["in/obs"], task[:1])
        pi_action, info = model.pi(z[:-1], task)
        computed = {
            "encode": z,
            "next": model.next(z[:-1], action, task),
            "reward_logits": model.reward(z[:-1], action, task),
            "q_logits": model.Q(z[:-1], action, task, return_type="all"),
            "q_logits_target": model.Q(z[:-1], action, task, return_type="all", target=True),
            "pi_action": pi_action,
        } | {f"pi_{name}": info[name] for name in ("mean", "log_std", "entropy", "scaled_entropy")}
    outputs = {name[4:]: value for name, value in recorded.items() if name.startswith("out/")}
    assert outputs.keys() == computed.keys()
    for name, expected in outputs.items():
        error = (computed[name] - expected).abs().max() / expected.abs().max()
        assert error < 1e-5, name
