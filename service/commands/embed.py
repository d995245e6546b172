"""`python -m service embed`: vectors of a data set folder, by the path that the service uses."""

import argparse
import codecs
import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from model_export.contract.bundle import Bundle
from model_export.contract.errors import ContractError, UnreadableContent, first_problem
from model_export.contract.features import Features
from model_export.contract.streamer import StreamerProfile
from model_export.contract.variants import VARIANTS
from service.commands.answers import answer
from service.commands.arguments import using, whole_number
from service.commands.progress import Progress
from service.commands.stopping import interruptible, undisturbed
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
    path: Path = args.data / "streamers.jsonl" if args.data.is_dir() else args.data
    ids: list[str] = []
    parts: list[np.ndarray] = []
    skipped = 0
    try:
        bundle = Bundle(args.bundle, args.variant)
        manifest = bundle.manifest.at(args.dim)
        encoder = OnnxEncoder(bundle, threads=args.threads, dim=manifest.dim)
        towers = OnnxTowers(bundle, threads=args.threads)
        with _new_file(args.out) as whole:  # first, since encoding may take hours
            for chunk in _chunks(path, bundle, towers):
                usable = [(i, f) for i, f in chunk if f.usable]
                skipped += len(chunk) - len(usable)
                ids += [i for i, _ in usable]
                parts += [e.embedding for e in encoder.encode([f for _, f in usable])]
            vectors = np.stack(parts) if parts else np.zeros((0, manifest.dim), np.float32)
            np.savez(whole, ids=np.array(ids, dtype=np.str_), vectors=vectors)
    except (ContractError, ServiceError, OSError, ValueError) as error:
        print("error:", in_one_line(error), file=sys.stderr)
        return 1
    count, dim = len(ids), int(vectors.shape[1])
    fields = {"path": args.out, "vectors": count, "dim": dim, "without_content": skipped}
    said = f"{args.out}: {count} vectors of {dim}, {skipped} without usable content"
    answer(args, fields, lambda: print(said))
    return 0


def _chunks(path: Path, bundle: Bundle, towers: OnnxTowers) -> Iterator[list[tuple[str, Features]]]:
    chunk: list[tuple[int, StreamerProfile]] = []
    remedy = "give a data set folder with streamers.jsonl, or a .jsonl file"
    with using("--data", path, remedy), Progress("embed", "lines") as progress:
        for number, line in _numbered(path, progress):
            if not line.strip():
                continue
            try:
                profile = StreamerProfile.model_validate_json(line.removeprefix(codecs.BOM_UTF8))
            except ValidationError as error:
                raise ValueError(f"{path}:{number}: {first_problem(error)}") from error
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


@contextlib.contextmanager
def _new_file(out: Path) -> Generator[Path, None, None]:
    """A path to write to; the file appears at `out` whole or not at all.

    Raises:
        UnusablePath: it can't be written there.
    """
    remedy = "choose a file in a folder where files can be written"
    with using("--out", out, remedy), interruptible(), contextlib.ExitStack() as drafts:
        if out.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        out.parent.mkdir(parents=True, exist_ok=True)
        with undisturbed():  # a signal between its making and its keeping would leave it there
            draft = tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-")
            folder = drafts.enter_context(draft)
        whole = Path(folder, "vectors.npz")
        yield whole
        whole.replace(out)
