"""`python -m model_export MODULE:FUNCTION --checkpoint CHECKPOINT --out BUNDLE`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from model_export.contract.errors import ContractError
from model_export.errors import ExportError, SourceError
from model_export.export import export_bundle
from model_export.loading import resolved, told
from model_export.source import ExportSource


def _load(loader: Callable[[Path], ExportSource], checkpoint: Path) -> ExportSource:
    source = loader(checkpoint)
    if not isinstance(source, ExportSource):
        raise SourceError(
            f"the loader returned {type(source).__name__}, not model_export.source.ExportSource"
        )
    return source


def main(arguments: Sequence[str] | None = None) -> int:
    """Export a checkpoint; exit status 0 = done, 1 = failed, 2 = wrong usage."""
    parser = argparse.ArgumentParser(
        prog="python -m model_export", description="Export a trained encoder as an ONNX bundle."
    )
    parser.add_argument(
        "loader",
        type=resolved,
        help="import string of a loader, such as training.inference.load:load_checkpoint",
    )
    parser.add_argument(
        "--checkpoint", type=Path, required=True, help="folder written by `python -m training fit`"
    )
    parser.add_argument("--out", type=Path, required=True, help="bundle folder to write")
    args = parser.parse_args(arguments)
    try:
        manifest = export_bundle(_load(args.loader, args.checkpoint), args.out)
    except (ExportError, ContractError, OSError, ValueError) as error:
        print("error:", told(error, "--checkpoint and --out"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    size_mb = sum(entry.size_bytes for entry in manifest.files.values()) / 1e6
    print(
        f"{args.out}: {manifest.model_version}, {manifest.dim} dimensions, {size_mb:.1f} MB, "
        f"largest difference from PyTorch {manifest.parity.max_abs_diff:.1e}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
