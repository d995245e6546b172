"""`python -m service doctor`: what would keep the service from running, and what to do about it."""

import argparse
import asyncio
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from service.commands.answers import answer
from service.commands.environment import variable
from service.features.operations.installation import twin_packages
from service.store.embedded.folder import in_use_because
from service.telemetry.opening import open_tracer

if TYPE_CHECKING:
    from model_export.contract.bundle import Manifest

_PACKAGES = (
    *("fastapi", "fastapi-offline", "uvicorn", "uvloop", "pydantic", "pydantic-settings", "redis"),
    *("httpcore", "httpx", "numpy", "prometheus-client", "pyroaring", "tqdm"),
)
_LOW_DISK_BYTES = 1 << 30
_DRIVER = 580
"""NVIDIA's oldest driver branch for CUDA 13, with which the extra `gpu` comes."""


@dataclass(frozen=True)
class Check:
    """One look: `fail` keeps the service from running, `warn` does not."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to look at; the defaults are those of `serve`."""
    parser.add_argument(
        "--bundle",
        type=Path,
        default=_from_environment("STREAMER_BUNDLE"),
        help="the exported model (STREAMER_BUNDLE)",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=_from_environment("STREAMER_DATA_DIR") or Path("data"),
        help="where the embedded store lies or will lie (STREAMER_DATA_DIR, ./data)",
    )
    parser.add_argument(
        "--host",
        default=variable("STREAMER_HOST") or "127.0.0.1",
        help="address to listen on (STREAMER_HOST, 127.0.0.1)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=variable("STREAMER_PORT") or "8000",
        help="port to listen on (STREAMER_PORT, 8000)",
    )


def _from_environment(name: str) -> Path | None:
    value = variable(name)
    return Path(value) if value else None


def run(args: argparse.Namespace) -> int:
    """Print all checks; 1 when one fails."""
    settings = _settings(args)
    bundle, manifest = _bundle(args.bundle)
    if settings.status == "fail":
        later = "not looked at before the settings can be used"
        store, index = Check("store", "warn", later), Check("index", "warn", later)
    else:
        store = _store(args, manifest and manifest.model_version)
        index = _index(args, manifest)
    checks = [
        _python(),
        *_packages(),
        _runtime("onnxruntime", "faiss", "cpu or gpu"),
        _twins(),
        _driver(),
        settings,
        store,
        bundle,
        index,
        _towers(args.bundle),
        _data_dir(args.data_dir),
        _port(args.host, args.port),
        _checked("traces", _traces),
    ]
    failed = any(check.status == "fail" for check in checks)

    def show() -> None:
        for check in checks:
            print(f"{check.status:4}  {check.name}: {check.detail}")
        print(_summary(failed, args.bundle))

    answer(args, {"ok": not failed, "checks": [asdict(c) for c in checks]}, show)
    return 1 if failed else 0


def _summary(failed: bool, bundle: Path | None) -> str:
    if failed:
        return "fix the failed checks before serving"
    return "ready to serve" if bundle else "ready to serve, except for a bundle: give --bundle"


def _checked(name: str, look: Callable[[], str | Check]) -> Check:
    """A check that fails with the message of whatever `look` raises."""
    try:
        found = look()
        return found if isinstance(found, Check) else Check(name, "ok", found)
    except Exception as error:  # noqa: BLE001 - any failure is what is to be reported here
        return Check(name, "fail", f"{error} ({type(error).__name__})")


def _python() -> Check:
    good = sys.version_info >= (3, 11)
    return Check("python", "ok" if good else "fail", f"{platform.python_version()}, needs >= 3.11")


def _packages() -> list[Check]:
    checks: list[Check] = []
    for name in _PACKAGES:
        try:
            checks.append(Check(name, "ok", version(name)))
        except PackageNotFoundError:
            checks.append(Check(name, "fail", "not installed: install the extra `service`"))
    return checks


def _runtime(*modules_and_extra: str) -> Check:
    *modules, extra = modules_and_extra

    def look() -> str:
        found: list[str] = []
        for module in modules:
            try:
                found.append(f"{module} {__import__(module).__version__}")
            except ImportError as error:
                raise RuntimeError(f"{error}: install the extra {extra}") from None
        return ", ".join(found)

    return _checked("runtime", look)


def _traces() -> str:
    with ExitStack() as stack:
        tracer = open_tracer(os.environ, stack)
    return "off" if tracer is None else "on: the extra otel is installed"


