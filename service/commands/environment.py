"""Environment variables as commands read them; `doctor` does where packages are missing."""

import os


def variable(name: str) -> str | None:
    """An environment variable, in capitals or not, as settings are; None if it is not set."""
    return next((v for k, v in os.environ.items() if v and k.upper() == name), None)
