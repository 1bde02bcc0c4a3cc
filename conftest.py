"""Before any test is collected: one thread a process, since several workers share the cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
