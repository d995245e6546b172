import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import UrlRefused
from service.media.urls import Target, UrlRules
from service.settings import Media

RULES = UrlRules(
    Media(url_hosts=("media.example.org", "*.cdn.example.org", "xn--bcher-kva.example.org"))
)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://media.example.org/a.png", "media.example.org"),
        ("https://media.example.org:443/a.png?x=1#part", "media.example.org"),
        ("https://media.example.org", "media.example.org"),
        ("HTTPS://MEDIA.Example.ORG/a.png", "media.example.org"),
        ("https://eu.cdn.example.org/a", "eu.cdn.example.org"),
        ("https://a.b.cdn.example.org/a", "a.b.cdn.example.org"),
        ("https://bücher.example.org/ä", "xn--bcher-kva.example.org"),
        ("https://BÜCHER.example.org/", "xn--bcher-kva.example.org"),
        ("https://xn--bcher-kva.example.org/", "xn--bcher-kva.example.org"),
        ("https://media。example。org/", "media.example.org"),  # other full stops, same name
    ],
)
def test_a_host_of_the_list(url: str, host: str) -> None:
    target = RULES.check(url, "/avatar/url")
    assert (target.host, target.port, target.redirected) == (host, 443, False)


REFUSED = [
    ("http://media.example.org/", "is not https"),
    ("ftp://media.example.org/", "is not https"),
    ("file:///etc/passwd", "is not https"),
    ("//media.example.org/", "is not https"),
    ("", "is not https"),
    ("https://", "no host name"),
    ("https:///a.png", "no host name"),
    ("https://user@media.example.org/", "user name or password"),
    ("https://user:secret@media.example.org/", "user name or password"),
    ("https://media.example.org@evil.example.com/", "user name or password"),
    ("https://media.example.org\\@evil.example.com/", "user name or password"),
    ("https://media.example.org:8443/", "port that is not allowed"),
    ("https://media.example.org:0/", "port that is not allowed"),
    ("https://media.example.org:99999/", "port that is not allowed"),
    ("https://evil.example.com/", "host that is not allowed"),
    ("https://example.org/", "host that is not allowed"),
    ("https://cdn.example.org/", "host that is not allowed"),
    ("https://xcdn.example.org/", "host that is not allowed"),
    ("https://a.cdn.example.org.evil.com/", "host that is not allowed"),
    ("https://media.example.org.evil.com/", "host that is not allowed"),
    ("https://media.example.org./", "no host name"),
    ("https://.cdn.example.org/", "no host name"),
    ("https://evil.com%2f.cdn.example.org/", "no host name"),
    ("https://evil.com\\.cdn.example.org/", "no host name"),
    ("https://a_b.cdn.example.org/", "no host name"),
    (f"https://{'a' * 64}.cdn.example.org/", "no host name"),
    (f"https://{'a.' * 120}cdn.example.org/", "no host name"),
    ("https://[::1/", "not a proper URL"),
    ("https://media.example.org/\ud800", "not a proper URL"),
    ("https://127.0.0.1/", "host that is not allowed"),
    ("https://2130706433/", "host that is not allowed"),
    ("https://0x7f.1/", "host that is not allowed"),
    ("https://[::1]/", "no host name"),
    ("https://[::ffff:127.0.0.1]/", "no host name"),
    ("https://ｍedia.example.org/", "not a proper URL"),  # a wide m
    ("https://mеdia.example.org/", "host that is not allowed"),  # a Cyrillic e
    ("https://me\u200ddia.example.org/", "not a proper URL"),
    ("https://media.example.org/\n", "not a proper URL"),
    ("https://media.example.org/" + "a" * 2048, "not a proper URL"),
]


@pytest.mark.parametrize(("url", "reason"), REFUSED)
def test_everything_else_is_refused(url: str, reason: str) -> None:
    with pytest.raises(UrlRefused, match=reason) as caught:
        RULES.check(url, "/videos/0/cover/url")
    (error,) = caught.value.errors
    assert error.pointer == "/videos/0/cover/url"
    assert "; " in error.detail  # what to do
    assert "secret" not in error.detail


def test_a_pattern_means_what_is_below_it() -> None:
    rules = UrlRules(Media(url_hosts=("*.example.org",)))
    assert rules.check("https://a.example.org/", "").host == "a.example.org"
    for host in ("example.org", "example.org.evil.com", "a.example.org.evil.com", "aexample.org"):
        with pytest.raises(UrlRefused, match="not allowed"):
            rules.check(f"https://{host}/", "")


def test_other_ports_where_they_are_allowed() -> None:
    rules = UrlRules(Media(url_hosts=("media.example.org",), url_ports=(8443,)))
    assert rules.check("https://media.example.org:8443/", "").port == 8443
    with pytest.raises(UrlRefused, match="allowed: 8443"):
        rules.check("https://media.example.org/", "")


def test_without_hosts_urls_are_off() -> None:
    with pytest.raises(UrlRefused, match="STREAMER_MEDIA__URL_HOSTS") as caught:
        UrlRules(Media()).check("https://media.example.org/", "/avatar/url")
    assert "send the bytes as data" in caught.value.detail


def _is_absolute(url: str) -> bool:
    """Whether it means the same wherever it is read."""
    scheme, _, rest = url.partition(":")
    return bool(scheme and rest.strip("/")) and not rest.startswith("///")


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/b?c=d", "https://media.example.org/b?c=d"),
        ("b", "https://media.example.org/x/b"),
        ("//a.cdn.example.org/b", "https://a.cdn.example.org/b"),
        ("https://a.cdn.example.org/b", "https://a.cdn.example.org/b"),
    ],
)
def test_a_redirect_goes_by_the_same_rules(location: str, leads_to: str) -> None:
    start = Target(httpx.URL("https://media.example.org/x/y"), "/avatar/url")
    target = RULES.redirect(start, location)
    assert (str(target.url), target.pointer, target.redirected) == (leads_to, "/avatar/url", True)


@pytest.mark.parametrize(("url", "reason"), [r for r in REFUSED if _is_absolute(r[0])])
def test_a_refused_redirect_does_not_tell_where_it_leads(url: str, reason: str) -> None:
    start = Target(httpx.URL("https://media.example.org/x/y"), "/avatar/url")
    with pytest.raises(UrlRefused, match=f"redirects to a URL that .*{reason}") as caught:
        RULES.redirect(start, url)
    assert "example.org" not in caught.value.detail
    assert "evil" not in caught.value.detail
    assert "127" not in caught.value.detail


PARTS = st.sampled_from(
    [
        *":/?#[]@\\.%*-_",
        "https://",
        "//",
        "media.example.org",
        "evil.com",
        "::1",
        "127.0.0.1",
        "xn--",
    ]
)


@settings(deadline=None)
@given(
    st.sampled_from(["", "https://", "https://media.example.org"]),
    st.lists(PARTS | st.text(max_size=3), max_size=6).map("".join),
)
def test_any_text_is_a_target_on_the_list_or_refused(start_of_it: str, rest: str) -> None:
    text = start_of_it + rest
    start = Target(httpx.URL("https://media.example.org/x/y"), "/avatar/url")
    for check in (lambda: RULES.check(text, ""), lambda: RULES.redirect(start, text)):
        try:
            target = check()
        except UrlRefused:
            continue
        assert target.host == "media.example.org" or target.host.endswith(".cdn.example.org")
        assert (target.url.scheme, target.port, target.url.userinfo) == ("https", 443, b"")
