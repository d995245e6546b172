"""What is fetched, from where, and by whose word."""

import asyncio
import ssl

import pytest
import trustme

from service.errors import MediaNotFetched, MediaUnavailable, UrlRefused
from service.http.documents import problem_of
from service.media.fetch import Fetcher
from service.settings import Media
from tests.service.media.server import (
    HOST,
    LONG_S,
    PNG,
    Names,
    Request,
    fetch,
    fetcher_for,
    head,
    loopback_too,
    redirects,
    run,
    sends,
    serve,
    this_machine,
    whole,
)

MP3 = b"ID3\4\0\0\0\0\0\0" + bytes(1000)


def test_a_picture_by_the_name_that_was_asked_for(authority: trustme.CA) -> None:
    names = this_machine()

    async def scenario() -> None:
        async with serve(whole(PNG), authority) as server:
            fetcher = fetcher_for(server, authority, names)
            found = await fetcher.fetch(server.url("/a%20b?c=d#e"), "image", "/avatar/url")
            assert (found.data, found.content_type) == (PNG, "image/png")
            # The system knows no such name: only the checked address can have led here.
            assert names.asked == [HOST]
            assert server.names == [HOST]
            (request,) = server.requests
            assert request.line == "GET /a%20b?c=d HTTP/1.1"
            assert request.headers["host"] == f"{HOST}:{server.port}"
            assert request.headers["accept-encoding"] == "identity"
            assert "image/png" in request.headers["accept"]
            assert "cookie" not in request.headers
            assert "authorization" not in request.headers
            await asyncio.wait_for(server.all_gone.wait(), LONG_S)

    run(scenario())


def test_a_sound_in_chunks(authority: trustme.CA) -> None:
    parts = [b"%x\r\n%s\r\n" % (len(p), p) for p in (MP3[:3], MP3[3:500], MP3[500:])]
    answer = sends(head(Transfer_Encoding="chunked"), *parts, b"0\r\n\r\n")
    found = fetch(authority, answer, kind="audio")
    assert (found.data, found.content_type) == (MP3, "audio/mpeg")


def test_a_name_in_another_script(authority: trustme.CA) -> None:
    ascii_name = "xn--bcher-kva.example.org"

    async def scenario() -> None:
        names = Names()
        names.answers[ascii_name] = [["127.0.0.1"]]
        async with serve(whole(PNG), authority) as server:
            fetcher = fetcher_for(server, authority, names)
            await fetcher.fetch(server.url(host="bücher.example.org"), "image", "/avatar/url")
            assert names.asked == server.names == [ascii_name]
            assert server.requests[0].headers["host"] == f"{ascii_name}:{server.port}"

    run(scenario())


@pytest.mark.parametrize("content_type", ["image/png", "text/html", "audio/mpeg", "nonsense"])
def test_the_bytes_say_what_they_are(authority: trustme.CA, content_type: str) -> None:
    assert fetch(authority, whole(PNG, Content_Type=content_type)).content_type == "image/png"
    for body in (b"<html></html>", b"", PNG[1:]):
        with pytest.raises(MediaNotFetched, match="holds no image of a known format"):
            fetch(authority, whole(body, Content_Type=content_type))


def test_a_sound_is_no_picture(authority: trustme.CA) -> None:
    with pytest.raises(MediaNotFetched, match="holds no image"):
        fetch(authority, whole(MP3))
    with pytest.raises(MediaNotFetched, match="holds no audio"):
        fetch(authority, whole(PNG), kind="audio")


MIXED = [
    ["10.0.0.1"],
    ["127.0.0.2"],
    ["169.254.169.254"],
    ["8.8.8.8", "10.0.0.1"],
    ["127.0.0.1", "192.168.0.1"],
    ["::1"],
    ["::ffff:127.0.0.1"],
    ["::ffff:10.0.0.1", "127.0.0.1"],
    ["64:ff9b::7f00:1"],
    ["2002:7f00:1::"],
    ["2001:0:7f00:1::"],
    ["fd00:ec2::254"],
    ["fe80::1%lo"],
    ["0.0.0.0"],
    ["::"],
]


@pytest.mark.parametrize("addresses", MIXED, ids=",".join)
def test_a_name_with_one_address_that_is_not_public(
    authority: trustme.CA, addresses: list[str]
) -> None:
    async def scenario() -> None:
        async with serve(whole(PNG), authority) as server:
            fetcher = fetcher_for(server, authority, Names(media_example_org=[addresses]))
            with pytest.raises(UrlRefused, match="not on the public internet") as caught:
                await fetcher.fetch(server.url(), "image", "/lives/0/cover/url")
            told = problem_of(caught.value)
            assert (told["status"], told["code"]) == (422, "url_refused")
            assert told["errors"][0]["pointer"] == "/lives/0/cover/url"
            assert not any(address in str(told) for address in addresses if len(address) > 3)
            assert server.requests == server.names == []

    run(scenario())


