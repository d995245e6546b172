"""`python -m training`."""

import sys

from training.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
