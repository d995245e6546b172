"""A long list leaves the encoder to others in between."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from model_export.contract.bundle import Bundle
from model_export.contract.features import Features
from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.onnx_encoder import Encoded, OnnxEncoder
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.encoding.profile_reader import Reader
from service.engine.encoding.stored_profiles import StoredProfiles
from service.engine.evidence.engine import Evidence
from service.engine.evidence.stored_sides import StoredSides
from service.engine.replica.follower import Follower
from service.engine.replica.snapshots import Model
from service.engine.scoring.precision import Precision
from service.engine.work.lanes import Lane, Lanes
from service.engine.work.turns import Turns
from service.features.dedup.answers import DedupAnswer
from service.features.dedup.service import Dedup
from service.index.faiss.index import FaissIndex
from service.settings import Work
from service.store.redis.store import RedisStore


def test_profiles_are_encoded_in_small_parts(bundle: Path) -> None:
    model = Bundle(bundle)
    encoder, manifest = OnnxEncoder(model), model.manifest
    sizes: list[int] = []

    async def encode_one(features: Features) -> Encoded:
        return encoder.encode([features])[0]

    async def encode_many(features: Sequence[Features], lane: Lane) -> list[Encoded]:
        sizes.append(len(features))
        return encoder.encode(features)

    reader = Reader(model.featurizer)
    pipeline = EncodingPipeline(reader, encode_one, encode_many, manifest.model_version)
    lanes = Lanes(Work())
    evidence = Evidence(model)
    store = RedisStore("unix:///nowhere")  # nothing is stored, so nothing is asked of it
    dedup = Dedup(
        Follower(
            store,
            lambda: FaissIndex(manifest.dim, manifest.content_dim),
            Model(manifest.model_version, manifest.dim, manifest.content_dim, ""),
        ),
        pipeline,
        StoredProfiles(store, pipeline, lanes),
        evidence,
        StoredSides(store, evidence, lanes, manifest.model_version),
        lanes,
        Turns("lists", at_once=1, max_queue=1, deadline_s=60),
        manifest.content_dim,
        0.9,
        Precision(None, "threshold"),
        0,
    )
    shown = [{"tags": ["cooking"]}, {"tags": ["music"]}, {}]
    profiles = [StreamerProfile(streamer_id=f"s{i}", **shown[i % 3]) for i in range(300)]

    async def clusters() -> DedupAnswer:
        lanes.start()
        try:
            return await dedup.clusters(profiles=profiles)
        finally:
            lanes.stop()

    answer = asyncio.run(clusters())
    assert sum(sizes) == 200
    assert max(sizes) <= 64
    assert [len(cluster.members) for cluster in answer.clusters] == [100, 100]
    assert answer.not_comparable == [f"s{i}" for i in range(2, 300, 3)]
