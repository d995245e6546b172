"""`python -m model_export MODULE:FUNCTION --checkpoint CHECKPOINT --out BUNDLE`."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from model_export.contract.errors import ContractError
from model_export.export import export_bundle
from model_export.parity import ParityError
from model_export.source import ExportSource


def _loader(text: str) -> Callable[[Path], ExportSource]:
    """Resolve `package.module:function`, which turns a checkpoint folder into an ExportSource."""
    module_name, _, function_name = text.partition(":")
    if not function_name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form package.module:function")
    try:
        found = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise argparse.ArgumentTypeError(f"can't load {text!r}: {error}") from error
    return cast(Callable[[Path], ExportSource], found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Export a checkpoint; 0 = done, 1 = failed with one line that says why."""
    parser = argparse.ArgumentParser(
        prog="python -m model_export", description="Export a trained encoder as an ONNX bundle."
    )
    parser.add_argument(
        "loader", type=_loader, help="import string, as training.encoder:load_checkpoint"
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="what `training fit` wrote")
    parser.add_argument("--out", type=Path, required=True, help="the bundle folder to write")
    args = parser.parse_args(arguments)
    try:
        manifest = export_bundle(args.loader(args.checkpoint), args.out)
    except (ContractError, ParityError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    size_mb = sum(entry.size_bytes for entry in manifest.files.values()) / 1e6
    print(
        f"{args.out}: {manifest.model_version}, {manifest.dim} dimensions, {size_mb:.1f} MB, "
        f"differs from PyTorch by {manifest.parity.max_abs_diff:.1e} at most"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
