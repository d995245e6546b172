"""Whether two profiles are the same, with the evidence of each channel."""

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import VERDICTS, Verdict
from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.encoding.profile_reader import Fingerprint, Thumbnail, ToRead
from service.engine.evidence.engine import Evidence
from service.engine.evidence.media_copies import pictures_of, sounds_of
from service.engine.evidence.waterfall import ChannelEvidence, Shows, media_counts, waterfall
from service.engine.work.lanes import Lanes
from service.errors import FieldError, InvalidRequest, StreamerNotFound
from service.store.base import Record, StreamerStore


@dataclass(frozen=True)
class Compared:
    """Two profiles, compared.

    Attributes:
        verdict: what the two are to each other.
        probability: that they are the same.
        weight: match weight in bits, the sum of the weights of the channels.
        threshold: match weight from which two are the same.
        channels: the waterfall.
        warnings: why the answer may be less than it could be.
    """

    verdict: Verdict
    probability: float
    weight: float
    threshold: float
    channels: Sequence[ChannelEvidence]
    warnings: Sequence[str]


@dataclass(frozen=True, eq=False)
class _Side:
    """A side of the request, read and encoded."""

    profile: StreamerProfile
    embedding: NDArray[np.float32] | None
    thumbnails: dict[str, Thumbnail]
    fingerprints: dict[str, Fingerprint]
    warning: str | None = None


class Compare:
    """The use-case behind `POST /v1/compare`."""

    def __init__(
        self, store: StreamerStore, pipeline: EncodingPipeline, evidence: Evidence, lanes: Lanes
    ) -> None:
        """Compare what `store` holds and what `pipeline` encodes by `evidence`, in `lanes`."""
        self._store = store
        self._pipeline = pipeline
        self._evidence = evidence
        self._lanes = lanes
        self.model_version = pipeline.model_version

    async def compare(
        self,
        a: str | StreamerProfile,
        b: str | StreamerProfile,
        without: Collection[str] = (),
    ) -> Compared:
        """Compare two sides, each the id of a stored streamer or a profile.

        Stored streamers are read from the store itself, so that no write is missed.

        Args:
            a: one side; fields of errors are below `/a`.
            b: the other; likewise.
            without: channels that are left out.

        Raises:
            StreamerNotFound: an id is not stored.
            InvalidRequest: both sides are one streamer, or the model can't read a profile.
            Unavailable: the store or the encoder can't answer at the moment.
        """
        if isinstance(a, str) and a == b:
            raise InvalidRequest.of("/b/streamer_id", f"streamer {a!r} is already at /a: give two")
        stored = await self._stored({"/a": a, "/b": b})
        one = stored["/a"] if isinstance(a, str) else await self._read(a, "/a")
        other = stored["/b"] if isinstance(b, str) else await self._read(b, "/b")
        return await self._lanes.run_in_slices(self._compared(one, other, without))

    async def _stored(self, given: dict[str, str | StreamerProfile]) -> dict[str, _Side]:
        ids = {pointer: each for pointer, each in given.items() if isinstance(each, str)}
        records = await self._store.get(list(ids.values())) if ids else []
        missing = [
            FieldError(f"{pointer}/streamer_id", f"streamer {name!r} is not stored")
            for (pointer, name), record in zip(ids.items(), records, strict=True)
            if record is None
        ]
        if missing:
            raise StreamerNotFound("; ".join(error.detail for error in missing), missing)

        def read() -> Generator[None, None, dict[str, _Side]]:
            found: dict[str, _Side] = {}
            for pointer, record in zip(ids, records, strict=True):
                if record is not None:
                    found[pointer] = self._of(record)
                yield
            return found

        return await self._lanes.run_in_slices(read()) if ids else {}

    def _of(self, record: Record) -> _Side:
        shown = self._pipeline.shown(record)
        profile = StreamerProfile.model_validate_json(record.profile)
        if shown is None:
            why = (
                f"streamer {record.streamer_id!r} was encoded by {record.model_version}: its "
                "embedding, pictures and sounds are not compared"
            )
            return _Side(profile, None, {}, {}, why)
        embedding = np.frombuffer(record.embedding, "<f4").astype(np.float32)
        return _Side(
            profile,
            embedding if len(embedding) else None,
            dict(shown.thumbnails),
            dict(shown.fingerprints),
        )

    async def _read(self, profile: StreamerProfile, pointer: str) -> _Side:
        item = await self._pipeline.encode(ToRead(profile, f"{pointer}/profile"))
        return _Side(
            profile,
            None if item.encoded is None else item.encoded.embedding,
            dict(self._pipeline.thumbnails(item)),
            dict(self._pipeline.fingerprints(item)),
        )

    def _compared(
        self, a: _Side, b: _Side, without: Collection[str]
    ) -> Generator[None, None, Compared]:
        shows: list[Shows] = []
        for side in (a, b):
            pictures, sounds = pictures_of(side.thumbnails), sounds_of(side.fingerprints)
            shows.append(Shows.of(self._evidence, side.profile, pictures, sounds))
            yield
        counts = media_counts(*shows)
        yield
        sides = [self._evidence.side(side.profile, side.embedding) for side in (a, b)]
        compared = yield from self._evidence.compare(
            sides,
            np.array([0]),
            np.array([1]),
            {kind: np.array([count]) for kind, count in counts.items()},
            without,
        )
        channels = waterfall(compared, *shows)
        matches = compared.matches
        warnings = [w for w in (self._evidence.warning, a.warning, b.warning) if w is not None]
        return Compared(
            VERDICTS[int(matches.verdicts[0])],
            float(matches.probabilities[0]),
            float(matches.weights[0]),
            self._evidence.matcher.parameters.threshold,
            channels,
            warnings,
        )
