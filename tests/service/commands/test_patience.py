"""How long commands wait for a service, and what they print where it breaks off."""

import http.server
import json
from typing import Any, ClassVar

import pytest

from service.__main__ import main
from service.client import Unreachable
from service.client.patience import Attempts
from service.commands.feed import events
from service.commands.questions.asking import patience_through_restarts
from service.features.events.schemas import EventPage
from service.features.jobs.schemas import EXAMPLE, EXAMPLE_ID
from service.features.ratings.schemas import RatingPage
from tests.service.commands.conftest import end_main_thread, serving


class Away(http.server.BaseHTTPRequestHandler):
    """A service that can't answer before so many seconds have passed."""

    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(503)
        self.send_header("Retry-After", "25")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_DELETE = do_POST

    def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        pass


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "space promote als-64 g1",
        "space rollback als-64",
        "space erase als-64 u1",
        "models register folder",
        "models shadow m --sample 0.1",
        "models canary m 0.1",
        "models promote m",
        "models rollback",
        "models retire m",
    ],
)
def test_a_switch_is_waited_for_as_long_as_it_says(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Away.asked.clear()
    with serving(Away) as url:
        assert main([*words.split(), "--timeout", "20", "--url", url]) == 1
    assert "answers 503" in capsys.readouterr().err
    assert len(Away.asked) == 1  # there was no time for another one


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "default"),
    [
        ("space put", "(3600 s)"),
        ("space promote", "(660 s)"),
        ("space list", "(30 s)"),
        ("cases export", "(3600 s)"),
        ("models promote", "(90 s)"),
        ("models list", "(30 s)"),
    ],
)
def test_help_tells_how_long_is_waited(
    words: str, default: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*words.split(), "--help"])
    assert default in capsys.readouterr().out


class Answers(http.server.BaseHTTPRequestHandler):
    """Gives prepared answers, the last one first."""

    left: ClassVar[list[tuple[int, str]]] = []

    def do_GET(self) -> None:
        status, text = self.left.pop()
        body = text.encode()
        self.send_response(status)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        pass


@pytest.mark.slow
def test_a_job_is_watched_through_all_that_passes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    away = [(status, "<p>") for status in (429, 504, 502, 503)]
    monkeypatch.setattr(Answers, "left", [(200, json.dumps(EXAMPLE)), *away])
    with serving(Answers) as url:
        assert main(["jobs", "watch", EXAMPLE_ID, "--url", url]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == EXAMPLE["result"]
    assert err == "import: succeeded, 2 of 2\n"


@pytest.mark.slow
def test_a_follower_of_events_waits_for_a_service_that_is_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_POLL_S", 0.01)
    page: dict[str, Any] = EventPage.model_json_schema()["examples"][0]
    gone = json.dumps({"type": "t", "title": "t", "status": 404, "code": "gone", "detail": "why"})
    answers = [(404, gone), (200, json.dumps(page)), *[(502, "<p>")] * 9]
    monkeypatch.setattr(Answers, "left", answers)
    with serving(Answers) as url:
        assert main(["events", "--follow", "--json", "--url", url]) == 1
    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == page["events"]
    waits, cursor, failed = err.splitlines()
    assert waits.startswith(f"waiting for the service: {url} answers 502")
    assert cursor == f"go on with --cursor {page['next_cursor']}"
    assert failed == "error: gone (404): why"


class Answered(Answers):
    """The same, and then a signal in place of an answer."""

    def do_GET(self) -> None:
        if self.left:
            super().do_GET()
        else:
            end_main_thread()


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_follower_of_events_that_is_ended_tells_where_to_go_on(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_POLL_S", 0.01)
    page: dict[str, Any] = EventPage.model_json_schema()["examples"][0]
    first = page["events"][0]
    odd = first | {"data": first["data"] | {"note": "a\tb\n\x1b[2J"}}
    monkeypatch.setattr(Answers, "left", [(200, json.dumps(page | {"events": [odd]}))])
    with serving(Answered) as url:
        assert main(["events", "--follow", *options, "--url", url]) == 143
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        f"go on with --cursor {page['next_cursor']}",
        "stopped by SIGTERM",
    ]
    if options:
        assert json.loads(out) == odd
    else:
        assert out.splitlines()[1].endswith("note=a b  [2J")


@pytest.mark.slow
def test_an_export_of_ratings_that_breaks_off_prints_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page: dict[str, Any] = RatingPage.model_json_schema()["examples"][0]
    gone = json.dumps({"type": "t", "title": "t", "status": 404, "code": "gone", "detail": "why"})
    last, more = json.dumps(page | {"next_cursor": None}), json.dumps(page | {"next_cursor": "c"})
    for second, status, lines in (((404, gone), 1, 0), ((200, last), 0, 2 * len(page["ratings"]))):
        monkeypatch.setattr(Answers, "left", [second, (200, more)])
        with serving(Answers) as url:
            assert main(["ratings", "export", "--url", url]) == status
        assert len(capsys.readouterr().out.splitlines()) == lines


def test_long_work_asks_until_its_time_is_over() -> None:
    tries = Attempts(patience_through_restarts(120))
    pauses = [tries.pause_after(Unreachable("gone")) for _ in range(100)]
    assert max(pauses) <= 4