def _settings(args: argparse.Namespace) -> Check:
    """Whether `serve` would take all settings; a missing bundle is told by its own check."""

    def look() -> Check:
        from service.settings.reading import read_settings, refuse_open, without_effect

        refuse_open(read_settings(_given(args)))
        ignored = "; ".join(without_effect(os.environ))
        return Check("settings", "warn" if ignored else "ok", ignored or "all can be used")

    return _checked("settings", look)


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that are arguments."""
    given = {"data_dir": args.data_dir, "host": args.host, "port": args.port}
    return {**given, "bundle": args.bundle or Path("none")}


def _twins() -> Check:
    found = twin_packages()
    return Check("twins", "fail" if found else "ok", found or "no packages overwrite each other")


def _device() -> Any:
    return variable("STREAMER_DEVICE") or "cpu"


def _driver() -> Check:
    """NVIDIA's driver, where anything is to run on a GPU."""
    if "gpu" not in (_device(), variable("STREAMER_INDEX__DEVICE")):
        return Check("driver", "ok", "no GPU is asked for, so none")
    remedy = f"CUDA 13 needs NVIDIA's driver R{_DRIVER} or newer"
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        found = said.stdout.split()[0]
        is_new = int(found.split(".")[0]) >= _DRIVER
    except (OSError, subprocess.SubprocessError, IndexError, ValueError) as error:
        look = "install it, and let a container see the GPU (`docker run --gpus all`)"
        return Check("driver", "fail", f"nvidia-smi names none ({error}): {remedy}; {look}")
    if not is_new:
        return Check("driver", "fail", f"{found} is too old: {remedy}; update it on the host")
    return Check("driver", "ok", found)


def _store(args: argparse.Namespace, model_version: str | None) -> Check:
    """Whether `serve` would start on what is stored, with the bundle's model if that is known."""

    def look() -> Check:
        from service.commands.storage.starting import look_at_store
        from service.settings.reading import read_settings

        found = asyncio.run(look_at_store(read_settings(_given(args)), model_version))
        return Check("store", "warn" if found.is_risky else "ok", found.detail)

    return _checked("store", look)


def _bundle(path: Path | None) -> tuple[Check, "Manifest | None"]:
    """Whether the bundle can be served, and what it says of its model if so."""
    if path is None:
        return Check("bundle", "warn", "none given; use --bundle or STREAMER_BUNDLE"), None
    manifests: list[Manifest] = []

    def look() -> str:
        from model_export.contract.bundle import Bundle
        from service.engine.encoding.onnx_encoder import OnnxEncoder

        bundle = Bundle(path, variable("STREAMER_VARIANT"))
        dim = variable("STREAMER_DIM")
        manifest = bundle.manifest.at(int(dim) if dim else None)
        encoder = OnnxEncoder(bundle, device=_device(), dim=manifest.dim)
        bundle.established()
        manifests.append(manifest)
        return f"{manifest.model_version}, {manifest.dim} dimensions, {encoder.device}"

    return _checked("bundle", look), next(iter(manifests), None)


def _index(args: argparse.Namespace, manifest: "Manifest | None") -> Check:
    """Whether `serve` would make the index that the settings name; Milvus is not asked."""
    if manifest is None:
        return Check("index", "warn", "not looked at without a bundle that can be served")

    async def find() -> str:
        from service.bootstrap.index import check_index, index_device, milvus_parts
        from service.settings.reading import read_settings

        settings = read_settings(_given(args))
        check_index(settings.index, manifest.dim)
        device = index_device(settings)
        if settings.index.backend == "faiss":
            return f"faiss, {settings.index.kind}, {device.name}"
        async with AsyncExitStack() as stack:
            clusters = milvus_parts(settings, manifest, (), stack).clusters
        return f"milvus, {len(clusters)} clusters" if len(clusters) > 1 else "milvus"

    return _checked("index", lambda: asyncio.run(find()))


def _towers(path: Path | None) -> Check:
    """What reads texts, pictures and sounds, and whether all that it needs is installed."""
    if path is None:
        return Check("towers", "ok", "no bundle, so none")

    def look() -> str:
        from model_export.contract.bundle import Bundle
        from service.engine.encoding.onnx_towers import OnnxTowers

        specs = OnnxTowers(Bundle(path, variable("STREAMER_VARIANT"))).specs
        found = [f"{spec.name} reads {spec.kind} ({', '.join(spec.modalities)})" for spec in specs]
        return "; ".join(found) or "none in the bundle: pictures and sounds are read as vectors"

    return _checked("towers", look)


def _data_dir(path: Path) -> Check:
    nearest = path.absolute()
    try:
        while not nearest.exists():
            nearest = nearest.parent
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            return Check("data folder", "fail", f"{nearest} is not a folder that can be written")
        with tempfile.TemporaryDirectory(dir=nearest, prefix=".doctor-"):
            owned = in_use_because(path.absolute() / "store")
    except OSError as error:
        said = f"{nearest}: {error.strerror}: choose another by --data-dir"
        return Check("data folder", "fail", said)
    if owned:
        return Check("data folder", "fail", owned)
    free = shutil.disk_usage(nearest).free
    status = "warn" if free < _LOW_DISK_BYTES else "ok"
    return Check("data folder", status, f"{path}, {free / 1e9:.1f} GB free")


def _port(host: str, port: int) -> Check:
    try:
        with socket.create_server((host, port)):
            return Check("port", "ok", f"{host}:{port} is free")
    except OSError as error:
        return Check("port", "warn", f"{host}:{port}: {error.strerror}")
    except OverflowError:
        return Check("port", "fail", f"{port} is none: it must be 0 to 65535")
