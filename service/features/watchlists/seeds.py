"""Seeds of a request, as they are stored with a list; and stored ones, ready to be compared."""

import base64
import json
from collections.abc import AsyncIterator, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import Side
from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.encoding.profile_reader import ToRead
from service.engine.evidence.engine import Evidence
from service.engine.watchlists.content import content_of
from service.engine.watchlists.matcher import ListSeeds
from service.engine.work.lanes import Lane, Lanes
from service.errors import FieldError, InvalidRequest, ServiceError, StreamerNotFound
from service.features.watchlists.records import SEEDS_OF, Seeds, StoredSeed, Watchlist
from service.maxima import MOST_SEEDS
from service.store.base import Record, StreamerStore

MOST_BYTES = 4 << 20
"""Of the seeds of a list, as they are stored: they are read and written at once."""
_READ_AT_ONCE = 100
_ENCODED_AT_ONCE = 64
_UNNAMED = "seed"
"""In place of the id of a profile, which the schema needs and nothing compares."""


@dataclass(frozen=True, eq=False)
class Given:
    """A seed of a request: exactly one of the three.

    Attributes:
        streamer_id: of a stored streamer.
        profile: without an id of its own.
        case_id: of a case, whose confirmed members are seeds.
    """

    streamer_id: str | None = None
    profile: StreamerProfile | None = None
    case_id: str | None = None


class Judged(NamedTuple):
    """Streamers that people confirmed as members of a case, and that they cleared."""

    confirmed: Sequence[str]
    cleared: Sequence[str]


class CaseVerdicts(Protocol):
    """What people decided in cases."""

    async def judged(self, case_id: str) -> Judged:
        """Streamers that people confirmed, and those that they cleared, in a case.

        Raises:
            RequestError: there is no such case.
        """
        ...


@dataclass(frozen=True)
class _Named:
    """A stored streamer that is a seed, and where the request names it."""

    pointer: str
    streamer_id: str
    case_id: str = ""


