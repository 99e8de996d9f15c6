"""One thread per worker: small tensors gain nothing from more, and two workers on two cores lose a lot."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