def test_this_machine_is_refused_unless_a_test_says_otherwise(authority: trustme.CA) -> None:
    async def scenario() -> None:
        async with serve(whole(PNG), authority) as server:
            settings = Media(url_hosts=(HOST,), url_ports=(server.port,))
            fetcher = Fetcher(settings, this_machine())
            with pytest.raises(UrlRefused, match="not on the public internet"):
                await fetcher.fetch(server.url(), "image", "/avatar/url")
            assert server.names == []

    run(scenario())


def test_a_name_is_asked_once_and_its_answer_kept(authority: trustme.CA) -> None:
    names = Names(media_example_org=[["127.0.0.1"], ["10.0.0.1"]])
    assert fetch(authority, whole(PNG), names=names).data == PNG
    assert names.asked == [HOST]


def test_another_address_is_tried_where_one_takes_no_connection(authority: trustme.CA) -> None:
    async def scenario() -> None:
        names = Names(media_example_org=[["127.0.0.2", "127.0.0.1"]])
        async with serve(whole(PNG), authority) as server:  # listens on 127.0.0.1 alone
            fetcher = fetcher_for(server, authority, names)
            fetcher._is_safe = lambda address: address.is_loopback
            assert (await fetcher.fetch(server.url(), "image", "/avatar/url")).data == PNG

    run(scenario())


def test_a_name_that_nobody_has(authority: trustme.CA) -> None:
    for names in (Names(), Names(media_example_org=[[]])):
        with pytest.raises(MediaUnavailable, match="its host is not known"):
            fetch(authority, whole(PNG), names=names)


def test_a_certificate_of_another_name(authority: trustme.CA) -> None:
    async def scenario() -> None:
        async with serve(whole(PNG), authority, "other.example.com", "127.0.0.1") as server:
            fetcher = fetcher_for(server, authority)
            with pytest.raises(MediaNotFetched, match="no valid certificate"):
                await fetcher.fetch(server.url(), "image", "/avatar/url")
            assert server.requests == []

    run(scenario())


def test_a_certificate_that_nobody_vouches_for(authority: trustme.CA) -> None:
    async def scenario() -> None:
        async with serve(whole(PNG), authority) as server:
            settings = Media(url_hosts=(HOST,), url_ports=(server.port,))
            fetcher = Fetcher(settings, this_machine(), is_safe=loopback_too)
            with pytest.raises(MediaNotFetched, match="no valid certificate"):
                await fetcher.fetch(server.url(), "image", "/avatar/url")
            assert server.requests == []

    run(scenario())


def test_a_redirect_to_another_allowed_host(authority: trustme.CA) -> None:
    names = this_machine()
    names.answers["b.example.org"] = [["127.0.0.1"]]

    async def scenario() -> None:
        async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
            if request.headers["host"].startswith("b."):
                await whole(PNG)(request, writer)
            else:
                await redirects(lambda _: server.url("/b", "b.example.org"))(request, writer)

        async with serve(answer, authority) as server:
            fetcher = fetcher_for(server, authority, names)
            assert (await fetcher.fetch(server.url(), "image", "/avatar/url")).data == PNG
            assert server.names == names.asked == [HOST, "b.example.org"]

    run(scenario())


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
def test_three_redirects_and_no_more(authority: trustme.CA, status: str) -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        left = int(request.path[1:])
        turn = redirects(lambda _: f"/{left - 1}", status) if left else whole(PNG)
        await turn(request, writer)

    names = this_machine()
    assert fetch(authority, answer, "/3", names=names).data == PNG
    assert names.asked == [HOST] * 4  # checked from the start, each time
    with pytest.raises(MediaNotFetched, match="redirects more than 3 times"):
        fetch(authority, answer, "/4")


def test_a_redirect_loop(authority: trustme.CA) -> None:
    names = this_machine()
    with pytest.raises(MediaNotFetched, match="redirects more than 3 times"):
        fetch(authority, redirects(lambda path: path), names=names)
    assert len(names.asked) == 4


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("https://inside.example.org:{port}/secret", "not on the public internet"),
        ("https://10.0.0.7:{port}/secret", "host that is not allowed"),
        ("https://169.254.169.254/latest/meta-data", "host that is not allowed"),
        ("https://[::1]:{port}/secret", "no host name"),
        ("http://media.example.org:{port}/secret", "is not https"),
        ("https://media.example.org/secret", "port that is not allowed"),
        ("https://media.example.org:6379/secret", "port that is not allowed"),
        ("https://evil.example.com:{port}/secret", "host that is not allowed"),
        ("https://a:b@media.example.org:{port}/secret", "user name or password"),
        ("file:///secret", "is not https"),
        ("https://media.example.org:{port}/" + "secret" * 500, "not a proper URL"),
    ],
)
def test_a_redirect_to_where_nobody_may_go(
    authority: trustme.CA, location: str, reason: str
) -> None:
    async def scenario() -> None:
        async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
            place = location.format(port=server.port)
            await redirects(lambda _: place)(request, writer)

        names = this_machine()
        names.answers["inside.example.org"] = [["10.0.0.7"]]
        async with serve(answer, authority) as server:
            fetcher = fetcher_for(server, authority, names)
            with pytest.raises(UrlRefused, match=f"redirects to a URL that .*{reason}") as caught:
                await fetcher.fetch(server.url(), "image", "/avatar/url")
            assert len(server.requests) == 1
            told = str(problem_of(caught.value))
            for hidden in ("secret", "10.0.0.7", "inside", "6379", "evil", "169.254"):
                assert hidden not in told

    run(scenario())


