"""`models compare`, `flips`, `promote` and `rollback` on the command line."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from service.__main__ import main
from service.client import Client
from service.client.models import ModelVersionOut
from tests.service.features.models.comparing import BAD, FIRST, fill, rate, ready, write_models
from tests.service.process import Service, wait_until

pytestmark = pytest.mark.slow


class Terminal(io.StringIO):
    """What somebody types."""

    def isatty(self) -> bool:
        return True


def test_a_comparison_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_models(tmp_path / "models")
    with Service(
        folder / "first",
        tmp_path / "data",
        STREAMER_MODELS__FOLDER=str(folder),
        STREAMER_MODELS__GATE_FEWEST_QUESTIONS="4",
    ) as service:
        service.wait_until_ready()

        def ran(*arguments: str, status: int = 0) -> str:
            assert main(["models", *arguments, "--url", service.url]) == status
            return capsys.readouterr().out

        def model(name: str) -> ModelVersionOut:
            with Client(service.url) as python:
                return python.models.get(name)

        client: Any = service.client
        fill(client)
        rate(client)
        ready(client, "bad", BAD)
        assert main(["models", "promote", BAD, "--url", service.url]) == 1
        assert f"/v1/models/{BAD}:compare" in capsys.readouterr().err
        found = json.loads(ran("compare", BAD, "--sample", "7", "--json", status=1))
        assert (found["status"], found["neighbours"]["sample"]) == ("failed", 7)
        lines = ran("compare", BAD, "--last", status=1).splitlines()
        assert lines[0] == f"{BAD} beside {FIRST}: failed"
        assert any(line.startswith("ratings\tfailed\t") for line in lines)
        assert json.loads(ran("compare", BAD, "--last", "--json", status=1)) == found
        listed = json.loads(ran("flips", BAD, "ratings", "--limit", "2", "--json"))["flips"]
        assert len(listed) == 2
        assert len(ran("flips", BAD, "ratings").splitlines()) == 1 + found["flips"]["ratings"]
        assert f"{BAD}\tshadow" in ran("shadow", BAD, "--sample", "100%")
        client.get("/v1/streamers/cooking-01/similar").raise_for_status()
        wait_until(
            lambda: json.loads(ran("shadow", BAD, "--json"))["compared"] == 1, "it is compared"
        )
        told = ran("shadow", BAD)
        assert told.startswith(f"{BAD} beside {FIRST}: 1 of 1 questions compared on 1 replicas")
        assert "largest changes:" in told
        assert f"{BAD}\tready" in ran("shadow", BAD, "--stop")
        assert f"{BAD}\tcanary" in ran("canary", BAD, "0.25")
        assert json.loads(ran("canary", BAD, "0", "--json"))["canary_share"] == 0
        with pytest.raises(SystemExit):
            main(["models", "canary", BAD, "101%"])
        assert "must be from 0 to 1" in capsys.readouterr().err
        assert main(["models", "promote", BAD, "--force", "--url", service.url]) == 0
        out, err = capsys.readouterr()
        assert err.startswith("warning: promoted by force: ratings")
        assert f"{BAD}\tactive" in out
        monkeypatch.setattr(sys, "stdin", Terminal("\ny\n"))
        assert main(["models", "rollback", "--url", service.url]) == 1
        err = capsys.readouterr().err
        assert f"{BAD} answers. Answer by {FIRST} from now on? [y/N]" in err
        assert "nothing was changed" in err
        wait_until(lambda: all(each.is_indexed for each in model(FIRST).replicas), "it is kept")
        assert f"{FIRST}\tactive" in ran("rollback")
        # Another operator, who saw what was before.
        assert main(["models", "rollback", "--from", BAD, "--url", service.url]) == 1
        assert f"model '{FIRST}' is active, not '{BAD}'" in capsys.readouterr().err
        assert model(FIRST).state == "active"
        with pytest.raises(SystemExit):
            main(["models", "compare", BAD, "--sample", "0"])
        assert "must be from 1 to 10000" in capsys.readouterr().err
