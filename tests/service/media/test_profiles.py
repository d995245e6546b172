"""Profiles whose pictures and sounds have addresses: asked once, and only when it is news."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme

from model_export.contract.bundle import Bundle
from model_export.contract.pieces import pieces_of
from service.engine.encoding.profile_reader import Reading, ToRead
from service.engine.encoding.tower_vectors import Seen, pack, unpack
from service.errors import (
    InvalidRequest,
    MediaNotFetched,
    MediaUnavailable,
    Overloaded,
    UrlRefused,
)
from tests.media_towers import picture, sound
from tests.service.media.server import (
    Answer,
    Request,
    Server,
    fetcher_for,
    head,
    redirects,
    run,
    sends,
    serve,
    whole,
)
from tests.service.towers import media, profile, reading

FILES = {"/red": picture("red"), "/also-red": picture("red"), "/tone": sound(440)}


@pytest.fixture(scope="module")
def bundle(media_bundle: Path) -> Bundle:
    return Bundle(media_bundle)


async def files(request: Request, writer: asyncio.StreamWriter) -> None:
    body = FILES.get(request.path)
    answer = whole(body) if body is not None else sends(head("404 Not Found", Content_Length=0))
    await answer(request, writer)


def video(number: int, **shown: object) -> dict[str, object]:
    return {"video_id": f"v{number}", **shown}


def vectors(read: Reading) -> list[np.ndarray]:
    return [found for found in read.features.vectors if len(found)]


def same(found: Reading, expected: Reading) -> bool:
    pairs = zip(found.features.vectors, expected.features.vectors, strict=True)
    return all(np.array_equal(a, b) for a, b in pairs) and bool(vectors(found))


def test_an_address_is_as_good_as_the_bytes_there(bundle: Bundle, authority: trustme.CA) -> None:
    async def scenario() -> None:
        async with (
            serve(files, authority) as server,
            reading(bundle, fetcher_for(server, authority).fetch) as read,
        ):
            red = {"url": server.url("/red")}
            tone = {"url": server.url("/tone")}
            found = await read(avatar=red, videos=[video(0, cover=red, audio=tone)])
            assert sorted(r.path for r in server.requests) == ["/red", "/tone"]  # once each
            red, tone = media(FILES["/red"]), media(FILES["/tone"], "audio/wav")
            expected = await read(avatar=red, videos=[video(0, cover=red, audio=tone)])
            assert same(found, expected)
            assert found.features.status["covers"] == "used"

    run(scenario())


def test_what_is_no_news_is_not_asked_for(bundle: Bundle, authority: trustme.CA) -> None:
    async def scenario() -> None:
        async with (
            serve(files, authority) as server,
            reading(bundle, fetcher_for(server, authority).fetch) as read,
        ):
            red = {"url": server.url("/red")}
            first = await read(avatar=red)
            assert len(server.requests) == 1
            before = first.tower_vectors
            again = await read(avatar=red, before=before, old=True)
            assert same(again, first)
            assert again.tower_vectors == before
            assert (len(server.requests), read.work.decoded["test-image"]) == (1, 1)
            # Written anew it may be another picture: asked, but not decoded if it is the same.
            anew = await read(avatar=red, before=before)
            assert same(anew, first)
            assert (len(server.requests), read.work.decoded["test-image"]) == (2, 1)
            # Another model's write knows nothing of it: what was seen before holds.
            item = ToRead(
                profile(avatar=red),
                older=before,
                stored=profile(avatar=red).model_dump_json().encode(),
            )
            assert same(await read.reader.read(item), first)
            # Its write found another picture there: what was seen before is not that one.
            changed = dict.fromkeys(unpack(before).addresses, bytes(32))
            item = replace(item, tower_vectors=pack(Seen({}, changed)))
            assert (await read.reader.read(item)).features.status["avatar"] == "unsupported"
            assert len(server.requests) == 2
            # Never asked before, and no news now: left alone.
            left = await read(avatar={"url": server.url("/tone")}, bio="boss", old=True)
            assert left.features.status["avatar"] == "unsupported"
            assert len(server.requests) == 2

    run(scenario())


def test_a_stored_profile_has_the_features_that_it_was_encoded_from(
    bundle: Bundle, authority: trustme.CA
) -> None:
    async def scenario() -> None:
        async with (
            serve(files, authority) as server,
            reading(bundle, fetcher_for(server, authority).fetch) as read,
        ):
            shown = {
                "bio": "boss music",
                "avatar": media(FILES["/red"]),
                "videos": [video(0, title="noodles", audio={"url": server.url("/tone")})],
            }
            written = await read(**shown)
            asked, runs = len(server.requests), len(read.towers.runs)
            stored = read.reader.as_stored(pieces_of(profile(**shown)), written.tower_vectors)
            assert (len(server.requests), len(read.towers.runs)) == (asked, runs)
            assert stored.status == written.features.status
            assert len(vectors(written)) == 3  # of text, picture and sound
            for name in ("token_ids", "token_counts", "token_modality"):
                np.testing.assert_array_equal(
                    getattr(stored, name), getattr(written.features, name)
                )
            for name in ("vectors", "vectors_modality"):
                pairs = zip(getattr(stored, name), getattr(written.features, name), strict=True)
                for found, expected in pairs:
                    np.testing.assert_array_equal(found, expected)

    run(scenario())


def test_two_addresses_of_one_picture(bundle: Bundle, authority: trustme.CA) -> None:
    async def scenario() -> None:
        async with (
            serve(files, authority) as server,
            reading(bundle, fetcher_for(server, authority).fetch) as read,
        ):
            shown = [
                video(i, cover={"url": server.url(path)})
                for i, path in enumerate(("/red", "/also-red"))
            ]
            found = await read(videos=shown)
            seen = unpack(found.tower_vectors)
            assert len(seen.vectors) == 2  # of the tower, and the outline
            assert len(seen.addresses) == 2
            again = await read(videos=shown, before=found.tower_vectors, old=True)
            assert same(again, found)

    run(scenario())


REFUSED: list[tuple[str, Answer, type[Exception], str]] = [
    ("not there", sends(head("404 Not Found", Content_Length=0)), MediaNotFetched, "answers 404"),
    ("no picture", whole(b"rubbish"), MediaNotFetched, "holds no image of a known format"),
    ("broken", whole(FILES["/red"][:40]), InvalidRequest, "is truncated or damaged"),
    (
        "private",
        redirects(lambda _: "https://169.254.169.254/latest"),
        UrlRefused,
        "redirects to a URL that is on a host that is not allowed here",
    ),
    ("dripping", sends(*[b"H"] * 50, pause_s=0.02), MediaUnavailable, "not there within 0.3 s"),
    ("later", sends(head("503 Busy", Content_Length=0)), MediaUnavailable, "answers 503"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "error", "said"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_what_an_address_does_not_give_is_named(
    bundle: Bundle, authority: trustme.CA, answer: Answer, error: type[Exception], said: str
) -> None:
    hurry: dict[str, Any] = {"url_timeout_ms": 300} if said.startswith("not there") else {}

    async def scenario() -> None:
        async with (
            serve(answer, authority) as server,
            reading(bundle, fetcher_for(server, authority, **hurry).fetch) as read,
        ):
            shown = [video(0), video(1, cover={"url": server.url("/x")})]
            with pytest.raises(error, match=said) as caught:
                await read(bio="boss", videos=shown)
            assert [e.pointer for e in caught.value.errors] == ["/videos/1/cover/url"]  # type: ignore[attr-defined]
            # Of many profiles, it is the trouble of this one.
            items = [ToRead(profile(videos=shown), "/a"), ToRead(profile(bio="boss"), "/b")]
            bad, good = await read.reader.read_many(items)
            assert isinstance(bad, error)
            assert bad.errors[0].pointer == "/a/videos/1/cover/url"  # type: ignore[union-attr]
            assert isinstance(good, Reading)

    run(scenario())


def test_several_are_asked_for_at_once_within_the_bounds(
    bundle: Bundle, authority: trustme.CA
) -> None:
    most = 0

    async def scenario() -> None:
        async def slow(request: Request, writer: asyncio.StreamWriter) -> None:
            nonlocal most
            most = max(most, server.open)
            await asyncio.sleep(0.05)
            await whole(picture("red"))(request, writer)

        server: Server
        async with serve(slow, authority) as server:
            fetcher = fetcher_for(server, authority, url_concurrency_per_host=3)
            async with reading(bundle, fetcher.fetch) as read:
                await read(videos=[video(i, cover={"url": server.url(f"/{i}")}) for i in range(9)])
                assert len(server.requests) == 9

    run(scenario())
    assert 1 < most <= 3


def test_what_towers_can_not_read_at_the_moment_is_not_left_out(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stored picture that can't be read is left out, unless it could be another time."""

    async def scenario() -> None:
        async with reading(bundle) as read:
            stored = profile(bio="boss", avatar=media(FILES["/red"]))
            item = ToRead(stored, stored=stored.model_dump_json(exclude_none=True).encode())

            async def busy(*_: object) -> None:
                raise Overloaded("too many wait")

            with monkeypatch.context() as patched:
                patched.setattr(read.work, "prepare", busy)
                (found,) = await read.reader.read_many([item])
            assert isinstance(found, Overloaded)
            (found,) = await read.reader.read_many([item])
            assert isinstance(found, Reading)
            assert found.features.status["avatar"] == "used"

    run(scenario())