class SeedReader:
    """Reads seeds, and makes stored ones ready."""

    def __init__(
        self,
        store: StreamerStore,
        pipeline: EncodingPipeline,
        evidence: Evidence,
        lanes: Lanes,
        cases: CaseVerdicts | None = None,
    ) -> None:
        """Read streamers of `store` and verdicts of `cases`, encode by `pipeline`, in `lanes`."""
        self._store = store
        self._pipeline = pipeline
        self._evidence = evidence
        self._lanes = lanes
        self._cases = cases
        self.model_version = pipeline.model_version

    async def read(
        self, version: int, positive: Sequence[Given], negative: Sequence[Given]
    ) -> Seeds:
        """Seeds as they are now; writes and deletes of the streamers don't change them later.

        Raises:
            StreamerNotFound: names every seed that is not stored.
            InvalidRequest: a seed comes twice, shows nothing, or they are too many or too large.
            RequestError: a case is not known.
            Unavailable: the store or the encoder can't answer at the moment.
        """
        wanted = [*_pointed("/positive", positive), *_pointed("/negative", negative)]
        named: list[_Named] = []
        left_out: dict[str, None] = {}
        cleared: dict[str, None] = {}
        for pointer, seed in wanted:
            judged = await self._judged(pointer, seed)
            some, gone = await self._named(pointer, seed, judged)
            named += some
            left_out |= dict.fromkeys(gone)
            if pointer.startswith("/positive"):
                cleared |= dict.fromkeys(judged.cleared)
        named = _without_repeated(named)
        records = await self._records(named)
        profiles = await self._encoded([(p, s.profile) for p, s in wanted if s.profile is not None])
        by_sign: dict[str, list[StoredSeed]] = {"/positive": [], "/negative": []}
        for pointer, seed in wanted:
            found = by_sign[pointer[: pointer.rindex("/")]]
            if seed.profile is not None:
                found.append(profiles[pointer])
                continue
            found += [
                self._stored(each, records[each.streamer_id])
                for each in named
                if each.pointer == pointer
            ]
        for sign, found in by_sign.items():
            if len(found) > MOST_SEEDS:
                detail = f"has {len(found)} seeds, with the members of cases; give {MOST_SEEDS}"
                raise InvalidRequest.of(sign, f"{detail} at most, in several lists")
        if not by_sign["/positive"]:
            raise InvalidRequest.of(
                "/positive", "has no seed: no confirmed member of the case is stored"
            )
        contents = await self._contents([name for name in cleared if name not in records])
        signs = by_sign["/positive"], by_sign["/negative"]
        seeds = Seeds(version, *signs, [*left_out], contents)
        size = await self._lanes.run(lambda: len(seeds.dump()))
        if size > MOST_BYTES:
            raise InvalidRequest(
                f"the seeds have {size} bytes as JSON, and may have {MOST_BYTES}: make several "
                "lists of fewer seeds"
            )
        await self._refuse_empty(named, wanted, seeds)
        return seeds

    async def of_version(self, version: int, stored: bytes) -> Seeds:
        """Stored seeds, as those of another version of their list."""

        def read() -> Seeds:
            return replace(SEEDS_OF.validate_json(stored), version=version)

        return await self._lanes.run(read)

    async def not_stored(self, seeds: Seeds) -> list[str]:
        """Streamers of whom the seeds keep something, and who are not stored."""
        both = (*seeds.positive, *seeds.negative)
        ids = [s.streamer_id for s in both if s.streamer_id and s.profile is not None]
        ids += seeds.cleared
        known = await self._store.digests(ids) if ids else []
        return [name for name, digest in zip(ids, known, strict=True) if digest is None]

    async def ready(self, list_id: str, known: Watchlist, seeds: Seeds) -> ListSeeds:
        """Seeds of a stored list; those of another model are encoded again."""
        exempt: dict[str, str] = {}
        positive = await self._sides(seeds.positive, exempt)
        negative = await self._sides(seeds.negative, exempt)
        seed_ids = [seed.streamer_id for seed in seeds.positive]
        exempt |= seeds.cleared
        return ListSeeds(
            list_id, seeds.version, positive, seed_ids, negative, exempt, known.min_probability
        )

    async def _sides(
        self, seeds: Sequence[StoredSeed], contents: dict[str, str] | None = None
    ) -> list[Side]:
        """Sides of seeds; adds the contents of those that are streamers to `contents`, by id."""
        seeds = [await self._of_this_model(seed) for seed in seeds]

        def made() -> Generator[None, None, list[Side]]:
            sides: list[Side] = []
            for seed in seeds:
                sides.append(self._side(seed, contents))
                yield
            return sides

        return await self._lanes.run_in_slices(made(), Lane.BULK)

    def _side(self, seed: StoredSeed, contents: dict[str, str] | None) -> Side:
        if seed.profile is None:
            return Side({})
        profile = StreamerProfile.model_validate(seed.profile)
        if contents is not None and seed.streamer_id:
            contents[seed.streamer_id] = content_of(profile)
        return self._evidence.side(profile, _vector(seed.embedding))

    async def _of_this_model(self, seed: StoredSeed) -> StoredSeed:
        if seed.profile is None or seed.model_version == self.model_version:
            return seed
        profile = StreamerProfile.model_validate(seed.profile)
        (item,) = await self._pipeline.encode_many([ToRead(profile)])
        if isinstance(item, ServiceError):  # such as a picture that is no longer at its address
            return replace(seed, embedding="")
        return replace(seed, embedding=_text(item.encoded and item.encoded.embedding))

    async def _judged(self, pointer: str, seed: Given) -> Judged:
        """Verdicts of the case that a seed is; none of another one."""
        if seed.case_id is None:
            return Judged((), ())
        if self._cases is None:
            raise InvalidRequest.of(f"{pointer}/case_id", "this service has no cases: give ids")
        return await self._cases.judged(seed.case_id)

    async def _named(
        self, pointer: str, seed: Given, judged: Judged
    ) -> tuple[list[_Named], list[str]]:
        """Stored streamers that a seed names, and members of a case who are not stored."""
        if seed.streamer_id is not None:
            return [_Named(pointer, seed.streamer_id)], []
        if seed.case_id is None:
            return [], []
        members = judged.confirmed
        known = await self._store.digests(members) if members else []
        stored = [m for m, digest in zip(members, known, strict=True) if digest is not None]
        gone = [m for m, digest in zip(members, known, strict=True) if digest is None]
        return [_Named(pointer, member, seed.case_id) for member in stored], gone

    async def _parts(self, ids: Sequence[str]) -> AsyncIterator[list[Record]]:
        """Those of some streamers that are stored."""
        for start in range(0, len(ids), _READ_AT_ONCE):
            for part in await self._store.chunks(ids[start : start + _READ_AT_ONCE]):
                yield [each for each in await self._store.get(part) if each is not None]

    async def _contents(self, ids: Sequence[str]) -> dict[str, str]:
        """Contents of those of some streamers that are stored."""
        found: dict[str, str] = {}
        async for records in self._parts(ids):
            read = (
                (each.streamer_id, StreamerProfile.model_validate_json(each.profile))
                for each in records
            )
            found |= await self._lanes.run_in_slices(_contents_of(read), Lane.BULK)
        return found

    async def _records(self, named: Sequence[_Named]) -> dict[str, Record]:
        found: dict[str, Record] = {}
        async for records in self._parts([each.streamer_id for each in named]):
            found |= {record.streamer_id: record for record in records}
        missing = [
            FieldError(
                f"{each.pointer}/streamer_id", f"streamer {each.streamer_id!r} is not stored"
            )
            for each in named
            if each.streamer_id not in found
        ]
        if missing:
            raise StreamerNotFound("; ".join(e.detail for e in missing[:5]), missing)
        return found

    def _stored(self, named: _Named, record: Record) -> StoredSeed:
        embedding = base64.b64encode(record.embedding).decode()
        return StoredSeed(
            named.streamer_id,
            named.case_id,
            json.loads(record.profile),
            embedding,
            record.model_version,
        )

    async def _encoded(self, given: Sequence[tuple[str, StreamerProfile]]) -> dict[str, StoredSeed]:
        """Profiles as seeds, by their pointers; those that are encoded together share the work."""
        found: dict[str, StoredSeed] = {}
        for start in range(0, len(given), _ENCODED_AT_ONCE):
            some = given[start : start + _ENCODED_AT_ONCE]
            to_read = [ToRead(profile, f"{pointer}/profile") for pointer, profile in some]
            items = await self._pipeline.encode_many(to_read)
            for (pointer, profile), item in zip(some, items, strict=True):
                if isinstance(item, ServiceError):
                    raise item
                embedding = _text(item.encoded and item.encoded.embedding)
                shown = {**profile.dump(), "streamer_id": _UNNAMED}
                found[pointer] = StoredSeed("", "", shown, embedding, self.model_version)
        return found

    async def _refuse_empty(
        self, named: Sequence[_Named], wanted: Sequence[tuple[str, Given]], seeds: Seeds
    ) -> None:
        """Refuse seeds that show nothing: they would match nobody, silently."""
        shown = [*await self._sides(seeds.positive), *await self._sides(seeds.negative)]
        stored = [*seeds.positive, *seeds.negative]
        pointers = {each.streamer_id: each.pointer for each in named}
        profiles = iter([pointer for pointer, seed in wanted if seed.profile is not None])
        for seed, side in zip(stored, shown, strict=True):
            pointer = pointers[seed.streamer_id] if seed.streamer_id else next(profiles)
            if not side.keys and not side.vectors and side.embedding is None:
                raise InvalidRequest.of(
                    pointer,
                    "shows nothing that can be compared: nobody would match it; leave it out",
                )


