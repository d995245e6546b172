"""A profile as its smallest parts."""

import base64
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given

from model_export.contract.pieces import MODALITIES, Piece, pieces_of
from model_export.contract.streamer import StreamerContent, StreamerProfile
from model_export.contract.text import canonical
from tests.unit.contract.profiles import profiles


def pieces(**fields: Any) -> list[Piece]:
    return pieces_of(StreamerContent.model_validate(fields))


def only(**fields: Any) -> Piece:
    [piece] = pieces(**fields)
    return piece


def data(content: bytes, content_type: str = "image/png") -> dict[str, str]:
    return {"data": base64.b64encode(content).decode(), "content_type": content_type}


NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def test_every_part_becomes_a_piece_that_says_where_it_stands() -> None:
    vector = {"vector": [1.0, 2.0], "space": "s"}
    found = pieces(
        name="n",
        bio="b",
        category="c",
        language="l",
        tags=["t0", "t1"],
        attributes={"never": "encoded"},
        avatar=vector,
        videos=[
            {
                "video_id": "v",
                "title": "vt",
                "category": "vc",
                "tags": ["vt0"],
                "published_at": NOON,
                "duration_s": 3,
                "cover": data(b"cover"),
                "audio": vector,
            }
        ],
        lives=[
            {
                "live_id": "l",
                "title": "lt",
                "category": "lc",
                "started_at": NOON,
                "cover": vector,
                "frames": [vector, {"url": "https://a.b"}],
                "audio": data(b"sound", "audio/mpeg"),
            }
        ],
    )
    assert [(p.source, p.modality, p.kind) for p in found] == [
        ("name", "name", "text"),
        ("bio", "bio", "text"),
        ("category", "category", "category"),
        ("language", "language", "language"),
        ("avatar", "avatar", "vector"),
        ("tags[0]", "tags", "tag"),
        ("tags[1]", "tags", "tag"),
        ("videos[0].title", "videos", "text"),
        ("videos[0].category", "videos", "category"),
        ("videos[0].tags[0]", "videos", "tag"),
        ("videos[0].cover", "covers", "media"),
        ("videos[0].audio", "audio", "vector"),
        ("lives[0].title", "lives", "text"),
        ("lives[0].category", "lives", "category"),
        ("lives[0].cover", "covers", "vector"),
        ("lives[0].frames[0]", "frames", "vector"),
        ("lives[0].frames[1]", "frames", "media"),
        ("lives[0].audio", "audio", "media"),
    ]
    assert {p.modality for p in found} == set(MODALITIES)
    assert {p.time_s for p in found[:7]} == {None}
    assert {p.time_s for p in found[7:]} == {NOON.timestamp()}
    assert found[4].vector == (1.0, 2.0)
    assert found[4].space == "s"


@pytest.mark.parametrize("blank", [None, "", " ", "\t\n\u3000\u00a0"])
def test_blank_text_gives_no_piece(blank: str | None) -> None:
    assert pieces(name=blank, bio=blank, category=blank, language=blank) == []
    assert pieces(videos=[{"video_id": "v", "title": blank}], lives=[{"live_id": "l"}]) == []
    if blank:
        assert pieces(tags=[blank]) == []


@pytest.mark.parametrize(("items", "id_name", "time"), [
    ("videos", "video_id", "published_at"),
    ("lives", "live_id", "started_at"),
])  # fmt: skip
def test_the_newest_64_are_encoded_and_undated_ones_are_the_oldest(
    items: str, id_name: str, time: str
) -> None:
    dated = [
        {id_name: "i", "title": f"day {day}", time: NOON + timedelta(days=day)} for day in range(60)
    ]
    undated = [{id_name: "i", "title": f"undated {i}"} for i in range(10)]
    mixed = dated + undated
    random.Random(7).shuffle(mixed)
    found = pieces(**{items: mixed})
    first_undated = [i["title"] for i in mixed if time not in i][:4]
    assert [p.text for p in found] == [f"day {d}" for d in reversed(range(60))] + first_undated
    for piece in found:
        place = int(piece.source.partition("[")[2].partition("]")[0])
        assert mixed[place]["title"] == piece.text


