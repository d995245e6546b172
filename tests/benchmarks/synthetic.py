"""A synthetic data set of very many streamers, written fast: what counts is its size."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

INTERACTIONS = 10
"""Per streamer."""
_TOPICS = 400
_NICHE = 40
"""Streamers whose audiences overlap."""
_CHUNK = 20_000
COVER_WIDTH = 32
_SYLLABLES = [a + b for a in "bdfgklmnprst" for b in "aeiou"]


class _Words:
    """200,000 words of three scripts, frequent ones for all and some for each topic."""

    def __init__(self, rng: np.random.Generator) -> None:
        syllables = rng.choice(_SYLLABLES, (200_000, 3))
        self._words = [
            "".join(each) if i % 5 < 3 else "".join(chr(0x4E00 + hash_ % 3000) for hash_ in number)
            for i, (each, number) in enumerate(
                zip(
                    syllables.tolist(), rng.integers(0, 1 << 30, (200_000, 2)).tolist(), strict=True
                )
            )
        ]
        self._rng = rng

    def texts(self, topic: NDArray[np.int64], length: int) -> list[str]:
        """One text per topic given, half of its words are the topic's."""
        shape, rng = (len(topic), length), self._rng
        common = rng.zipf(1.2, shape) % len(self._words)
        own = (topic[:, None] * 500 + rng.zipf(1.5, shape) % 500) % len(self._words)
        chosen = np.where(rng.random(shape) < 0.5, own, common).tolist()
        return [" ".join([self._words[i] for i in row]) for row in chosen]


def write(folder: Path, streamers: int, row_group: int = 1 << 20) -> None:
    """Write `streamers.parquet` and `interactions.parquet`, the same for the same arguments.

    Args:
        folder: made if it is not there.
        streamers: how many.
        row_group: rows of a row group; one group for all is the hardest to read in little memory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(streamers)
    niche, topic = niches_and_topics(streamers, rng)
    chunks = list(_chunks(topic, rng))
    pq.write_table(pa.concat_tables(chunks), folder / "streamers.parquet", row_group_size=row_group)
    watched, user = interactions(niche, topic, rng)
    columns = {
        "user_id": pa.array(user).cast(pa.string()),
        "streamer_id": pa.array(watched).cast(pa.string()),
        "weight": np.ones(len(user)),
    }
    pq.write_table(pa.table(columns), folder / "interactions.parquet")


def niches_and_topics(
    streamers: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Niche and topic of each streamer (N,)."""
    niche = rng.integers(0, max(streamers // _NICHE, 1), streamers)
    return niche, niche % _TOPICS


def interactions(
    niche: NDArray[np.int64], topic: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Streamer and user of each interaction.

    Streamers differ in popularity. Of two users per streamer, those of a niche watch it, some more
    than others; the rest of an audience are users of the topic, and a few who watch anybody.
    """
    streamers, users = len(niche), 2 * len(niche)
    popularity = np.cumsum(rng.lognormal(0, 0.7, streamers))
    count = INTERACTIONS * streamers
    watched = np.searchsorted(popularity, rng.random(count) * popularity[-1])
    share, niches, topics = rng.random(count), int(niche.max()) + 1, int(topic.max()) + 1
    per_niche, per_topic = users // niches, users // topics
    fans = niche[watched] + niches * (per_niche * rng.random(count) ** 2).astype(np.int64)
    of_topic = topic[watched] + topics * rng.integers(0, per_topic, count)
    busy = rng.zipf(1.3, count) % max(users // 1000, 1)
    return watched, np.where(share < 0.8, fans, np.where(share < 0.96, of_topic, busy))


def _chunks(topic: NDArray[np.int64], rng: np.random.Generator) -> Iterator[pa.Table]:
    words = _Words(rng)
    centres = rng.standard_normal((_TOPICS, COVER_WIDTH))
    for start in range(0, len(topic), _CHUNK):
        part = topic[start : start + _CHUNK]
        ids = [str(start + i) for i in range(len(part))]
        tags = np.repeat(part, per_streamer := rng.integers(0, 6, len(part)))
        videos = np.repeat(part, videos_each := rng.integers(0, 6, len(part)))
        shown = rng.random(len(videos)) < 0.3
        vectors = (centres[videos] + rng.standard_normal((len(videos), COVER_WIDTH))).round(3)
        cover = pa.StructArray.from_arrays(
            [
                pa.FixedSizeListArray.from_arrays(vectors.ravel(), COVER_WIDTH).cast(
                    pa.list_(pa.float64())
                ),
                pa.array(["cover"] * len(videos)),
            ],
            ["vector", "space"],
            mask=pa.array(~shown),
        )
        video = pa.StructArray.from_arrays(
            [
                pa.array([f"v{i}" for i in range(len(videos))]),
                pa.array(words.texts(videos, 8)),
                _lists(np.full(len(videos), 1), words.texts(videos, 1)),
                cover,
            ],
            ["video_id", "title", "tags", "cover"],
        )
        yield pa.table(
            {
                "streamer_id": ids,
                # A word of one's own, as real names have: more words than can be counted.
                "name": [f"{text} x{i}" for text, i in zip(words.texts(part, 1), ids, strict=True)],
                "bio": [f"{text} y{i}" for text, i in zip(words.texts(part, 25), ids, strict=True)],
                "category": [f"category {t % 40}" for t in part.tolist()],
                "language": ["en"] * len(part),
                "tags": _lists(per_streamer, words.texts(tags, 1)),
                "videos": _lists(videos_each, video),
            }
        )


def _lists(lengths: NDArray[np.int64], values: list[str] | pa.Array) -> pa.ListArray:
    """The values in lists of these lengths."""
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(ends, pa.array(values) if isinstance(values, list) else values)
