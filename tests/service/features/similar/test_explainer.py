"""Explanations: what is encoded for them, in which parts, and what happens meanwhile."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from model_export.contract.bundle import Bundle
from model_export.contract.features import Features, Featurizer
from model_export.contract.pieces import Piece
from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.onnx_encoder import Encoded, OnnxEncoder
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.encoding.profile_reader import Reader
from service.engine.encoding.stored_profiles import StoredProfiles
from service.engine.evidence.audience import SharedAudience
from service.engine.evidence.shared_content import SameContent, SharedContent
from service.engine.work.lanes import Lane, Lanes
from service.engine.work.turns import Turns
from service.errors import Overloaded
from service.features.similar.explain import Explainer, Side
from service.features.streamers.write_pipeline import WritePipeline
from service.settings import Work
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.store import RedisStore
from tests.bundles import TOPICS
from tests.service.store.records import until

WORDS = [word for words in TOPICS.values() for word in words.split()]


class Watched(Featurizer):
    """The real one; remembers in which threads it worked."""

    threads: set[int]

    def from_pieces(self, pieces: Sequence[Piece]) -> Features:
        self.threads.add(threading.get_ident())
        return super().from_pieces(pieces)


class Counted:
    """The real encoder; remembers what each call encoded, and how many ran at once.

    Attributes:
        together: calls wait until so many of them have run at once.
    """

    together = 1

    def __init__(self, bundle: Bundle) -> None:
        self._encoder = OnnxEncoder(bundle)
        self.calls: list[Sequence[Features]] = []
        self.most_running = self._running = 0

    async def one(self, features: Features) -> Encoded:
        return self._encoder.encode([features])[0]

    async def many(self, features: Sequence[Features], lane: Lane) -> list[Encoded]:
        assert lane is Lane.HEAVY
        self.calls.append(features)
        self._running += 1
        self.most_running = max(self.most_running, self._running)
        await until(lambda: self.most_running >= self.together)
        self._running -= 1
        return self._encoder.encode(features)


@dataclass(frozen=True, eq=False)
class Parts:
    """Everything real; `put` gives a stored streamer as an index knows it."""

    store: RedisStore
    writes: WritePipeline
    featurizer: Watched
    encoder: Counted
    lanes: Lanes
    explainer: Explainer

    async def put(self, streamer_id: str, **fields: object) -> Side:
        profile = StreamerProfile.model_validate({"streamer_id": streamer_id, **fields})
        written = await self.writes.put(profile, None)
        vectors = written.encoded
        assert vectors is not None
        return Side(streamer_id, vectors.embedding, vectors.content, {}, written.sequence)


@asynccontextmanager
async def running(bundle: Path, folder: Path) -> AsyncGenerator[Parts, None]:
    opened = Bundle(bundle)
    vocabulary = opened.featurizer.vocabulary
    featurizer, encoder = Watched(vocabulary), Counted(opened)
    featurizer.threads = set()
    lanes, turns = Lanes(Work()), Turns("explanations", at_once=2, max_queue=4, deadline_s=60)
    lanes.start()
    async with EmbeddedStore(folder / "store") as embedded:
        store = await RedisStore(embedded.url, trouble=embedded.trouble).open()
        try:
            version, reader = opened.manifest.model_version, Reader(featurizer)
            pipeline = EncodingPipeline(reader, encoder.one, encoder.many, version)
            stored = StoredProfiles(store, pipeline, lanes)
            writes = WritePipeline(store, pipeline, stored)
            content, audience = SharedContent(vocabulary), SharedAudience(None, {})
            explainer = Explainer(pipeline, stored, content, audience, lanes, turns)
            yield Parts(store, writes, featurizer, encoder, lanes, explainer)
        finally:
            lanes.stop()
            await store.close()


def shown(i: int) -> dict[str, object]:
    return {"bio": " ".join(WORDS[i % 7 : i % 7 + 5]), "tags": [WORDS[i % 31]], "language": "en"}


def test_each_part_of_a_profile_is_encoded_once_few_at_a_time(bundle: Path, tmp_path: Path) -> None:
    async def check() -> None:
        async with running(bundle, tmp_path) as parts:
            seed = await parts.put("seed", **shown(3), category="music")
            hits = [await parts.put(f"s{i}", **shown(i)) for i in range(50)]
            parts.featurizer.threads.clear()
            reasons = await parts.explainer.reasons([(seed, hit) for hit in hits])
            sizes = [len(call) for call in parts.encoder.calls]
            # Each of three modalities alone, but the language, and without; the seed has four.
            assert sum(sizes) == 50 * 5 + 7
            assert max(sizes) <= 64
            assert threading.get_ident() not in parts.featurizer.threads
            assert parts.featurizer.threads
            for why, hit in zip(reasons, hits, strict=True):
                assert why.similarity == pytest.approx(float(seed.embedding @ hit.embedding))
                assert why.contributions is not None
                assert list(why.contributions) == ["bio", "tags", "category", "language"]
                assert why.contributions["category"].hit == "absent"
                shares = [one.contribution or 0 for one in why.contributions.values()]
                assert sum(shares) == pytest.approx(why.similarity, abs=1e-6)
            parts.encoder.calls.clear()
            assert await parts.explainer.reasons([(seed, hit) for hit in hits]) == reasons
            assert parts.encoder.calls == []  # what was made of a version is kept
            changed = await parts.put("s7", bio="raid boss", language="en")
            await parts.explainer.reasons([(seed, changed)])
            assert sum(map(len, parts.encoder.calls)) == 2

    asyncio.run(check())


def test_two_seeds_are_encoded_for_the_hits_that_are_nearest_to_them(
    bundle: Path, tmp_path: Path
) -> None:
    async def check() -> None:
        async with running(bundle, tmp_path) as parts:
            a, b = await parts.put("a", **shown(1)), await parts.put("b", **shown(2), name="soup")
            near_a = await parts.put("near-a", bio="kitchen", tags=["soup"])
            near_b = await parts.put("near-b", name="raid boss", tags=["soup"])
            await parts.explainer.reasons([(a, near_a), (b, near_b)])
            assert sum(map(len, parts.encoder.calls)) == 5 + 7 + 4 + 4

    asyncio.run(check())


def test_who_was_changed_or_deleted_meanwhile_is_not_explained(
    bundle: Path, tmp_path: Path
) -> None:
    async def check() -> None:
        async with running(bundle, tmp_path) as parts:
            seed, same = await parts.put("seed", **shown(0)), await parts.put("same", **shown(1))
            changed = await parts.put("changed", **shown(2))
            deleted = await parts.put("deleted", **shown(2))
            await parts.put("changed", **shown(5))
            await parts.writes.delete("deleted", None)
            pairs = [(seed, same), (seed, changed), (seed, deleted), (changed, same)]
            found = await parts.explainer.reasons(pairs)
            assert found[0].contributions is not None
            assert found[0].unexplained_because is None
            for why, name in zip(found[1:], ("changed", "deleted", "changed"), strict=True):
                assert why.contributions is None
                assert why.unexplained_because is not None
                assert repr(name) in why.unexplained_because
                assert why.shared == {}
            encoder = parts.encoder
            other = EncodingPipeline(
                Reader(parts.featurizer), encoder.one, encoder.many, "another-model"
            )
            stored = StoredProfiles(parts.store, other, parts.lanes)
            turns = Turns("explanations", at_once=1, max_queue=1, deadline_s=60)
            content = SharedContent(parts.featurizer.vocabulary)
            audience = SharedAudience(None, {})
            explainer = Explainer(other, stored, content, audience, parts.lanes, turns)
            (why,) = await explainer.reasons([(seed, same)])
            assert why.contributions is None

    asyncio.run(check())


def test_a_vector_has_no_modalities(bundle: Path, tmp_path: Path) -> None:
    async def check() -> None:
        async with running(bundle, tmp_path) as parts:
            hit = await parts.put("hit", **shown(0))
            seed = Side("/positive/0", hit.embedding, None, {})
            (why,) = await parts.explainer.reasons([(seed, hit)])
            assert why.contributions is None
            assert why.content_similarity is None
            assert why.unexplained_because is not None
            assert "/positive/0 is a vector" in why.unexplained_because
            (topic,) = why.shared["topic"]
            assert isinstance(topic, SameContent)
            assert (topic.seed, topic.seed_quote) == ("", "")
            assert topic.hit in ("bio", "tags[0]")
            assert await parts.explainer.reasons([]) == []

    asyncio.run(check())


def test_few_answers_are_explained_at_once_and_what_is_too_much_is_refused(
    bundle: Path, tmp_path: Path
) -> None:
    async def check() -> None:
        async with running(bundle, tmp_path) as parts:
            seed, hit = await parts.put("seed", **shown(0)), await parts.put("hit", **shown(1))
            parts.encoder.together = 2
            found = await asyncio.gather(
                *(parts.explainer.reasons([(seed, hit)]) for _ in range(8)), return_exceptions=True
            )
            assert [type(one) for one in found] == [list] * 6 + [Overloaded] * 2
            answers = found[:6]
            assert len(parts.encoder.calls) == 2  # those that ran together; then it is kept
            assert parts.encoder.most_running == 2
            assert all(answer == answers[0] for answer in answers)

    asyncio.run(check())


def test_what_is_the_same_on_both_sides_contributes_and_what_differs_takes_away(
    bundle: Path, tmp_path: Path
) -> None:
    async def check() -> None:
        async with running(bundle, tmp_path) as parts:
            seed = await parts.put("seed", bio=TOPICS["music"], tags=["music"])
            alike = await parts.put("alike", bio=TOPICS["music"], tags=["cooking"])
            (why,) = await parts.explainer.reasons([(seed, alike)])
            assert why.contributions is not None
            bio, tags = why.contributions["bio"], why.contributions["tags"]
            assert bio.contribution is not None
            assert bio.contribution > 0.5
            assert tags.contribution == pytest.approx(why.similarity - bio.contribution)

    asyncio.run(check())
