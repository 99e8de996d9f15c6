"""What trainers import first, for the server of `warm.py`: as far as it is installed. Nothing here touches a GPU."""

import importlib
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
    with suppress(ImportError):
        importlib.import_module(_name)
