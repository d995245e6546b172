"""ONNX Runtime sessions of verified graphs, on the device that was asked for or not at all."""

import contextlib
import sys
from typing import Any, Literal, cast

import onnxruntime  # pyright: ignore[reportMissingTypeStubs]

from model_export.contract.errors import BundleError

runtime = cast(Any, onnxruntime)  # it ships no types
Device = Literal["cpu", "gpu"]
_PROVIDERS = {"cpu": "CPUExecutionProvider", "gpu": "CUDAExecutionProvider"}


def open_session(graph: bytes, name: str, *, threads: int, device: Device) -> Any:
    """A session that runs a graph; `threads` is per run, `name` names the graph in errors.

    Raises:
        BundleError: the graph can't be loaded, or a GPU was asked for and ONNX Runtime would
            silently use the CPU.
    """
    provider = _PROVIDERS[device]
    # ONNX Runtime lists CUDA where there is no GPU, and then falls back without a word.
    fallback = f"device {device} was asked for, but ONNX Runtime has no {provider} here"
    if provider not in runtime.get_available_providers():
        raise BundleError(f"{fallback}; install the extra gpu in place of cpu")
    if device == "gpu":
        # It does not look into the wheels of CUDA and cuDNN; torch, which would, is not served.
        with contextlib.redirect_stdout(sys.stderr):  # where it says what is missing
            runtime.preload_dlls()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = runtime.InferenceSession(graph, options, providers=[provider])
    except Exception as error:  # its exceptions share no base but Exception
        raise BundleError(f"{name} can't be loaded: {error}") from error
    if session.get_providers()[0] != provider:
        raise BundleError(f"{fallback}; check the driver and that a GPU is visible")
    # It keeps the bytes, as many as the weights, to start again on other providers: it won't.
    session._model_bytes = None
    return session
