"""`python -m service verify`: check records, saved indexes and a running service's index."""

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from model_export.contract.bundle import Bundle
from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.contract.variants import VARIANTS
from service.client import ClientError, NotAllowed, Unreachable
from service.client.connections import async_http_of, headers_of
from service.client.errors import connection_errors, refusal_of
from service.commands.answers import answer
from service.commands.arguments import address, api_key, not_allowed, whole_number
from service.commands.environment import variable
from service.commands.progress import Progress
from service.commands.stores import add_data_dir, finish, opened_store
from service.errors import ServiceError
from service.features.operations.space_verification import check_spaces
from service.features.operations.verification import (
    Findings,
    Stored,
    check_encoding,
    check_snapshot,
    check_store,
    compare,
)
from service.files.checksummed import Broken, ChecksummedFolder
from service.store.base import LogGap, Position, Record
from service.store.redis.backup import ArchivedStore

_WAIT_S = 30
"""The longest that a service may take to show what was stored when the check began."""


class _NotChecked(ServiceError):
    """A part could not be looked at."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the store, and what else is compared with it."""
    add_data_dir(parser)
    parser.add_argument(
        "--url",
        type=address,
        help="of a running service on that store: checks its index too; key: STREAMER_API_KEY",
    )
    parser.add_argument(
        "--reencode-sample",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="encode N stored profiles again and compare the vectors; needs --bundle",
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        default=variable("STREAMER_BUNDLE"),
        help="the model that the store holds vectors of (STREAMER_BUNDLE)",
    )
    parser.add_argument(
        "--dim", type=whole_number(1), help="its width, as served (default: the full one)"
    )
    parser.add_argument("--variant", choices=VARIANTS, help="its variant, as served")


def run(args: argparse.Namespace) -> int:
    """Check; 1 when anything differs, with the ids."""
    return finish(lambda: _verify(args))


async def _verify(args: argparse.Namespace) -> int:
    data_dir, url, sample = args.data_dir, args.url, args.reencode_sample
    if sample and args.bundle is None:
        raise _NotChecked("--reencode-sample needs the model's bundle: give it by --bundle")
    report = Report(args.json)
    async with opened_store(data_dir) as opened:
        model = await opened.model_version() or "none"
        store = opened.of_model(model)
        findings = Findings()
        with Progress("verify", "streamers") as progress:
            stored = await check_store(store, findings, progress.to)
        report.add("store", f"at {stored.at.sequence}, model {model}", findings)
        spaces = Findings()
        if generations := await check_spaces(store.spaces, spaces):
            report.add("spaces", f"{generations} generations", spaces)
        if sample:
            await _check_encoding(args, model, stored, store, report)
        await check_snapshots(data_dir / "index", stored, store, report)
        if url is not None:
            await _check_served(url, api_key(), stored, store, report)
    wrong = report.differences
    said = "no differences" if wrong == 0 else f"{wrong} differences"
    answer(args, {"differences": wrong, "parts": report.parts}, lambda: print(said))
    return 1 if wrong else 0


async def _check_encoding(
    args: argparse.Namespace, model: str, stored: Stored, store: ArchivedStore, report: "Report"
) -> None:
    from service.engine.encoding.onnx_encoder import Encoded, OnnxEncoder  # ONNX Runtime
    from service.engine.encoding.profile_reader import Reader

    bundle = Bundle(args.bundle, args.variant)
    manifest = bundle.manifest.at(args.dim)
    if manifest.model_version != model:
        raise _NotChecked(
            f"the store holds vectors of model {model}, the bundle is {manifest.model_version}: "
            "give that model's by --bundle, --dim and --variant"
        )
    reader = Reader(bundle.featurizer, manifest.towers)
    encoder = OnnxEncoder(bundle, threads=1, dim=manifest.dim)

    def encode(record: Record) -> Encoded | None:
        profile = StreamerProfile.model_validate_json(record.profile)
        features = reader.as_stored(pieces_of(profile), record.tower_vectors)
        return encoder.encode([features])[0] if features.usable else None

    findings = Findings()
    await check_encoding(store, stored, args.reencode_sample, encode, findings)
    report.add("encoded", f"again by {model}", findings)


async def check_snapshots(
    folder: Path, stored: Stored, store: ArchivedStore, report: "Report"
) -> None:
    """Check saved indexes, with those that a running service puts in their place meanwhile."""
    looked_at: set[Path] = set()

    def others() -> list[Path]:
        return sorted(set(folder.glob("[0-9]*")) - looked_at)

    def is_removed(path: Path) -> bool:
        # The one before goes file by file, once a newer one is there.
        return bool(others()) or not path.exists()

    while paths := others():
        looked_at.update(paths)
        for path in paths:
            await _check_snapshot(path, partial(is_removed, path), stored, store, report)


