"""The served path in a fresh process: what it really loads, not what it says it imports."""

import json
import os
import subprocess
import sys

import pytest

from tests.machine import HANGS_S

FORBIDDEN = ("implicit", "onnx", "sklearn", "torch", "training", "transformers")
PROBE = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "modules",
    [
        ["service.app"],
        ["service.__main__"],
        ["model_export.contract.bundle", "model_export.contract.features"],
    ],
    ids=lambda modules: modules[0],
)
def test_loads_no_training_library(modules: list[str]) -> None:
    command = [sys.executable, "-c", PROBE, *modules]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANGS_S, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert modules[0].partition(".")[0] in loaded
    assert loaded.isdisjoint(FORBIDDEN), f"loaded: {sorted(loaded & set(FORBIDDEN))}"


@pytest.mark.parametrize(
    "modules", ["service.engine.encoding.onnx_session", "model_export.contract, onnxruntime"]
)
def test_onnx_runtime_reports_to_nobody(modules: str) -> None:
    """Where it would, it looks for a place in HOME to keep an identifier, and warns without one."""
    environment = {**os.environ, "HOME": "/proc/nowhere"}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    command = [sys.executable, "-c", f"import {modules}; print('loaded')"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=HANGS_S, check=False
    )
    assert (done.stdout, done.stderr) == ("loaded\n", "")
