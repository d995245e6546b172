"""What the demo refuses in a line, before its long steps."""

import http.server
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from demo.__main__ import main
from demo.errors import DemoError
from demo.profiles import read_profiles
from demo.serving import Service
from tests.support.machine import free_port


@pytest.mark.parametrize("line", [b"{not json}", b"[]", b'"text"', b'{"name": "n"}', b"\xff{}"])
def test_a_line_that_is_no_profile_is_named(
    line: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "set" / "streamers.jsonl"
    file.parent.mkdir()
    file.write_bytes(b'\xef\xbb\xbf{"streamer_id": "a"}\n\n' + line + b"\n")
    words = ["--data", str(file.parent), "--build", str(tmp_path), "--port", str(free_port())]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"demo: {file}:3 is no profile (")
    assert said.endswith(f"`python -m training data validate {file.parent}` tells what is wrong\n")
    file.write_bytes(b'\xef\xbb\xbf{"streamer_id": "a"}\n\n')
    assert list(read_profiles(file.parent)) == ["a"]


def test_a_world_that_is_too_small_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--streamers", "0"])
    assert "--streamers must be at least 27, not 0" in capsys.readouterr().err


class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        pass


def test_a_service_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed, subprocess.Popen([sys.executable, "-c", ""]) as process:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", nobody)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ready) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            service = Service(f"http://127.0.0.1:{server.server_address[1]}", process)
            assert service.is_ready()
            assert service.ask("GET", "/v1/streamers") == {}
            server.shutdown()
        with pytest.raises(DemoError, match="GET /readyz: the service did not answer"):
            Service(nobody, process).ask("GET", "/readyz")
