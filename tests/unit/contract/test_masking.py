"""Hiding a modality of made features is as if the profile had never shown it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from model_export.contract.features import (
    Features,
    Featurizer,
    collate,
    without,
)
from model_export.contract.pieces import MODALITIES, pieces_of
from model_export.contract.streamer import StreamerContent, StreamerProfile
from model_export.contract.vocabulary import Space, Vocabulary
from tests.unit.contract.profiles import profiles

FRAME, SOUND = Space("frame", 2), Space("sound", 1)
VOCABULARY = Vocabulary(
    ["l=en", "t=lo-fi", "w=beats", "w=night"],
    [90, 5, 7, 9],
    documents=100,
    buckets=16,
    spaces=(FRAME, SOUND),
)


def shown(**fields: Any) -> Features:
    return Featurizer(VOCABULARY)(StreamerContent.model_validate(fields))


LIVE: dict[str, Any] = {
    "live_id": "l",
    "title": "night",
    "frames": [
        {"vector": [0, 1], "space": "frame"},
        {"url": "https://a.b"},
        {"vector": [2, 1], "space": "frame"},
    ],
    "audio": {"vector": [3], "space": "sound"},
}
PROFILE: dict[str, Any] = {
    "name": "new user",
    "bio": "night beats",
    "tags": ["lo-fi", "unheard of"],
    "language": "en",
    "avatar": {"vector": [1, 0], "space": "frame"},
    "lives": [LIVE],
}


def assert_same(found: Features, expected: Features) -> None:
    assert found.status == expected.status
    assert list(found.status) == list(MODALITIES)
    batch, wanted = collate([found]), collate([expected])
    assert batch.keys() == wanted.keys()
    for name, array in batch.items():
        assert array.dtype == wanted[name].dtype
        np.testing.assert_array_equal(array, wanted[name], err_msg=name)


def test_by_hand() -> None:
    hidden = without(shown(**PROFILE), ["frames"])
    assert hidden.vectors[0].tolist() == [[1, 0]]
    assert hidden.vectors_modality[0].tolist() == [1 + MODALITIES.index("avatar")]
    assert hidden.vectors[1].tolist() == [[3]]
    assert hidden.status["frames"] == "absent"
    assert without(hidden, ["avatar"]).vectors[0].shape == (0, 2)
    left = {"name": "new user", "tags": ["lo-fi", "unheard of"], "language": "en"}
    left = shown(**left, lives=[{**LIVE, "frames": []}])
    assert without(hidden, ["bio"]).token_ids.tolist() == left.token_ids.tolist()


@pytest.mark.parametrize("modality", MODALITIES)
def test_it_is_as_if_the_pieces_were_not_there(modality: str) -> None:
    pieces = pieces_of(StreamerContent.model_validate(PROFILE))
    kept = [piece for piece in pieces if piece.modality != modality]
    assert_same(without(shown(**PROFILE), [modality]), Featurizer(VOCABULARY).from_pieces(kept))


@given(profiles, st.sampled_from(MODALITIES))
def test_of_any_profile(profile: StreamerProfile, modality: str) -> None:
    pieces = pieces_of(profile)
    widths = {p.space: len(p.vector) for p in pieces if p.kind == "vector"}
    assume(all(len(p.vector) == widths[p.space] for p in pieces if p.kind == "vector"))
    featurize = Featurizer(
        Vocabulary(["w=a"], [1], 1, 16, tuple(Space(name, w) for name, w in widths.items()))
    )
    kept = [piece for piece in pieces if piece.modality != modality]
    assert_same(without(featurize(profile), [modality]), featurize.from_pieces(kept))


def test_hiding_twice_and_hiding_what_is_absent_change_nothing() -> None:
    features = shown(**PROFILE)
    once = without(features, ["bio"])
    assert_same(without(once, ["bio"]), once)
    assert features.status["covers"] == "absent"
    assert_same(without(features, ["covers"]), features)


def test_what_is_left_may_be_nothing() -> None:
    features = shown(bio="beats", language="en", name="new user")
    assert features.usable
    hidden = without(features, ["bio"])
    assert not hidden.usable  # a language alone is nothing to go by
    assert hidden.status["name"] == "uninformative"
    assert without(features, ["language"]).usable


def test_an_unknown_modality_is_an_error() -> None:
    with pytest.raises(KeyError, match="smell"):
        without(shown(**PROFILE), ["smell"])
