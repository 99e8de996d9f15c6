"""One thread per worker: small tensors gain nothing from more, and two workers on two cores lose a lot."""

import atexit
import gc
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import defaultdict
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

# A shell that starts this in the background, or `nohup`, lets it ignore a signal, and so would all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Syntax trees are millions of objects that stay: looking for garbage among them took a tenth of all time.
gc.set_threshold(100_000, 50, 100)

# Minutes of CPU that prove the same on more trees: `make test-thorough`.
THOROUGH = os.environ.get("NEWTFIX_THOROUGH") == "1"
collect_ignore_glob = [] if THOROUGH else ["mutation/*", "newtfix/test_verify.py"]


# A number, or "random": tests in another order, files as a whole, as what they share is made once for each.
if os.environ.get("NEWTFIX_ORDER") == "random":
    os.environ["NEWTFIX_ORDER"] = str(random.SystemRandom().randrange(10**6))  # workers have it from here
ORDER = os.environ.get("NEWTFIX_ORDER", "")


def pytest_report_header() -> str:
    return f"order: NEWTFIX_ORDER={ORDER}" if ORDER else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not ORDER:
        return
    files: dict[object, list[pytest.Item]] = defaultdict(list)
    for item in items:
        files[item.path].append(item)
    draw = random.Random(ORDER)
    shuffled = draw.sample(list(files.values()), len(files))
    items[:] = [item for tests in shuffled for item in draw.sample(tests, len(tests))]


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
