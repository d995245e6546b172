"""Features by hand for a small vocabulary."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given

from model_export.contract.errors import ContractError, UnreadableContent
from model_export.contract.features import (
    MAX_TOKENS,
    MAX_VECTORS,
    SMALLEST_COMPONENT,
    Features,
    Featurizer,
    collate,
    piece_tokens,
)
from model_export.contract.pieces import MODALITIES, Piece, pieces_of
from model_export.contract.streamer import StreamerContent, StreamerProfile
from model_export.contract.vocabulary import Space, Vocabulary
from tests.unit.contract.profiles import profiles

TOKENS = {  # token -> document frequency; ids count from 1
    "c=music": 30,  # 1
    "g=音乐": 20,  # 2
    "l=zh": 90,  # 3
    "t=lo-fi": 5,  # 4
    "w=beats": 7,  # 5
    "w=night": 9,  # 6
    "w=音乐": 20,  # 7
}
BUCKETS = 16
COVER, SOUND = Space("cover", 3), Space("sound", 2)
BOILERPLATE = Piece("bio", "text", "bio", text="欢迎关注 night").content_hash
PLACEHOLDER = Piece(
    "avatar", "vector", "avatar", vector=(9.0, 9.0, 9.0), space="cover"
).content_hash

VOCABULARY = Vocabulary(
    tokens=list(TOKENS),
    document_frequency=list(TOKENS.values()),
    documents=100,
    buckets=BUCKETS,
    spaces=(COVER, SOUND),
    uninformative=frozenset({BOILERPLATE, PLACEHOLDER}),
)
ID = {token: i + 1 for i, token in enumerate(TOKENS)}
MODALITY = {name: i + 1 for i, name in enumerate(MODALITIES)}
featurize = Featurizer(VOCABULARY)


def features(**fields: Any) -> Features:
    return featurize(StreamerContent.model_validate(fields))


def bucket(token: str) -> int:
    found = VOCABULARY.token_id(token)
    assert not VOCABULARY.is_known(found)
    return found


def tokens_of(found: Features) -> list[tuple[int, int, int]]:
    """(modality, token id, count), in order."""
    arrays = (found.token_modality, found.token_ids, found.token_counts)
    assert all(array.dtype == np.int64 and array.ndim == 1 for array in arrays)
    return list(zip(*(array.tolist() for array in arrays), strict=True))


def vector(*numbers: float, space: str = "cover") -> dict[str, Any]:
    return {"vector": list(numbers), "space": space}


def test_features_by_hand() -> None:
    found = features(
        name="Night",
        bio="night NIGHT beats, owl 音乐",
        tags=["Lo-Fi", "unheard of"],
        category="Music",
        language="ZH",
        videos=[{"video_id": "v", "title": "beats", "category": "music", "tags": ["lo-fi"]}],
        avatar=vector(1, 0, -1),
        lives=[
            {
                "live_id": "l",
                "cover": vector(0, 2, 0),
                "frames": [vector(3, 0, 0)],
                "audio": vector(0.25, 0.5, space="sound"),
            }
        ],
    )
    m = MODALITY
    assert tokens_of(found) == sorted(
        [
            (m["name"], ID["w=night"], 1),
            (m["bio"], ID["w=night"], 2),
            (m["bio"], ID["w=beats"], 1),
            (m["bio"], ID["w=音乐"], 1),
            (m["bio"], ID["g=音乐"], 1),
            (m["bio"], bucket("w=owl"), 1),
            (m["tags"], ID["t=lo-fi"], 1),
            (m["tags"], bucket("t=unheard of"), 1),
            (m["category"], ID["c=music"], 1),
            (m["language"], ID["l=zh"], 1),
            (m["videos"], ID["w=beats"], 1),
            (m["videos"], ID["c=music"], 1),
            (m["videos"], ID["t=lo-fi"], 1),
        ]
    )
    assert [v.dtype for v in found.vectors] == [np.float32, np.float32]
    assert found.vectors[0].tolist() == [[1, 0, -1], [0, 2, 0], [3, 0, 0]]
    assert found.vectors_modality[0].tolist() == [m["avatar"], m["covers"], m["frames"]]
    assert found.vectors[1].tolist() == [[0.25, 0.5]]
    assert found.vectors_modality[1].tolist() == [m["audio"]]
    assert found.status == dict.fromkeys(MODALITIES, "used") | {"lives": "absent"}
    assert list(found.status) == list(MODALITIES)


def test_an_empty_profile_has_empty_features_of_the_right_shapes() -> None:
    found = features()
    assert tokens_of(found) == []
    assert [v.shape for v in found.vectors] == [(0, 3), (0, 2)]
    assert [m.shape for m in found.vectors_modality] == [(0,), (0,)]
    assert set(found.status.values()) == {"absent"}
    assert not found.usable


@pytest.mark.parametrize(
    ("fields", "modality", "status"),
    [
        ({"bio": "night"}, "bio", "used"),
        ({"bio": "owl"}, "bio", "uninformative"),  # a word that nobody else has
        ({"bio": "?!"}, "bio", "uninformative"),
        ({"bio": "\u3164"}, "bio", "uninformative"),  # looks like nothing
        ({"bio": "night night night hahaha"}, "bio", "used"),
        ({"bio": "哈哈哈哈"}, "bio", "uninformative"),
        ({"bio": "  "}, "bio", "absent"),
        ({"bio": "欢迎关注, night!"}, "bio", "uninformative"),
        ({"tags": ["lo-fi"]}, "tags", "used"),
        ({"tags": ["lo fi"]}, "tags", "uninformative"),
        ({"tags": ["owl", "lo-fi"]}, "tags", "used"),
        ({"tags": ["lo-fi", "owl"]}, "tags", "used"),
        ({"category": "night"}, "category", "uninformative"),  # a word is not a category
        ({"avatar": vector(1, 0, 0)}, "avatar", "used"),
        ({"avatar": vector(0, 0, 0)}, "avatar", "uninformative"),
        ({"avatar": vector(0, -0.0, 0)}, "avatar", "uninformative"),
        ({"avatar": vector(0, 1e-300, 0)}, "avatar", "uninformative"),  # 0 in float32
        ({"avatar": vector(0, SMALLEST_COMPONENT / 2, 0)}, "avatar", "uninformative"),
        ({"avatar": vector(0, -SMALLEST_COMPONENT * 2, 0)}, "avatar", "used"),
        ({"avatar": vector(9, 9, 9)}, "avatar", "uninformative"),  # the placeholder
        ({"avatar": {"url": "https://a.b"}}, "avatar", "unsupported"),
        ({"avatar": {"data": "YQ==", "content_type": "image/png"}}, "avatar", "unsupported"),
    ],
)
def test_status_says_what_became_of_a_modality(
    fields: dict[str, Any], modality: str, status: str
) -> None:
    found = features(**fields)
    assert found.status[modality] == status
    assert {s for name, s in found.status.items() if name != modality} == {"absent"}
    assert found.usable == (status == "used")


@pytest.mark.parametrize("order", [1, -1])
def test_the_best_piece_of_a_modality_gives_its_status(order: int) -> None:
    def frames(*found: dict[str, Any]) -> str:
        lives = [{"live_id": "l", "frames": list(found)[::order]}]
        return features(lives=lives).status["frames"]

    used, zero, url = vector(1, 2, 3), vector(0, 0, 0), {"url": "https://a.b"}
    assert frames(url, used, zero) == "used"
    assert frames(url, zero) == "uninformative"
    assert frames(url, url) == "unsupported"


def test_a_language_alone_is_nothing_to_go_by() -> None:
    found = features(language="zh")
    assert found.status["language"] == "used"
    assert not found.usable
    assert features(language="zh", tags=["lo-fi"]).usable


def test_unknown_tokens_are_counted_in_their_buckets_and_make_nothing_usable() -> None:
    found = features(bio="owl owl")
    assert tokens_of(found) == [(MODALITY["bio"], bucket("w=owl"), 2)]
    assert not found.usable


def test_boilerplate_leaves_nothing_behind() -> None:
    assert tokens_of(features(bio="欢迎关注 night!")) == []
    assert tokens_of(features(bio="欢迎关注 night owl")) != []
    assert features(avatar=vector(9, 9, 9)).vectors[0].shape == (0, 3)


def many_words(count: int) -> Vocabulary:
    """Words of which the later ones are the rarer."""
    words = sorted(f"w=word{i}" for i in range(count))
    rarity = {f"w=word{i}": count - i for i in range(count)}
    return Vocabulary(words, [rarity[w] for w in words], documents=count)


def test_of_too_many_tokens_the_rarest_known_ones_are_kept() -> None:
    known = MAX_TOKENS + 50
    vocabulary = many_words(known)
    known_words = [f"word{i}" for i in range(known)]
    unknown_words = [f"unknown{i}" for i in range(100)]
    pieces = [Piece("bio", "text", "bio", text=" ".join(unknown_words + known_words))]
    found = Featurizer(vocabulary).from_pieces(pieces)
    kept = {vocabulary.tokens[i - 1] for i in found.token_ids.tolist()}
    assert kept == {f"w=word{i}" for i in range(50, known)}
    assert found.token_ids.tolist() == sorted(found.token_ids.tolist())
    assert set(found.token_counts.tolist()) == {1}


def test_unknown_tokens_fill_what_the_known_ones_leave() -> None:
    vocabulary = many_words(10)
    text = " ".join([*(f"word{i}" for i in range(10)), *(f"unknown{i}" for i in range(9000))])
    found = Featurizer(vocabulary).from_pieces([Piece("bio", "text", "bio", text=text)])
    assert len(found.token_ids) == MAX_TOKENS
    assert found.token_ids[:10].tolist() == list(range(1, 11))
    assert found.token_ids.max() < vocabulary.size


@pytest.mark.parametrize(
    ("media", "source", "reason"),
    [
        (
            vector(1, 2, space="clip"),
            "avatar.space",
            "vector space 'clip' is unknown to this model (it reads: cover, sound)",
        ),
        (vector(1, 2), "avatar.vector", "has 2 numbers, space 'cover' has 3"),
        (vector(0, 0), "avatar.vector", "has 2 numbers, space 'cover' has 3"),
    ],
)
def test_a_vector_that_can_not_be_read_names_its_field(
    media: dict[str, Any], source: str, reason: str
) -> None:
    with pytest.raises(UnreadableContent) as caught:
        features(avatar=media)
    assert (caught.value.source, caught.value.reason) == (source, reason)
    assert str(caught.value) == f"{source}: {reason}"
    assert isinstance(caught.value, ContractError)


def test_a_wrong_vector_is_named_where_it_stands_in_the_profile() -> None:
    videos = [
        {"video_id": "old", "published_at": "2020-01-01T00:00:00Z", "cover": vector(1, 2)},
        {"video_id": "new", "published_at": "2024-01-01T00:00:00Z", "cover": vector(1, 2, 3)},
    ]
    with pytest.raises(UnreadableContent, match=r"^videos\[0\]\.cover\.vector: has 2 numbers"):
        features(videos=videos)


def test_of_65_videos_64_are_encoded() -> None:
    videos = [
        {"video_id": "v", "title": "beats", "published_at": f"2024-01-01T00:{i:02}:00Z"}
        for i in range(60)
    ]
    oldest = {"video_id": "v", "title": "night", "published_at": "2023-01-01T00:00:00Z"}
    undated = {"video_id": "v", "title": "night"}
    m = MODALITY["videos"]
    assert tokens_of(features(videos=[*videos, oldest, *[undated] * 3])) == [
        (m, ID["w=beats"], 60),
        (m, ID["w=night"], 4),
    ]
    assert tokens_of(features(videos=[undated, *videos, *videos[:4], oldest])) == [
        (m, ID["w=beats"], 64)
    ]


def test_the_first_vectors_of_each_space_are_kept() -> None:
    lives = [
        {
            "live_id": "l",
            "started_at": f"2024-01-{day:02}T00:00:00Z",
            "frames": [vector(day, i, 1) for i in range(64)],
            "audio": vector(day, 1, space="sound"),
        }
        for day in range(1, 7)
    ]
    found = features(lives=lives)
    assert found.vectors[0].shape == (MAX_VECTORS, 3)
    assert sorted(set(found.vectors[0][:, 0].tolist())) == [3, 4, 5, 6]  # the newest lives
    assert found.vectors[1].shape == (6, 2)


def test_only_text_and_labels_have_tokens() -> None:
    assert piece_tokens(Piece("avatar", "vector", "avatar", vector=(1.0,), space="s")) == []
    assert piece_tokens(Piece("avatar", "media", "avatar", payload_digest="d")) == []
    assert piece_tokens(Piece("bio", "text", "bio", text="a")) == ["w=a"]
    assert piece_tokens(Piece("language", "language", "language", text="EN")) == ["l=en"]


def test_collate_pads_with_zeros() -> None:
    many, few, none = (
        features(
            bio="night beats",
            avatar=vector(1, 2, 3),
            videos=[{"video_id": "v", "cover": vector(4, 5, 6)}],
        ),
        features(name="beats", lives=[{"live_id": "l", "audio": vector(7, 8, space="sound")}]),
        features(),
    )
    batch = collate([many, few, none])
    b, n, a, c, s = (MODALITY[k] for k in ("bio", "name", "avatar", "covers", "audio"))
    beats, night = ID["w=beats"], ID["w=night"]
    expected = {
        "token_ids": [[beats, night], [beats, 0], [0, 0]],
        "token_counts": [[1, 1], [1, 0], [0, 0]],
        "token_modality": [[b, b], [n, 0], [0, 0]],
        "vectors_0": [[[1, 2, 3], [4, 5, 6]], [[0] * 3] * 2, [[0] * 3] * 2],
        "vectors_0_modality": [[a, c], [0, 0], [0, 0]],
        "vectors_1": [[[0, 0]], [[7, 8]], [[0, 0]]],
        "vectors_1_modality": [[0], [s], [0]],
    }
    assert {name: array.tolist() for name, array in batch.items()} == expected
    for name, array in batch.items():
        is_vector = name.startswith("vectors_") and not name.endswith("_modality")
        assert array.dtype == (np.float32 if is_vector else np.int64)


@given(profiles)
def test_features_of_any_profile_keep_their_promises(profile: StreamerProfile) -> None:
    pieces = pieces_of(profile)
    widths = {p.space: len(p.vector) for p in pieces if p.kind == "vector"}
    vocabulary = Vocabulary(
        list(TOKENS),
        list(TOKENS.values()),
        documents=100,
        buckets=BUCKETS,
        spaces=tuple(Space(name, width) for name, width in widths.items()),
    )
    assume(all(len(p.vector) == widths[p.space] for p in pieces if p.kind == "vector"))
    found = Featurizer(vocabulary)(profile)
    keys = list(zip(found.token_modality.tolist(), found.token_ids.tolist(), strict=True))
    assert keys == sorted(set(keys))
    assert all(0 < token < vocabulary.size for _, token in keys)
    assert (found.token_counts > 0).all()
    shown = {piece.modality for piece in pieces}
    assert {name for name, status in found.status.items() if status != "absent"} == shown
    assert all(
        np.isfinite(v).all() and np.abs(v).max(axis=1).all() for v in found.vectors if len(v)
    )
    alone = collate([found])
    assert all(np.isfinite(array).all() for array in alone.values())