def test_the_newest_is_told_by_the_moment_and_not_by_the_clock_on_the_wall() -> None:
    found = pieces(
        videos=[
            {"video_id": "a", "title": "earlier", "published_at": "2024-05-01T20:00:00+09:00"},
            {"video_id": "b", "title": "later", "published_at": "2024-05-01T12:00:00Z"},
        ]
    )
    assert [p.text for p in found] == ["later", "earlier"]
    assert [p.time_s for p in found] == [NOON.timestamp(), NOON.timestamp() - 3600]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"bio": "欢迎关注!!!"}, {"name": "欢迎关注~"}),
        ({"bio": "Ｈｅｌｌｏ there"}, {"videos": [{"video_id": "v", "title": "hello, THERE"}]}),
        ({"bio": "…"}, {"bio": "!?"}),
        ({"tags": ["C＋＋"]}, {"videos": [{"video_id": "v", "tags": ["c++ "]}]}),
        ({"category": "Music"}, {"lives": [{"live_id": "l", "category": "music"}]}),
        (
            {"avatar": {"vector": [0.5, 1], "space": "s"}},
            {
                "lives": [
                    {
                        "live_id": "l",
                        "started_at": NOON,
                        "frames": [{"vector": [0.5, 1.0], "space": "s"}],
                    }
                ]
            },
        ),
        (
            {"avatar": data(b"same")},
            {"videos": [{"video_id": "v", "cover": data(b"same", "image/jpeg")}]},
        ),
        ({"avatar": {"url": "https://a.b"}}, {"lives": [{"live_id": "l", "cover": {"url": "https://a.b"}}]}),
    ],
)  # fmt: skip
def test_equal_content_has_one_hash_wherever_it_is_shown(
    left: dict[str, Any], right: dict[str, Any]
) -> None:
    assert only(**left).content_hash == only(**right).content_hash


def test_other_content_has_another_hash() -> None:
    different = [
        only(bio="hello"),
        only(bio="hello there"),
        only(bio="hellothere"),
        only(bio=""" " """),
        only(category="hello"),
        only(language="hello"),
        only(tags=["hello"]),
        only(tags=["c"]),
        only(tags=["C++"]),
        only(tags=["C#"]),
        only(avatar={"vector": [1.0, 2.0], "space": "s"}),
        only(avatar={"vector": [2.0, 1.0], "space": "s"}),
        only(avatar={"vector": [1.0, 2.0], "space": "t"}),
        only(avatar={"vector": [1.0, 2.0, 0.0], "space": "s"}),
        only(avatar=data(b"one")),
        only(avatar=data(b"two")),
        only(avatar=data(b"https://a.b")),
        only(avatar={"url": "https://a.b"}),
        only(avatar={"url": "https://a.b/"}),
    ]
    hashes = [piece.content_hash for piece in different]
    assert len(set(hashes)) == len(hashes)
    assert all(len(h) == 32 and set(h) <= set("0123456789abcdef") for h in hashes)


@given(profiles)
def test_any_profile_has_pieces_with_hashes(profile: StreamerProfile) -> None:
    found = pieces_of(profile)
    assert found == pieces_of(StreamerProfile(**profile.dump()))
    sources = [piece.source for piece in found]
    assert len(set(sources)) == len(sources)
    by_text: dict[str, str] = {}
    for piece in found:
        assert piece.modality in MODALITIES
        assert (piece.kind == "vector") == bool(piece.vector) == bool(piece.space)
        assert (piece.kind == "media") == bool(piece.payload_digest)
        if piece.kind == "text":
            same = by_text.setdefault(canonical(piece.text), piece.content_hash)
            assert same == piece.content_hash
    assert len(set(by_text.values())) == len(by_text)
