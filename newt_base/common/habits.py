"""What users of newt and TD-MPC2 type, and what it is called here."""

SETTINGS = {
    "learning_rate": "lr=...",
    "total_steps": "steps=...",
    "total_timesteps": "steps=...",
    "max_steps": "steps=...",
    "num_steps": "steps=...",
    "cuda": "device=cuda, or device=cpu",
    "gpu": "device=cuda, or device=cpu",
    "tensorboard": "tracker=tensorboard",
    "wandb_project": "tracker=wandb, with WANDB_PROJECT in the environment",
    "wandb_entity": "tracker=wandb, with WANDB_ENTITY in the environment",
    "wandb_silent": "tracker=wandb, with WANDB_SILENT in the environment",
    "multiproc": "torchrun --nproc-per-node N -m newt_patched.train (docs/distributed.md)",
    "port": "torchrun's own --master-port",
    "num_demos": "newtfix demos num_demos=20",
    "seed_steps": "seeding_coef=...",
    "discount": "discount_min=... and discount_max=...",
    "multitask": "task=walker-walk,cup-catch",
    "save_csv": "nothing: metrics.csv is always written",
    "render_size": "nothing: observations are states here",
    "dropout": "the patch q-dropout",
}
# Switches, and what on and off are here.
SWITCHES = {
    **dict.fromkeys(("enable_wandb", "use_wandb", "wandb"), ("tracker=wandb", "tracker=none")),
    **dict.fromkeys(("disable_wandb", "no_wandb"), ("tracker=none", "tracker=wandb")),
}
OFF = ("false", "no", "off", "0")
# Options of Hydra's command line.
MULTIRUN = ("-m", "--multirun")
# Prefixes of newt's tasks, and whose simulator they are.
SIMULATORS = {
    "mw": "Meta-World",
    "ms": "ManiSkill",
    "og": "OGBench",
    "rd": "RoboDesk",
    "pygame": "pygame",
    "atari": "Atari",
    "bipedal": "Box2D",
    "lunarlander": "Box2D",
    "humanoid_bench": "HumanoidBench",
    "myo": "MyoSuite",
}
