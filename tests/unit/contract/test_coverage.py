"""The share of a profile that the encoder knows, by hand for a small vocabulary."""

import math
from typing import Any

import pytest

from model_export.contract.features import (
    MAX_TOKENS,
    VECTOR_WEIGHT,
    Features,
    Featurizer,
    coverage_of,
    without,
)
from model_export.contract.pieces import Piece
from model_export.contract.streamer import StreamerContent
from model_export.contract.vocabulary import Space, Vocabulary

TOKENS = {"l=zh": 90, "t=lo-fi": 5, "w=beats": 7, "w=night": 9}
VOCABULARY = Vocabulary(
    tokens=list(TOKENS),
    document_frequency=list(TOKENS.values()),
    documents=100,
    buckets=1 << 14,
    spaces=(Space("cover", 3),),
)
COVER = {"vector": [1, 0, 0], "space": "cover"}
UNKNOWN = math.log(101) + 1


def idf(token: str) -> float:
    return math.log(101 / (1 + TOKENS[token])) + 1


def features(**fields: Any) -> Features:
    return Featurizer(VOCABULARY)(StreamerContent.model_validate(fields))


def test_rare_words_count_more_and_unknown_ones_most() -> None:
    known = idf("w=night") + idf("t=lo-fi") + idf("l=zh")
    found = features(bio="night owl", tags=["lo-fi"], language="zh")
    assert found.coverage == pytest.approx(known / (known + UNKNOWN), abs=5e-4)
    assert features(bio="night beats").coverage == 1
    assert features(bio="owl").coverage == 0
    assert features().coverage == 0
    common, rare = features(tags=["x"], language="zh"), features(tags=["x", "lo-fi"])
    assert common.coverage < rare.coverage


def test_a_word_counts_once_in_a_modality_however_often_it_is_shown() -> None:
    assert features(bio="night owl").coverage == features(bio="night night night owl").coverage
    in_both = features(name="night", bio="night owl").coverage
    known = idf("w=night")
    assert in_both == pytest.approx(2 * known / (2 * known + UNKNOWN), abs=5e-4)


def test_a_vector_is_known_where_no_words_are_shown() -> None:
    seen = features(avatar=COVER, tags=["x"])
    assert seen.coverage == pytest.approx(VECTOR_WEIGHT / (VECTOR_WEIGHT + UNKNOWN), abs=5e-4)
    assert features(avatar=COVER).coverage == 1
    assert features(avatar={**COVER, "vector": [0, 0, 0]}).coverage == 0


def test_what_a_text_tower_makes_of_unknown_words_is_not_known() -> None:
    bio = features(bio="owl night")
    modality, elsewhere = bio.token_modality[:1], bio.token_modality[:1] + 1
    ids = (VOCABULARY, bio.token_ids, bio.token_modality)
    assert coverage_of(*ids, [modality]) == bio.coverage
    assert coverage_of(*ids, [elsewhere]) > bio.coverage


def test_words_that_the_encoder_has_no_room_for_count() -> None:
    known = [f"w={i}" for i in range(MAX_TOKENS)]
    vocabulary = Vocabulary(known, [100] * MAX_TOKENS, documents=100)
    text = " ".join(f"{i} x{i}" for i in range(MAX_TOKENS))
    found = Featurizer(vocabulary).from_pieces([Piece("bio", "text", "bio", text=text)])
    assert found.token_ids.max() == MAX_TOKENS  # unknown words are dropped first
    assert found.coverage < 0.5


def test_a_masked_modality_leaves_the_coverage_of_the_whole() -> None:
    whole = features(bio="owl", tags=["lo-fi"])
    assert without(whole, ["bio"]).coverage == whole.coverage < 1
