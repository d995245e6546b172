"""Exports an encoder as a bundle that verifies itself."""

import os

# ONNX Runtime sends figures about its use to its maker unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
