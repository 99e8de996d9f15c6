"""What trainers import first, for the server of `warm.py`: as far as it works here. Nothing here touches a GPU."""

import importlib
import warnings
from contextlib import suppress

for _name in (
    "torch",
    "tensordict",
    "torch._inductor.cudagraph_trees",
    "omegaconf",
    "gymnasium",
    "dm_control.suite",
    "tqdm",
    "rich.table",
):
    with suppress(Exception), warnings.catch_warnings():  # the trainer says what it lacks
        warnings.simplefilter("ignore")
        importlib.import_module(_name)
