"""Pieces told apart, by hand."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_export.contract.features import Features, Featurizer, collate, fingerprint, without
from model_export.contract.piece_table import AGES
from model_export.contract.pieces import MODALITIES, pieces_of
from model_export.contract.streamer import StreamerContent
from model_export.contract.vocabulary import Space, Vocabulary
from model_export.golden import golden_profiles

TOGETHER = Vocabulary(
    tokens=["t=lo-fi", "w=beats", "w=night"],
    document_frequency=[5, 7, 9],
    documents=100,
    buckets=16,
    spaces=(Space("cover", 2),),
)
WORDS = dataclasses.replace(TOGETHER, piece_table=True)
LOFI, BEATS, NIGHT = 1, 2, 3
M = {name: i + 1 for i, name in enumerate(MODALITIES)}
PROFILE: dict[str, Any] = {
    "bio": "night beats night",
    "tags": ["lo-fi", "beats"],
    "videos": [
        {"video_id": "old", "title": "night", "published_at": "2024-01-01T00:00:00Z"},
        {
            "video_id": "new",
            "title": "night beats",
            "tags": ["lo-fi"],
            "cover": {"vector": [3, 4], "space": "cover"},
            "published_at": "2024-03-01T00:00:00Z",
        },
        {"video_id": "undated", "title": "night"},
    ],
    "lives": [{"live_id": "l", "title": "beats", "started_at": "2024-02-20T00:00:00Z"}],
}
PINNED = "b9462b8deb3112490b3a58520008b00b6f84a5f1f1f4f8a67af06bfdc74319bf"


def shown(words: Vocabulary = WORDS, **fields: Any) -> Features:
    return Featurizer(words)(StreamerContent.model_validate(fields))


def rows(features: Features) -> list[tuple[int, ...]]:
    """(piece, modality, id, count, spread) of the tokens that are known."""
    table = features.pieces
    assert table is not None
    columns = (
        table.token_piece,
        features.token_modality,
        features.token_ids,
        features.token_counts,
        table.token_spread,
    )
    found = zip(*(column.tolist() for column in columns), strict=True)
    return [row for row in found if row[2] <= len(WORDS.tokens)]


def test_by_hand() -> None:
    found = shown(**PROFILE)
    assert found.pieces is not None
    names = ["bio", "tags", "tags", "videos", "covers", "videos", "videos", "lives"]
    assert found.pieces.modality.tolist() == [M[name] for name in names]
    # The newest was shown on 1 March: the old video 60 days before, the live session 10 days.
    assert found.pieces.age.tolist() == [0, 0, 0, 1, 1, 3, 0, 2]
    assert found.pieces.vectors_piece[0].tolist() == [5]
    assert rows(found) == [
        (1, M["bio"], BEATS, 1, 1),
        (1, M["bio"], NIGHT, 2, 1),
        (2, M["tags"], LOFI, 1, 1),
        (4, M["videos"], LOFI, 1, 1),
        (4, M["videos"], BEATS, 1, 1),
        (4, M["videos"], NIGHT, 3, 3),
        (6, M["videos"], NIGHT, 3, 3),
        (7, M["videos"], NIGHT, 3, 3),
        (8, M["lives"], BEATS, 1, 1),
    ]


def test_what_tokens_count_in_all_is_what_they_count_together() -> None:
    cases: tuple[dict[str, Any], ...] = (PROFILE, {"bio": "night owl"}, {})
    for profile in cases:
        together, apart = shown(TOGETHER, **profile), shown(**profile)
        assert apart.status == together.status
        assert apart.pieces is not None
        keys = ("token_modality", "token_ids", "token_counts")
        listed = list(zip(*(getattr(apart, key).tolist() for key in keys), strict=True))
        expected = list(zip(*(getattr(together, key).tolist() for key in keys), strict=True))
        assert sorted(set(listed)) == expected
        spread = dict(zip(listed, apart.pieces.token_spread.tolist(), strict=True))
        assert spread == {entry: listed.count(entry) for entry in spread}


def test_others_read_no_pieces() -> None:
    features = shown(TOGETHER, **PROFILE)
    assert features.pieces is None
    assert not [name for name in collate([features]) if "piece" in name or "spread" in name]


def test_the_order_in_which_items_are_given_and_their_ids_say_nothing() -> None:
    turned = PROFILE | {"videos": PROFILE["videos"][::-1]}
    for name, array in collate([shown(**turned)]).items():
        np.testing.assert_array_equal(array, collate([shown(**PROFILE)])[name])


def test_ages_are_counted_from_the_newest_not_from_today() -> None:
    later = shown(**json.loads(json.dumps(PROFILE).replace("2024-", "2025-"))).pieces
    found = shown(**PROFILE).pieces
    assert found is not None
    assert later is not None
    assert later.age.tolist() == found.age.tolist()
    part = [p for p in pieces_of(StreamerContent.model_validate(PROFILE)) if "lives" in p.source]
    alone = Featurizer(WORDS).from_pieces(part)
    of_whole = Featurizer(WORDS).from_pieces(part, newest_s=1709251200.0)  # 1 March 2024
    assert alone.pieces is not None
    assert of_whole.pieces is not None
    assert (alone.pieces.age.tolist(), of_whole.pieces.age.tolist()) == ([1], [2])


@pytest.mark.parametrize(
    ("days", "age"), [(0, 1), (7, 1), (8, 2), (30, 2), (31, 3), (90, 3), (365, 4), (366, 5)]
)
def test_bounds_of_ages(days: int, age: int) -> None:
    first = np.datetime64("2024-01-01T00:00:00")
    last = first + np.timedelta64(days, "D")
    videos = [
        {"video_id": str(i), "title": "night", "published_at": f"{moment}Z"}
        for i, moment in enumerate((last, first))
    ]
    table = shown(videos=videos).pieces
    assert table is not None
    assert table.age.tolist() == [1, age]
    assert age < AGES


def test_a_hidden_modality_leaves_the_others_as_they_are() -> None:
    found = shown(**PROFILE)
    hidden = without(found, "videos")
    kept = [row for row in rows(found) if row[1] != M["videos"]]
    assert rows(hidden) == kept
    assert hidden.pieces is not None
    assert hidden.pieces.vectors_piece[0].tolist() == [5]
    hidden = without(found, "covers")
    assert hidden.pieces is not None
    assert hidden.pieces.vectors_piece[0].tolist() == []


def test_padding_is_zero() -> None:
    batch = collate([shown(**PROFILE), shown(bio="night"), shown()])
    assert batch["piece_modality"].shape == batch["piece_age"].shape == (3, 8)
    assert batch["token_piece"].shape == batch["token_spread"].shape == batch["token_ids"].shape
    assert batch["vectors_0_piece"].shape == (3, 1)
    assert (batch["token_piece"] != 0).tolist() == (batch["token_ids"] != 0).tolist()
    assert batch["piece_modality"][1:].tolist() == [[M["bio"], *[0] * 7], [0] * 8]
    assert all(array.dtype == np.int64 for name, array in batch.items() if name != "vectors_0")


def test_it_travels_in_the_file_of_the_vocabulary_and_only_where_it_is_wanted(
    tmp_path: Path,
) -> None:
    for words in (WORDS, TOGETHER):
        words.save(tmp_path / "vocabulary.json")
        assert ("pieces_apart" in (tmp_path / "vocabulary.json").read_text()) == words.piece_table
        assert Vocabulary.load(tmp_path / "vocabulary.json") == words


def test_features_are_what_they_were_in_the_last_release() -> None:
    """See `tests.contract.test_same_bytes`."""
    assert fingerprint(Featurizer(WORDS), golden_profiles(WORDS)) == PINNED