async def _check_snapshot(
    path: Path,
    is_removed: Callable[[], bool],
    stored: Stored,
    store: ArchivedStore,
    report: "Report",
) -> None:
    from service.index.faiss.index import FaissIndex  # FAISS, which the other parts need not

    findings = Findings()
    try:
        source = ChecksummedFolder(path)
        about = source.about
        mark = str(about.get("mark", ""))
        place = Position(str(about["epoch"]), int(about["sequence"]), mark)
        index = FaissIndex(int(about["dim"]), int(about["content_dim"]))
        await asyncio.to_thread(index.load, source)
    except (Broken, KeyError, TypeError, ValueError, RuntimeError) as error:
        if is_removed():
            said = "a running service removed it, as it does when it has saved another one"
            report.add_unused("snapshot", str(path), said)
            return
        findings.add("*", f"can't be read, and will not be used: {error}")
        report.add("snapshot", str(path), findings)
        return
    unused = await check_snapshot(index, place, stored, store, findings)
    if unused is not None:
        report.add_unused("snapshot", str(path), unused)
    else:
        report.add("snapshot", f"at {place.sequence}, {path}", findings)


async def _check_served(
    url: str, key: str | None, stored: Stored, store: ArchivedStore, report: "Report"
) -> None:
    findings = Findings()
    try:
        given = {"base_url": url, "headers": headers_of(key), "timeout": 60}
        with connection_errors(url):
            async with async_http_of(url, **given) as client:
                rows = await _caught_up(client, stored.at.sequence)
                held = await _served(client)
    except Unreachable as error:
        raise _NotChecked(f"{error}: give the address of a running service by --url") from error
    except NotAllowed as error:
        raise _NotChecked(not_allowed(url, error.detail, error.status)) from error
    except ClientError as error:
        raise _NotChecked(str(error)) from error
    try:
        changed = await store.changed_since(stored.at.sequence)
    except LogGap as gap:
        raise _NotChecked(
            f"too much was written meanwhile to compare ({gap}): try again when less is written"
        ) from gap
    compare(stored, held, findings, changed)
    if not changed and rows != findings.vectors:
        findings.add("*", f"{rows} vectors can be found, {findings.vectors} are somebody's")
    report.add("served", url, findings)


async def _caught_up(client: httpx.AsyncClient, sequence: int) -> int:
    """The number of vectors in the index, once it has applied a sequence number."""
    until = time.monotonic() + _WAIT_S
    while True:
        answer = await client.get("/readyz")
        try:
            state = answer.json()
            is_up = state["status"] not in ("starting", "stopping")
            reached = int(state["index_sequence"]) if is_up else -1
            rows = int(state["index_rows"]) if is_up else 0
        except (ValueError, KeyError, TypeError) as error:
            raise _NotChecked(f"{client.base_url} is not the address of the service") from error
        if reached >= sequence and answer.status_code == 200:
            return rows
        if time.monotonic() > until:
            raise _NotChecked(
                f"{client.base_url} is at sequence {reached}, the store at {sequence}: "
                f"{state.get('reason') or 'is it a service of this store?'}"
            )
        await asyncio.sleep(0.2)


async def _served(client: httpx.AsyncClient) -> dict[str, tuple[int, str]]:
    """Version and digest of everyone whom a service holds in its index."""
    held: dict[str, tuple[int, str]] = {}
    async with client.stream("GET", "/v1/index") as answer:
        if not answer.is_success:
            body = await answer.aread()
            raise refusal_of(str(client.base_url), answer.status_code, answer.headers, body)
        async for line in answer.aiter_lines():
            if line:
                row = json.loads(line)
                held[row["streamer_id"]] = row["version"], row["digest"]
    return held


class Report:
    """What was found in each part: told to people as it comes, kept for programs.

    Attributes:
        parts: of the answer.
        differences: in all of them.
    """

    def __init__(self, is_json: bool) -> None:
        self.parts: list[dict[str, Any]] = []
        self.differences = 0
        self._is_json = is_json

    def add(self, part: str, what: str, findings: Findings) -> None:
        """One line, and one for each of the first differences."""
        count, shown = findings.count, findings.shown
        self.differences += count
        self.parts.append(
            {
                "part": part,
                "what": what,
                "streamers": findings.streamers,
                "vectors": findings.vectors,
                "differences": count,
                "first": [{"streamer_id": i, "wrong": wrong} for i, wrong in shown],
            }
        )
        said = f"{count} differences" if count else "no differences"
        self._print(
            f"{part:9} {what}: {findings.streamers} streamers, {findings.vectors} with a vector: "
            f"{said}"
        )
        for streamer_id, wrong in shown:
            self._print(f"          {streamer_id} {wrong}")
        if count > len(shown):
            self._print(f"          ... and {count - len(shown)} more")

    def add_unused(self, part: str, what: str, why: str) -> None:
        """A part that nobody will read."""
        self.parts.append({"part": part, "what": what, "unused_because": why})
        self._print(f"{part:9} {what}: will not be used: {why}")

    def _print(self, line: str) -> None:
        if not self._is_json:
            print(line)
