"""`python -m training`."""

import os
import sys

# Before any library starts its OpenMP threads: by default they spin while they wait, and on a
# machine that is busy with something else that made a training step 4 to 25 times as slow.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from training.cli import main  # noqa: E402 - the environment comes first

if __name__ == "__main__":
    sys.exit(main())
