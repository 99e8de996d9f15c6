"""One thread per worker: small tensors gain nothing from more, and two workers on two cores lose a lot."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

# Minutes of CPU that prove the same on more trees: `make test-thorough`.
THOROUGH = os.environ.get("NEWTFIX_THOROUGH") == "1"
collect_ignore_glob = [] if THOROUGH else ["mutation/*", "newtfix/test_verify.py"]
