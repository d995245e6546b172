"""`python -m service verify`: check records, saved indexes and a running service's index."""

import argparse
import asyncio
import json
import os
import time
from pathlib import Path

import httpx

from model_export.contract.bundle import Bundle
from model_export.contract.streamer import StreamerProfile
from model_export.contract.variants import VARIANTS
from service.commands.arguments import address, api_key, whole_number
from service.commands.stores import add_data_dir, finish, opened_store
from service.errors import ServiceError
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
        default=os.environ.get("STREAMER_BUNDLE"),
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
    async with opened_store(data_dir) as store:
        findings = Findings()
        stored = await check_store(store, findings)
        model = await store.model_version() or "none"
        wrong = _report("store", f"at {stored.at.sequence}, model {model}", findings)
        if sample:
            wrong += await _check_encoding(args, model, stored, store)
        for path in sorted((data_dir / "index").glob("[0-9]*")):
            wrong += await _check_snapshot(path, stored, store)
        if url is not None:
            wrong += await _check_served(url, api_key(), stored, store)
    print("no differences" if wrong == 0 else f"{wrong} differences")
    return 1 if wrong else 0


async def _check_encoding(
    args: argparse.Namespace, model: str, stored: Stored, store: ArchivedStore
) -> int:
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
        features = reader.as_stored(profile, record.tower_vectors)
        return encoder.encode([features])[0] if features.usable else None

    findings = Findings()
    await check_encoding(store, stored, args.reencode_sample, encode, findings)
    return _report("encoded", f"again by {model}", findings)


async def _check_snapshot(path: Path, stored: Stored, store: ArchivedStore) -> int:
    from service.index.faiss.index import FaissIndex  # FAISS, which the other parts need not

    findings = Findings()
    try:
        source = ChecksummedFolder(path)
        about = source.about
        mark = str(about.get("mark", ""))
        place = Position(str(about["epoch"]), int(about["sequence"]), mark)
        index = FaissIndex(int(about["dim"]), int(about["content_dim"]))
        await asyncio.to_thread(index.load, source)
    except (Broken, KeyError, TypeError, ValueError) as error:
        findings.add("*", f"can't be read, and will not be used: {error}")
        return _report("snapshot", str(path), findings)
    unused = await check_snapshot(index, place, stored, store, findings)
    if unused is not None:
        print(f"{'snapshot':9} {path}: will not be used: {unused}")
        return 0
    return _report("snapshot", f"at {place.sequence}, {path}", findings)


async def _check_served(url: str, key: str | None, stored: Stored, store: ArchivedStore) -> int:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    findings = Findings()
    try:
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
            rows = await _caught_up(client, stored.at.sequence)
            held = await _served(client)
    except httpx.HTTPError as error:
        raise _NotChecked(
            f"{url} can't be asked ({str(error) or type(error).__name__}): give the address of a "
            "running service by --url"
        ) from error
    try:
        changed = await store.changed_since(stored.at.sequence)
    except LogGap as gap:
        raise _NotChecked(
            f"too much was written meanwhile to compare ({gap}): try again when less is written"
        ) from gap
    compare(stored, held, findings, changed)
    if not changed and rows != findings.vectors:
        findings.add("*", f"{rows} vectors can be found, {findings.vectors} are somebody's")
    return _report("served", url, findings)


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
        if answer.status_code == 401:
            raise _NotChecked(f"{client.base_url} needs an API key: set STREAMER_API_KEY")
        if answer.status_code == 403:
            raise _NotChecked(
                f"{client.base_url} wants a key with the scope admin: set STREAMER_API_KEY to one"
            )
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if line:
                row = json.loads(line)
                held[row["streamer_id"]] = row["version"], row["digest"]
    return held


def _report(part: str, what: str, findings: Findings) -> int:
    """One line, and one for each of the first differences; how many there are."""
    said = f"{findings.count} differences" if findings.count else "no differences"
    print(
        f"{part:9} {what}: {findings.streamers} streamers, {findings.vectors} with a vector: {said}"
    )
    for streamer_id, wrong in findings.shown:
        print(f"          {streamer_id} {wrong}")
    if findings.count > len(findings.shown):
        print(f"          ... and {findings.count - len(findings.shown)} more")
    return findings.count
