"""`python -m model_export MODULE:FUNCTION --checkpoint CHECKPOINT --out BUNDLE`."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from model_export.contract.errors import ContractError
from model_export.errors import ExportError, SourceError
from model_export.export import export_bundle
from model_export.source import ExportSource


def _loader(text: str) -> Callable[[Path], ExportSource]:
    """Resolve `package.module:function`, which turns a checkpoint folder into an ExportSource."""
    module_name, _, function_name = text.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), function_name)):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form package.module:function")
    try:
        found = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise argparse.ArgumentTypeError(f"can't load {text!r}: {error}") from error
    if not callable(found):
        raise argparse.ArgumentTypeError(f"{text!r} is no function")
    return cast(Callable[[Path], ExportSource], found)


def _load(loader: Callable[[Path], ExportSource], checkpoint: Path) -> ExportSource:
    source = loader(checkpoint)
    if not isinstance(source, ExportSource):
        raise SourceError(
            f"the loader returned {type(source).__name__}, not model_export.source.ExportSource"
        )
    return source


def main(arguments: Sequence[str] | None = None) -> int:
    """Export a checkpoint; 0 = done, 1 = failed with one line that says why, 2 = wrong usage."""
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
        manifest = export_bundle(_load(args.loader, args.checkpoint), args.out)
    except (ExportError, ContractError, OSError, ValueError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)  # one line
        return 1
    except KeyboardInterrupt:
        return 130
    size_mb = sum(entry.size_bytes for entry in manifest.files.values()) / 1e6
    print(
        f"{args.out}: {manifest.model_version}, {manifest.dim} dimensions, {size_mb:.1f} MB, "
        f"differs from PyTorch by {manifest.parity.max_abs_diff:.1e} at most"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
