"""A data folder full of made-up streamers, imported with their vectors: its size counts."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from model_export.contract.pieces import MODALITIES
from tests.benchmarks.clustered import clustered
from tests.support.api import NDJSON
from tests.support.bundles import DIM, ID_DIM, write_bundle
from tests.support.service import Service

CONTENT_DIM = 256
_IN_ONE_IMPORT = 25_000
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


def prepared(folder: Path, rows: int, titles: int = 0) -> tuple[Path, Path]:
    """A bundle and a data folder with so many streamers, kept in `folder` for the next time.

    With `titles`, each has a bio and so many videos with a title.
    """
    bundle = folder / "bundle"
    data = folder / (f"data-{rows}-{titles}" if titles else f"data-{rows}")
    if not bundle.exists():
        write_bundle(bundle, content_dim=CONTENT_DIM)
    if not (data / _DONE).exists():
        data.mkdir(parents=True)
        begin = time.perf_counter()
        with Service(bundle, data, STREAMER_DUPLICATES__EVALUATE="false") as service:
            service.wait_until_ready()
            manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
            _fill(service, manifest, mapped_vectors(folder, rows), titles)
        (data / _DONE).touch()
        print(f"{rows:,} streamers stored in {time.perf_counter() - begin:,.0f} s", flush=True)
    return bundle, data


def _fill(
    service: Service, manifest: dict[str, Any], vectors: NDArray[np.float32], titles: int
) -> None:
    about = {
        "format": 1,
        "model_version": manifest["model_version"],
        "features_fingerprint": manifest["features_fingerprint"],
        "dim": DIM,
        "content_dim": CONTENT_DIM,
        "id_dim": ID_DIM,
        "part": "1/1",
        "input_sha256": "",
    }
    header = json.dumps({"similar_streamer": about}, separators=(",", ":")) + "\n"
    rng = np.random.default_rng(1)
    for start in range(0, len(vectors), _IN_ONE_IMPORT):
        part = vectors[start : start + _IN_ONE_IMPORT]
        body = header + "".join(_lines(rng, start, part, titles))
        path = "/v1/jobs/imports?encoded=true"
        job = service.api.ok("POST", path, status=202, content=body.encode(), headers=NDJSON)
        done = service.api.finished(job)["result"]
        assert done["created"] == len(part), done


def _lines(
    rng: np.random.Generator, start: int, part: NDArray[np.float32], titles: int
) -> Iterator[str]:
    contents = rng.standard_normal((len(part), CONTENT_DIM), dtype=np.float32)
    contents /= np.linalg.norm(contents, axis=1, keepdims=True)
    tags = rng.zipf(1.3, (len(part), 5)) % 3000
    for i, (embedding, content, labels) in enumerate(
        zip(part, contents, tags.tolist(), strict=True)
    ):
        place = start + i
        profile = _profile(place, labels, _texts(rng, titles))
        row = {
            "streamer_id": name_of(place),
            "profile": json.dumps(profile),
            "embedding": base64.b64encode(embedding.astype("<f4").tobytes()).decode(),
            "content": base64.b64encode(content.astype("<f2").tobytes()).decode(),
            "id_embedding": base64.b64encode(embedding[:ID_DIM].astype("<f4").tobytes()).decode(),
            "modalities": json.dumps(dict.fromkeys(MODALITIES, "used")),
            "coverage": 0.5,
        }
        yield json.dumps(row) + "\n"


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


def _profile(place: int, tags: list[int], texts: dict[str, object]) -> dict[str, object]:
    return {
        "streamer_id": name_of(place),
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
        **texts,
    }
