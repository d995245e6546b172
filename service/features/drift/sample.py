"""Two samples of stored streamers: those written of late, and those that were not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model_export.contract.bundle import Bundle, Manifest
from model_export.contract.features import Features
from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.profile_reader import Reader
from service.errors import ServiceError
from service.store.base import Record, StreamerStore

FEWEST = 50
"""Streamers of a window below which nothing is compared."""
MOST = 20_000
"""Streamers of each window that can be drawn."""
_PAGE = 1000
LOOK_FACTOR = 50
"""So many times the size of a sample is looked at for streamers of both windows."""


class TooFewStreamers(ServiceError):
    """A window has too few streamers to be compared."""


@dataclass(frozen=True, eq=False)
class Sample:
    """N streamers of two windows.

    Attributes:
        ids: of the streamers.
        is_late: bool (N,), whether a streamer was written of late.
        features: N.
        embedding: float32 (N, D); 0 without usable content.
        usable: bool (N,), whether a streamer has a vector.
        known_tokens: token ids up to this one are known to the model; 0 is padding.
    """

    ids: Sequence[str]
    is_late: NDArray[np.bool_]
    features: Sequence[Features]
    embedding: NDArray[np.float32]
    usable: NDArray[np.bool_]
    known_tokens: int


@dataclass(eq=False)
class _Window:
    ids: list[str] = field(default_factory=list[str])
    features: list[Features] = field(default_factory=list[Features])
    embedding: list[bytes] = field(default_factory=list[bytes])


async def draw(
    store: StreamerStore,
    bundle: Bundle,
    manifest: Manifest,
    since: float,
    size: int,
    seed: int,
    tell: Callable[[int, int], None] = lambda _done, _all: None,
) -> Sample:
    """Draw up to `size` streamers of each window, at random.

    Args:
        store: of the streamers.
        bundle: of the model that encoded them.
        manifest: of that model, at the width that is served.
        since: seconds since 1970; those written from then on are late.
        size: of each window, at most `MOST`.
        seed: of the draw.
        tell: is called with how many were found, and how many are wanted.

    Raises:
        TooFewStreamers: a window has fewer than `FEWEST`.
        StoreUnavailable: the store does not answer.
    """
    reader = Reader(bundle.featurizer, manifest.towers)
    windows = {False: _Window(), True: _Window()}
    of_model = 0
    drawn, stored = await _drawn_ids(store, LOOK_FACTOR * size, seed)
    for part in await store.chunks(drawn):
        for record in await store.get(part):
            if record is None or record.model_version != manifest.model_version:
                continue
            of_model += 1
            window = windows[record.updated_at >= since]
            if len(window.ids) < size:
                window.ids.append(record.streamer_id)
                window.features.append(_features(reader, record))
                window.embedding.append(record.embedding)
        tell(sum(len(window.ids) for window in windows.values()), 2 * size)
        if all(len(window.ids) == size for window in windows.values()):
            break
    for is_late, window in windows.items():
        if len(window.ids) < FEWEST:
            when = "from then on" if is_late else "before"
            remedies = [
                f"a larger --sample (it looks at {LOOK_FACTOR} times as many)"
                if len(drawn) < stored and size < MOST
                else "",
                "another time by --days" if of_model >= 2 * FEWEST else "",
            ]
            choose = " or ".join(filter(None, remedies))
            raise TooFewStreamers(
                f"only {len(window.ids)} of {len(drawn)} streamers that were looked at, of "
                f"{stored} in all, are of model {manifest.model_version} and were last written "
                f"{when}, {FEWEST} are needed" + (f": choose {choose}" if choose else "")
            )
    both = [windows[False], windows[True]]
    vectors = [found for window in both for found in window.embedding]
    embedding = np.zeros((len(vectors), manifest.dim), np.float32)
    for row, found in enumerate(vectors):
        if found:
            embedding[row] = np.frombuffer(found, "<f4")
    return Sample(
        ids=[i for window in both for i in window.ids],
        is_late=np.repeat([False, True], [len(window.ids) for window in both]),
        features=[f for window in both for f in window.features],
        embedding=embedding,
        usable=np.array([bool(found) for found in vectors], np.bool_),
        known_tokens=len(bundle.featurizer.vocabulary.tokens),
    )


async def _drawn_ids(store: StreamerStore, most: int, seed: int) -> tuple[list[str], int]:
    """Ids in random order, at most so many, and how many there are in all.

    A reservoir over all of them (Vitter 1985).
    """
    rng = np.random.default_rng(seed)
    kept: list[str] = []
    seen, after = 0, ""
    while page := await store.list_ids(after, _PAGE):
        for streamer_id in page:
            seen += 1
            if len(kept) < most:
                kept.append(streamer_id)
            elif (place := int(rng.integers(seen))) < most:
                kept[place] = streamer_id
        after = page[-1]
    return [kept[i] for i in rng.permutation(len(kept)).tolist()], seen


def _features(reader: Reader, record: Record) -> Features:
    profile = StreamerProfile.model_validate_json(record.profile)
    return reader.as_stored(pieces_of(profile), record.tower_vectors)
