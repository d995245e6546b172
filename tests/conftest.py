"""Random tests are the same on every run and every machine, and never fail for being slow."""

import gc
import os
import signal
import sys

from hypothesis import HealthCheck, settings

from service.engine.work import workers

# As `python -m training` does: OpenMP threads that spin stand still when the cores are busy.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# As `python -m service` does; numpy reads it when it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Read once, when Hugging Face's library is loaded: no test asks a hub for anything.
os.environ["HF_HUB_OFFLINE"] = "1"

# Hundreds of processes begin in the tests: compiling what they import would take most of the time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# `nohup make test &` ignores Ctrl-C, and a child would inherit that; tests press it themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)

# With a low priority they would starve beside other tests, and tests wait for them.
workers.NICENESS = 0

settings.register_profile(
    "reproducible",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("reproducible")


# While libraries and tests are loaded there is little garbage, and looking for it takes a fifth of
# the time.
gc.disable()


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays to the end: libraries, and all tests."""
    gc.freeze()
    gc.enable()