def _contents_of(
    profiles: Iterable[tuple[str, StreamerProfile]],
) -> Generator[None, None, dict[str, str]]:
    found: dict[str, str] = {}
    for streamer_id, profile in profiles:
        found[streamer_id] = content_of(profile)
        yield
    return found


def _pointed(sign: str, given: Sequence[Given]) -> list[tuple[str, Given]]:
    return [(f"{sign}/{place}", seed) for place, seed in enumerate(given)]


def _without_repeated(named: Sequence[_Named]) -> list[_Named]:
    """Each streamer once: members of cases may be seeds already, of the same sign.

    Raises:
        InvalidRequest: an id comes twice, or is wanted and unwanted.
    """
    first: dict[str, str] = {}
    kept: list[_Named] = []
    for each in sorted(named, key=lambda each: bool(each.case_id)):
        before = first.setdefault(each.streamer_id, each.pointer)
        if before == each.pointer:
            kept.append(each)
        elif not each.case_id or before.split("/")[1] != each.pointer.split("/")[1]:
            raise InvalidRequest.of(
                each.pointer,
                f"streamer {each.streamer_id!r} is a seed at {before} already: leave one out",
            )
    return kept


def _vector(text: str) -> NDArray[np.float32] | None:
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32) if text else None


def _text(embedding: NDArray[np.float32] | None) -> str:
    return "" if embedding is None else base64.b64encode(embedding.astype("<f4").tobytes()).decode()
