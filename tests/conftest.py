"""One thread per worker: small tensors gain nothing from more, and two workers on two cores lose a lot."""

import atexit
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

import pytest

if "NEWTFIX_CACHE" not in os.environ:  # what commands keep; a worker has it from the process that started it
    _CACHE = tempfile.mkdtemp(prefix="newtfix-cache-")
    os.environ["NEWTFIX_CACHE"] = _CACHE
    atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
if "NEWTFIX_STATE" not in os.environ:  # what the user of these tests allows
    _STATE = tempfile.mkdtemp(prefix="newtfix-state-")
    os.environ["NEWTFIX_STATE"] = _STATE
    atexit.register(shutil.rmtree, _STATE, ignore_errors=True)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

# Syntax trees are millions of objects that stay: looking for garbage among them took a tenth of all time.
gc.set_threshold(100_000, 50, 100)

# Minutes of CPU that prove the same on more trees: `make test-thorough`.
THOROUGH = os.environ.get("NEWTFIX_THOROUGH") == "1"
collect_ignore_glob = [] if THOROUGH else ["mutation/*", "newtfix/test_verify.py"]


def pytest_collection_finish() -> None:
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def _no_stand_ins_stay() -> Iterator[None]:
    """What was put in place of missing libraries for one module of tests is not there for the next."""
    finders = list(sys.meta_path)
    yield
    ours = [one for one in sys.meta_path if one not in finders and type(one).__module__.startswith("newtfix.")]
    sys.meta_path[:] = [one for one in sys.meta_path if one not in ours]
    for name, module in list(sys.modules.items()):
        if type(module).__module__.startswith("newtfix."):
            del sys.modules[name]
