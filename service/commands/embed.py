"""`python -m service embed`: vectors of a data set folder, by the path that the service uses."""

import argparse
import codecs
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from model_export.contract.bundle import Bundle
from model_export.contract.errors import ContractError, UnreadableContent, first_problem
from model_export.contract.features import Features
from model_export.contract.streamer import StreamerProfile
from model_export.contract.variants import VARIANTS
from service.commands.arguments import using, whole_number
from service.commands.files import file_of_profiles, tell_written, write_whole
from service.commands.progress import Progress
from service.engine.encoding.onnx_encoder import OnnxEncoder
from service.engine.encoding.onnx_towers import OnnxTowers
from service.errors import ServiceError, in_one_line

_CHUNK = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to encode, with which model."""
    parser.add_argument("--bundle", type=Path, required=True, help="the exported model")
    parser.add_argument(
        "--data", type=Path, required=True, help="a data set folder, or a .jsonl file"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="the .npz file to write: ids, vectors; streamers without a vector are left out",
    )
    parser.add_argument(
        "--dim", type=whole_number(1), help="one of the model's widths (default: the full one)"
    )
    parser.add_argument(
        "--variant", choices=VARIANTS, help="smaller graphs of the model (default: the full ones)"
    )
    parser.add_argument(
        "--threads",
        type=whole_number(1, most=1024),
        default=os.cpu_count() or 1,
        help="default: one for each core",
    )


def run(args: argparse.Namespace) -> int:
    """Encode; 1 with the file and line of what can't be read."""
    made = _Vectors()
    try:
        bundle = Bundle(args.bundle, args.variant)
        manifest = bundle.manifest.at(args.dim)
        encoder = OnnxEncoder(bundle, threads=args.threads, dim=manifest.dim)
        towers = OnnxTowers(bundle, threads=args.threads)
        path = file_of_profiles("--data", args.data)

        def content() -> bytes:
            for chunk in _chunks(path, bundle, towers):
                made.add(chunk, encoder)
            return made.content(manifest.dim)

        with using("--out", args.out, "choose a file in a folder where files can be written"):
            args.out.parent.mkdir(parents=True, exist_ok=True)
        write_whole("--out", args.out, content)  # which tries it first, as encoding may take hours
    except (ContractError, ServiceError, OSError, ValueError) as error:
        print("error:", in_one_line(error), file=sys.stderr)
        return 1
    count, dim, skipped = len(made.ids), manifest.dim, made.skipped
    fields = {"path": args.out, "vectors": count, "dim": dim, "without_content": skipped}
    said = f"{args.out}: {count} vectors of {dim}, {skipped} without usable content"
    tell_written(args, args.out, fields, lambda: print(said))
    return 0


class _Vectors:
    """Ids with their vectors, and how many streamers have none."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.skipped = 0
        self._parts: list[np.ndarray] = []

    def add(self, chunk: list[tuple[str, Features]], encoder: OnnxEncoder) -> None:
        """Encode some more."""
        usable = [(i, f) for i, f in chunk if f.usable]
        self.skipped += len(chunk) - len(usable)
        self.ids += [i for i, _ in usable]
        self._parts += [e.embedding for e in encoder.encode([f for _, f in usable])]

    def content(self, dim: int) -> bytes:
        """Of an .npz file."""
        parts, self._parts = self._parts, []
        vectors = np.stack(parts) if parts else np.zeros((0, dim), np.float32)  # (N, D)
        del parts
        file = io.BytesIO()
        np.savez(file, ids=np.array(self.ids, dtype=np.str_), vectors=vectors)
        return file.getvalue()


def _chunks(path: Path, bundle: Bundle, towers: OnnxTowers) -> Iterator[list[tuple[str, Features]]]:
    chunk: list[tuple[int, StreamerProfile]] = []
    lines: dict[str, int] = {}
    with (
        using("--data", path, "give a file that can be read"),
        Progress("embed", "lines") as progress,
    ):
        for number, line in _numbered(path, progress):
            if not line.strip():
                continue
            try:
                profile = StreamerProfile.model_validate_json(line.removeprefix(codecs.BOM_UTF8))
            except ValidationError as error:
                raise ValueError(f"{path}:{number}: {first_problem(error)}") from error
            name = profile.streamer_id
            if (first := lines.setdefault(name, number)) != number:
                told = f"{name!r} is already on line {first}; keep one of them"
                raise ValueError(f"{path}:{number}: {told}")
            chunk.append((number, profile))
            if len(chunk) == _CHUNK:
                yield _featurised(path, chunk, bundle, towers)
                chunk = []
    if chunk:
        yield _featurised(path, chunk, bundle, towers)


def _numbered(path: Path, progress: Progress) -> Iterator[tuple[int, bytes]]:
    """Lines and their numbers from 1; a line counts as done when the next one is asked for."""
    with path.open("rb") as file:
        total = sum(1 for _ in file)
        file.seek(0)
        for number, line in enumerate(file, start=1):
            yield number, line
            progress.to(number, total)


def _featurised(
    path: Path, chunk: list[tuple[int, StreamerProfile]], bundle: Bundle, towers: OnnxTowers
) -> list[tuple[str, Features]]:
    found: list[tuple[str, Features]] = []
    try:
        read = towers.read([profile for _, profile in chunk])
    except UnreadableContent:
        for number, profile in chunk:  # which line it was
            try:
                towers.read([profile])
            except UnreadableContent as error:
                raise ValueError(f"{path}:{number}: {error}") from error
        raise
    for (number, profile), pieces in zip(chunk, read, strict=True):
        try:
            found.append((profile.streamer_id, bundle.featurizer.from_pieces(pieces)))
        except ContractError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
    return found
