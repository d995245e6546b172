"""Imports that stand still behind their first chunk until a test lets them go on."""

import os
from pathlib import Path
from typing import Any

from tests.service.process import ROOT

_GATE = "GATE_OF_THE_TESTS"
_HELD = f"""
import asyncio, os
from service.features.transfers.imports import ImportJobs

_write = ImportJobs._write

async def held(*arguments):
    behind = await _write(*arguments)
    while not os.path.exists(os.environ["{_GATE}"]):
        await asyncio.sleep(0.05)
    return behind

ImportJobs._write = held
"""
"""Python runs it when it starts."""


class HeldImports:
    """What holds the imports of a service.

    Attributes:
        variables: of the service's environment.
    """

    def __init__(self, folder: Path) -> None:
        """Make a folder for it."""
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(_HELD)
        self._gate = folder / "go"
        path = os.pathsep.join([str(folder), str(ROOT)])
        self.variables: dict[str, Any] = {"PYTHONPATH": path, _GATE: str(self._gate)}

    def go_on(self) -> None:
        """Let them go on, to their ends."""
        self._gate.touch()
