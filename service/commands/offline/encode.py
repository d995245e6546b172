"""`python -m service encode`: encode a part of a corpus, for an import without encoding again."""

import argparse
import asyncio
import re
import sys
import time
from pathlib import Path
from typing import Any

from model_export.contract.errors import ContractError
from model_export.contract.variants import VARIANTS
from service.bootstrap.model import bundle_of, opened_pipeline, opened_towers, text_towers
from service.commands.answers import answer
from service.commands.arguments import UnusablePath, using, whole_number
from service.commands.progress import Progress
from service.commands.stopping import Interrupted, interruptible
from service.errors import ServiceError, in_one_line
from service.features.transfers.encoded import about_model
from service.features.transfers.encoding import PartEncoder
from service.features.transfers.texts import TextEncoder
from service.files.encoded import About, kept
from service.files.part_rows import Part, part_rows
from service.files.text_vectors import AboutTexts, UnusableTexts, about_texts
from service.settings import Encoding, Settings, Work
from service.settings.reading import read_settings

_MOST_PARTS = 1_000_000
_FORMS = "give a .parquet file, or one with lines of JSON"
_WORK = Work(threads=2, max_queue=1 << 20, slow_deadline_ms=24 * 3600 * 1000)
"""One thread encodes, and nobody waits who would rather be refused."""
_ENCODING = Encoding(reproducible=True)
"""Bytes are the same however many parts there are."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to encode, with which model."""
    parser.add_argument("--bundle", type=Path, help="the exported model (STREAMER_BUNDLE)")
    parser.add_argument(
        "--in",
        dest="source",
        type=Path,
        required=True,
        help="profiles: rows of a .parquet file, or lines of JSON; of several with one id the "
        "first is taken, and the others are rejected",
    )
    parser.add_argument("--out", type=Path, required=True, help="the Parquet file to write")
    parser.add_argument(
        "--part",
        type=_part,
        default=Part(1, 1),
        metavar="I/N",
        help="which of N parts of the input, from 1/N to N/N (default: all of it)",
    )
    parser.add_argument(
        "--rejects",
        type=Path,
        help="file for rows that can't be encoded, with the reasons (default: OUT.rejects.ndjson); "
        "one of an earlier run to OUT is replaced, anything else stays",
    )
    texts = parser.add_mutually_exclusive_group()
    texts.add_argument(
        "--texts-only",
        action="store_true",
        help="encode texts alone, each once, part I/N of those of the whole input by their hash",
    )
    texts.add_argument(
        "--texts",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="what `--texts-only` wrote, all parts: their texts are not encoded again",
    )
    parser.add_argument(
        "--dim", type=whole_number(1), help="one of the model's widths (default: the full one)"
    )
    parser.add_argument(
        "--variant", choices=VARIANTS, help="smaller graphs of the model (default: the full ones)"
    )


def _part(text: str) -> Part:
    found = re.fullmatch(r"(\d{1,7})/(\d{1,7})", text, re.ASCII)
    part = Part(int(found[1]), int(found[2])) if found else Part(0, 0)
    if not 1 <= part.number <= part.count <= _MOST_PARTS:
        raise argparse.ArgumentTypeError(
            f"must be I/N with 1 <= I <= N <= {_MOST_PARTS}, such as 3/8, not {text[:40]!r}"
        )
    return part


def run(args: argparse.Namespace) -> int:
    """Encode, unless that is done; 1 where no row can be encoded, or a file not read or written."""
    begin = time.monotonic()
    rejects: Path = args.rejects or args.out.with_name(f"{args.out.name}.rejects.ndjson")
    try:
        given: dict[str, Any] = {"work": _WORK, "encoding": _ENCODING}
        for name in ("bundle", "dim", "variant"):
            if getattr(args, name) is not None:
                given[name] = getattr(args, name)
        settings = read_settings(given)
        with interruptible():
            if args.texts_only:
                return _encode_texts(args, settings)
            done, is_kept = _encode(args, settings, rejects)
    except (ContractError, ServiceError, OSError) as error:
        print("error:", in_one_line(error), file=sys.stderr)
        return 1
    except Interrupted as stop:
        print("stopped: nothing is kept; run the same command again", file=sys.stderr)
        return stop.status
    took_s = time.monotonic() - begin
    fields: dict[str, Any] = {
        "path": args.out,
        "part": str(args.part),
        "kept": is_kept,
        "model_version": done.model_version,
        "rows": done.rows,
        "without_content": done.without_content,
        "rejected": done.rejected,
        "rejects": rejects if done.rejected else None,
        "took_s": round(took_s, 3),
    }
    if done.rejected:
        print(f"{done.rejected} rows were rejected: {rejects} has the reasons", file=sys.stderr)
    how = "was there already" if is_kept else f"{done.rows / max(took_s, 1e-9):.0f}/s"
    said = (
        f"{args.out}: part {args.part}, {done.rows} streamers ({how}), "
        f"{done.without_content} without usable content, {done.rejected} rejected"
    )
    answer(args, fields, lambda: print(said))
    if done.rejected and not done.rows:
        print(f"error: no row of {args.source} could be encoded", file=sys.stderr)
        return 1
    return 0


def _encode(args: argparse.Namespace, settings: Settings, rejects: Path) -> tuple[About, bool]:
    """The metadata of the file, and whether it was there already."""
    source: Path = args.source
    for option, other in (("--in", source), ("--out", args.out)):
        if rejects.resolve() == other.resolve():
            raise UnusablePath(f"--rejects {rejects} is the file of {option}: give another")
    with using("--in", source, _FORMS):
        rows = part_rows(source, args.part)
        about = about_model(bundle_of(settings)[1], str(args.part), rows.sha256())
    with using("--out", args.out, "choose a file in a folder where files can be written"):
        there = kept(args.out, about)
    if there is not None:
        return there, True

    async def encode() -> About:
        with Progress("encode", f"{rows.unit}s") as progress:
            async with opened_pipeline(settings, args.texts) as opened:
                encoder = PartEncoder(opened.pipeline, opened.lanes, settings.limits)
                return await encoder.encode(rows, about, args.out, rejects, progress.to)

    return asyncio.run(encode()), False


def _encode_texts(args: argparse.Namespace, settings: Settings) -> int:
    source: Path = args.source
    towers = tuple(sorted(text_towers(bundle_of(settings)[1])))
    if not towers:
        raise UnusableTexts(
            f"{settings.bundle} has no tower that reads texts: encode without --texts-only"
        )
    with using("--in", source, _FORMS):
        rows = part_rows(source, Part(1, 1))
        about = AboutTexts(towers=towers, part=str(args.part), input_sha256=rows.sha256())
    with using("--out", args.out, "choose a file in a folder where files can be written"):
        there = about_texts(args.out) if args.out.exists() else about
    if there is None:
        raise UnusableTexts(f"{args.out} was not written by `encode --texts-only`: give another")
    is_kept = args.out.exists() and there.is_of(about)

    async def encode() -> AboutTexts:
        with Progress("encode texts", f"{rows.unit}s") as progress:
            async with opened_towers(settings) as work:
                encoder = TextEncoder(work, settings.limits)
                return await encoder.encode(rows, args.part, about, args.out, progress.to)

    done = there if is_kept else asyncio.run(encode())
    fields = {"path": args.out, "part": str(args.part), "kept": is_kept, "texts": done.texts}
    said = f"{args.out}: part {args.part}, {done.texts} texts, each encoded once"
    answer(args, fields, lambda: print(said))
    return 0