def test_a_name_that_turns_private_between_two_redirects(authority: trustme.CA) -> None:
    names = Names(media_example_org=[["127.0.0.1"], ["192.168.1.1"]])
    with pytest.raises(UrlRefused, match=r"redirects to a URL .* not on the public internet"):
        fetch(authority, redirects(lambda _: "/b"), names=names)
    assert names.asked == [HOST] * 2


@pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden", "204 None", "206 Part"])
def test_an_answer_without_the_whole_of_it(authority: trustme.CA, status: str) -> None:
    answer = sends(head(status, Content_Length=len(PNG)), PNG)
    with pytest.raises(MediaNotFetched, match=f"its host answers {status[:3]}"):
        fetch(authority, answer)


@pytest.mark.parametrize("status", ["500 No", "503 Later", "429 Slower"])
def test_an_answer_that_may_be_another_later(authority: trustme.CA, status: str) -> None:
    with pytest.raises(MediaUnavailable, match=f"its host answers {status[:3]}") as caught:
        fetch(authority, sends(head(status, Content_Length=len(PNG)), PNG))
    assert caught.value.retry_after_s > 0
    assert problem_of(caught.value)["errors"][0]["pointer"] == "/avatar/url"


def test_a_redirect_to_nowhere(authority: trustme.CA) -> None:
    with pytest.raises(MediaNotFetched, match="answers 302"):
        fetch(authority, sends(head("302 Found", Content_Length=0)))


@pytest.mark.parametrize(
    ("bounds", "most"),
    [
        ({"url_concurrency": 3, "url_concurrency_per_host": 9}, 3),
        ({"url_concurrency": 9, "url_concurrency_per_host": 2}, 2),
    ],
)
def test_no_more_at_once_than_allowed(
    authority: trustme.CA, bounds: dict[str, int], most: int
) -> None:
    async def scenario() -> None:
        under_way = seen = 0
        are_enough = asyncio.Event()

        async def slowly(request: Request, writer: asyncio.StreamWriter) -> None:
            nonlocal under_way, seen
            under_way += 1
            seen = max(seen, under_way)
            if under_way == most:
                are_enough.set()
            await are_enough.wait()
            await asyncio.sleep(0.1)  # for one too many
            under_way -= 1
            await whole(PNG)(request, writer)

        async with serve(slowly, authority) as server:
            fetcher = fetcher_for(server, authority, None, **bounds)
            calls = [fetcher.fetch(server.url(f"/{i}"), "image", "") for i in range(10)]
            assert [f.data for f in await asyncio.gather(*calls)] == [PNG] * 10
            assert len(server.requests) == 10
            assert seen == most

    run(scenario())


def test_a_slow_host_keeps_nobody_else_waiting(authority: trustme.CA) -> None:
    async def scenario() -> None:
        go_on = asyncio.Event()

        async def slow_at_a(request: Request, writer: asyncio.StreamWriter) -> None:
            if request.headers["host"].startswith("a."):
                await go_on.wait()
            await whole(PNG)(request, writer)

        names = Names(a_example_org=[["127.0.0.1"]], b_example_org=[["127.0.0.1"]])
        async with serve(slow_at_a, authority) as server:
            bounds = {"url_concurrency": 2, "url_concurrency_per_host": 1}
            fetcher = fetcher_for(server, authority, names, **bounds)
            slow = [
                asyncio.create_task(fetcher.fetch(server.url(host="a.example.org"), "image", ""))
                for _ in range(3)
            ]
            await asyncio.sleep(0)
            for _ in range(3):
                found = await fetcher.fetch(server.url(host="b.example.org"), "image", "")
                assert found.data == PNG
            assert not any(task.done() for task in slow)
            go_on.set()
            assert [found.data for found in await asyncio.gather(*slow)] == [PNG] * 3

    run(scenario())


def test_urls_are_off_by_default() -> None:
    fetcher = Fetcher(Media(), Names())
    with pytest.raises(UrlRefused, match="URLs are not fetched by this service"):
        run(fetcher.fetch("https://media.example.org/a.png", "image", "/avatar/url"))


def test_what_is_trusted_by_default_is_checked_by_name() -> None:
    trust = Fetcher(Media(), Names())._trust
    assert trust.check_hostname
    assert trust.verify_mode == ssl.CERT_REQUIRED
    assert trust.minimum_version >= ssl.TLSVersion.TLSv1_2
