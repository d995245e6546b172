"""Thumbnails of pictures as they are read and kept."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_export.contract.bundle import Bundle
from model_export.contract.features import Featurizer
from model_export.contract.media import decode_audio, fingerprint_of, thumbnail_of
from model_export.contract.pieces import pieces_of
from model_export.contract.towers import vector_piece
from service.engine.encoding.profile_reader import Reader, ToRead
from service.engine.encoding.tower_jobs import TowerJobs, key_of, seen_by, thumbnail_key
from service.engine.encoding.tower_vectors import TowerCache, as_fingerprint, unpack
from tests.bundles import write_bundle
from tests.contract.media.files import saved, scene
from tests.media_towers import audio_spec, blank, sound
from tests.service.towers import media, nobody, profile, reading

COVER = saved(scene(1), "PNG")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder: Path = tmp_path_factory.mktemp("towers") / "b"
    write_bundle(folder, media=True)
    return Bundle(folder)


def videos(*covers: dict[str, str]) -> list[dict[str, object]]:
    return [{"video_id": f"v{i}", "cover": cover} for i, cover in enumerate(covers)]


def test_each_picture_that_says_something_has_one(bundle: Bundle) -> None:
    shown = {
        "avatar": media(blank("red"), "image/jpeg"),
        "videos": videos(media(COVER), {"url": "https://media.example.org/a.png"}),
    }

    async def scenario() -> None:
        async with reading(bundle) as read:
            item = profile(**shown)
            # A stored address is not asked again, so that nothing is known of it.
            stored = item.model_dump_json(exclude_none=True).encode()
            found = await read.reader.read(ToRead(item, stored=stored))
            thumbnails = read.reader.thumbnails(pieces_of(item), found.tower_vectors)
            assert list(thumbnails) == ["videos[0].cover"]
            np.testing.assert_array_equal(thumbnails["videos[0].cover"], thumbnail_of(scene(1)))
            assert read.reader.thumbnails(pieces_of(item), b"") == {}

    asyncio.run(scenario())


def test_each_sound_that_is_heard_has_a_print(bundle: Bundle) -> None:
    sounds = [media(sound(hz), "audio/wav") for hz in (440.0, 0.0)]
    item = profile(videos=[{"video_id": f"v{i}", "audio": one} for i, one in enumerate(sounds)])

    async def scenario() -> None:
        async with reading(bundle) as read:
            found = await read.reader.read(ToRead(item))
            stored = unpack(found.tower_vectors).vectors
            heard, silent = (stored[thumbnail_key(piece)] for piece in pieces_of(item))
            hears = audio_spec().audio
            assert hears is not None
            expected = fingerprint_of(
                decode_audio(sound(440.0), "audio/wav", hears, ""), hears.rate_hz
            )
            np.testing.assert_array_equal(as_fingerprint(heard), expected)
            assert not as_fingerprint(silent).any()
            assert read.reader.thumbnails(pieces_of(item), found.tower_vectors) == {}
            before = dict(read.work.decoded)
            await read.reader.read(ToRead(item, tower_vectors=found.tower_vectors))
            assert read.work.decoded == before

    asyncio.run(scenario())


def test_what_many_show_has_none(bundle: Bundle) -> None:
    item = profile(videos=videos(media(COVER), media(saved(scene(2), "PNG"))))

    async def scenario() -> None:
        async with reading(bundle) as read:
            found = await read.reader.read(ToRead(item))
            pieces, stored = pieces_of(item), unpack(found.tower_vectors)
            assert set(read.reader.thumbnails(pieces, found.tower_vectors)) == _sources(0, 1)
            (spec,) = [spec for spec in read.work.specs if spec.image is not None]
            piece = seen_by(spec, pieces)[0]
            vector = stored.vectors[key_of(spec, piece)]
            shared = frozenset({vector_piece(spec, piece, vector).cluster_hash})
            vocabulary = replace(bundle.featurizer.vocabulary, uninformative=shared)
            jobs = TowerJobs(read.work, TowerCache(0), nobody)
            reader = Reader(Featurizer(vocabulary), read.work.specs, jobs)
            for before in (b"", found.tower_vectors):
                again = await reader.read(ToRead(item, tower_vectors=before))
                assert set(reader.thumbnails(pieces, again.tower_vectors)) == _sources(1)

    asyncio.run(scenario())


def _sources(*places: int) -> set[str]:
    return {f"videos[{place}].cover" for place in places}
