"""An embedded store full of made-up streamers, written past the encoder: its size counts."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from service.store.base import Record, Upsert
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.packing.repacking import Repacking
from service.store.redis.store import RedisStore
from tests.benchmarks.clustered import clustered
from tests.support.bundles import DIM, write_bundle

CONTENT_DIM = 256
_AT_ONCE, _UNDER_WAY, _COMPACTED = 250, 4, 50_000
_LANGUAGES = ("zh", "en", "ja", "ko", "es", "pt", "fr", "de")
_DONE = "complete"
_WORDS = np.cumsum(1 / np.arange(3, 20_003))
_WORDS /= _WORDS[-1]


def name_of(place: int) -> str:
    """The id of the streamer with the vector of this place."""
    return f"streamer-{place}"


def vectors_of(rows: int) -> NDArray[np.float32]:
    """All vectors (rows, D), in no order."""
    made = clustered(rows, DIM)
    return made[np.random.default_rng(9).permutation(rows)]


def mapped_vectors(folder: Path, rows: int) -> NDArray[np.float32]:
    """Those vectors in a file in `folder`, of which memory holds what is read."""
    path = folder / f"vectors-{rows}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path, vectors_of(rows))
    return cast(NDArray[np.float32], np.load(path, mmap_mode="r"))


def prepared(
    folder: Path, rows: int, titles: int = 0, *, compacted: bool = False
) -> tuple[Path, Path]:
    """A bundle and a data folder with so many streamers, kept in `folder` for the next time.

    With `titles`, each has a bio and so many videos with a title. `compacted` has the first
    50,000 compacted, by which all others are packed as they are written.
    """
    bundle = folder / "bundle"
    kind = (f"-{titles}" if titles else "") + ("-compacted" if compacted else "")
    data = folder / f"data-{rows}{kind}"
    if not bundle.exists():
        write_bundle(bundle, content_dim=CONTENT_DIM)
    if not (data / _DONE).exists():
        data.mkdir(parents=True)
        begin = time.perf_counter()
        asyncio.run(_fill(data, mapped_vectors(folder, rows), titles, compacted))
        (data / _DONE).touch()
        print(f"{rows:,} streamers stored in {time.perf_counter() - begin:,.0f} s", flush=True)
    return bundle, data


async def _fill(data: Path, vectors: NDArray[np.float32], titles: int, compacted: bool) -> None:
    embedded = EmbeddedStore(data / "store")
    await embedded.start()
    try:
        store = await RedisStore(embedded.url).open()
        await store.set_model_version("test-0")
        parts = _parts(vectors, titles)

        async def write(parts: Iterator[Sequence[Record]]) -> None:
            for part in parts:
                await store.write([Upsert(record) for record in part])

        if compacted:
            await write(islice(parts, _COMPACTED // _AT_ONCE))
            await Repacking(store).run()
        await asyncio.gather(*(write(parts) for _ in range(_UNDER_WAY)))
        await store.close()
    finally:
        await embedded.stop()


def _parts(vectors: NDArray[np.float32], titles: int) -> Iterator[Sequence[Record]]:
    rng = np.random.default_rng(1)
    for start in range(0, len(vectors), _AT_ONCE):
        part = vectors[start : start + _AT_ONCE]
        contents = rng.standard_normal((len(part), CONTENT_DIM), dtype=np.float32)
        contents /= np.linalg.norm(contents, axis=1, keepdims=True)
        tags = rng.zipf(1.3, (len(part), 5)) % 3000
        yield [
            _record(start + i, embedding, content, labels, _texts(rng, titles))
            for i, (embedding, content, labels) in enumerate(
                zip(part, contents, tags.tolist(), strict=True)
            )
        ]


def _texts(rng: np.random.Generator, titles: int) -> dict[str, object]:
    """A bio of twenty words and titles of eight, as often as words are by Zipf's law."""
    if not titles:
        return {}
    drawn = np.searchsorted(_WORDS, rng.random(20 + 8 * titles))
    words = [f"word{word}" for word in drawn.tolist()]
    return {
        "bio": " ".join(words[:20]),
        "videos": [
            {"video_id": f"v{i}", "title": " ".join(words[20 + 8 * i : 28 + 8 * i])}
            for i in range(titles)
        ],
    }


def _record(
    place: int,
    embedding: NDArray[np.float32],
    content: NDArray[np.float32],
    tags: list[int],
    texts: dict[str, object],
) -> Record:
    shown = {
        "name": f"The channel of {place}",
        "language": _LANGUAGES[place % len(_LANGUAGES)],
        "category": f"category {place % 97}",
        "tags": sorted({f"some tag {tag}" for tag in tags}),
        "attributes": {
            "followers": (place * 7919) % 1_000_003,
            "hours": round(place % 1013 / 7, 2),
            "partner": place % 3 == 0,
            "hundredth": place % 100,
        },
    }
    profile = {"streamer_id": name_of(place), **shown, **texts}
    return Record(
        streamer_id=name_of(place),
        version=0,
        embedding=embedding.astype("<f4").tobytes(),
        content=content.astype("<f2").tobytes(),
        facets=json.dumps({**shown, "modalities_used": 2 + place % 4}).encode(),
        profile=json.dumps(profile).encode(),
        digest=f"{place:064x}",
        model_version="test-0",
        status="indexed",
        modalities=b'{"name":"used","tags":"used"}',
        id_embedding=b"",
        updated_at=1_700_000_000.0,
    )
