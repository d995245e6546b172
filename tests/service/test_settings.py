"""Settings from the environment, and what is refused there."""

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from service.commands.serve import add_arguments, settings_of
from service.commands.stores import add_data_dir, chunks_dir, external_address
from service.errors import StartupError
from service.settings import Media, Settings
from service.settings.reading import without_effect


def read(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return settings_of(parser.parse_args(["--bundle", "bundle"]))


def test_urls_are_off_unless_hosts_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch).media == Media()
    assert read(monkeypatch, STREAMER_MEDIA__URL_HOSTS="").media.url_hosts == ()


def test_hosts_and_ports_are_lists_by_comma(monkeypatch: pytest.MonkeyPatch) -> None:
    media = read(
        monkeypatch,
        STREAMER_MEDIA__URL_HOSTS="Media.Example.org, *.cdn.example.org",
        STREAMER_MEDIA__URL_PORTS="443,8443",
        STREAMER_MEDIA__URL_MAX_BYTES="2048",
    ).media
    assert media.url_hosts == ("media.example.org", "*.cdn.example.org")
    assert (media.url_ports, media.url_max_bytes) == ((443, 8443), 2048)


@pytest.mark.parametrize(
    "host",
    [
        "*",
        "*.org",
        "a.*.org",
        "*media.example.org",
        "media",
        "localhost",
        "127.0.0.1",
        "::1",
        "[::1]",
        "media.example.org:443",
        "https://media.example.org",
        "media.example.org/",
        "media.example.org.",
        "-a.example.org",
        "bücher.example.org",
        "media.example.org,,b.example.org",
        '["media.example.org"]',
        "a." * 130 + "org",
    ],
)
def test_what_is_no_host_is_named(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    with pytest.raises(StartupError, match=r"STREAMER_MEDIA__URL_HOSTS__\d: .*write media\.exam"):
        read(monkeypatch, STREAMER_MEDIA__URL_HOSTS=host)


@pytest.mark.parametrize("port", ["0", "65536", "https"])
def test_what_is_no_port_is_named(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    with pytest.raises(StartupError, match="STREAMER_MEDIA__URL_PORTS__0"):
        read(monkeypatch, STREAMER_MEDIA__URL_PORTS=port)


@pytest.mark.parametrize("write", [str.upper, str.lower, str.title])
def test_commands_read_where_the_store_is_as_the_service_does(
    monkeypatch: pytest.MonkeyPatch, write: Callable[[str], str], tmp_path: Path
) -> None:
    for name, value in {
        "REDIS_URL": "redis://streamers/0",
        "STREAMER_STORE__SENTINELS": "a:1,b:2",
        "STREAMER_STORE": '{"replicas": 2}',
        "STREAMER_SPACES__CHUNKS_DIR": str(tmp_path),
        "STREAMER_DATA_DIR": "elsewhere",
        "STREAMER_LIMITS__NO_LIMIT": "which the command does not need",
    }.items():
        monkeypatch.setenv(write(name), value)
    address = external_address()
    assert address is not None
    assert (address.sentinels, address.replicas) == ((("a", 1), ("b", 2)), 2)
    assert chunks_dir() == tmp_path
    parser = argparse.ArgumentParser()
    add_data_dir(parser)
    assert parser.parse_args([]).data_dir == Path("elsewhere")


def test_a_wrong_setting_of_the_store_is_named_to_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("redis_url", "redis://streamers/0")
    monkeypatch.setenv("streamer_store__replicas", "many")
    with pytest.raises(StartupError, match=r"^STREAMER_STORE__REPLICAS: .*integer"):
        external_address()
    monkeypatch.setenv("streamer_store", "{")
    with pytest.raises(StartupError, match="store"):
        external_address()


@pytest.mark.parametrize("entries", ["9999", "10000001", "few"])
def test_a_length_of_the_log_that_is_none(monkeypatch: pytest.MonkeyPatch, entries: str) -> None:
    with pytest.raises(StartupError, match=r"^STREAMER_STORE__LOG_ENTRIES: "):
        read(monkeypatch, STREAMER_STORE__LOG_ENTRIES=entries)


def test_variables_without_effect_are_told_and_no_others() -> None:
    told = without_effect(
        {
            "STREAMER_LIMTS__MAX_K": "5",
            "STREAMER_PORT_8000_TCP_ADDR": "10.0.0.1",
            "STREAMER_LIMITS__MAX_KK": "refused elsewhere",
            "STREAMER_API_KEY": "a-secret",
            "streamer_host": "::1",
            "STREAMER_LIMITS": "{}",
            "STREAMER_REDIS_URL": "",
            "REDIS_URL": "",
            "STREAMER_URL": "",
            "HOME": "/",
        }
    )
    assert [said.partition(" ")[0] for said in told] == [
        "STREAMER_LIMTS__MAX_K",
        "STREAMER_PORT_8000_TCP_ADDR",
    ]
    assert "did you mean STREAMER_LIMITS__MAX_K?" in told[0]


@pytest.mark.parametrize("name", ["THREADS", "MAX_QUEUE", "DEADLINE_MS"])
@pytest.mark.parametrize("group", ["SEARCHING", "ENCODING", "TOWERS"])
def test_settings_of_before_name_what_replaces_them(
    monkeypatch: pytest.MonkeyPatch, group: str, name: str
) -> None:
    variable, said = f"STREAMER_{group}__{name}", f"any more, STREAMER_WORK__{name} replaces it; "
    told = without_effect({variable.lower(): "1"})
    if group == "SEARCHING":  # there is no such group
        assert len(told) == 1
        assert said in told[0]
        return
    assert told == []
    with pytest.raises(StartupError, match=f"^{variable}: is no setting {said}"):
        read(monkeypatch, **{variable: "1"})


@pytest.mark.parametrize("group", ["ENCODING", "TOWERS"])
def test_settings_that_nothing_replaces_are_to_be_unset(
    monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    variable = f"STREAMER_{group}__MAX_WAIT_MS"
    with pytest.raises(StartupError, match=f"^{variable}: is no setting any more: unset it; docs"):
        read(monkeypatch, **{variable: "2"})
