"""Starts after a promotion: what was promoted answers, whatever the settings and the disk are."""

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from model_export.contract.bundle import Bundle
from model_export.contract.established import Established
from service.bootstrap.models import switching
from tests.service.features.models.test_life_cycle import (
    FIRST,
    NEXT,
    answers,
    backfilled,
    fill,
    model,
    opened,
)
from tests.service.features.models.test_life_cycle import folder as folder
from tests.service.process import error_line, run, wait_until


@pytest.fixture
def promoted(folder: Path, tmp_path: Path) -> dict[str, list[Any]]:
    """What each model answered before the service was stopped, the next one last."""
    with opened(folder, tmp_path / "data") as client:
        fill(client)
        before = answers(client)
        backfilled(client)
        client.post(f"/v1/models/{NEXT}:promote").raise_for_status()
        return {FIRST: before, NEXT: answers(client)}


def until_ready(client: TestClient) -> None:
    wait_until(lambda: client.get("/readyz").status_code == 200, "it is ready")


def is_indexed(client: TestClient, name: str) -> bool:
    """Whether all may answer by a model at once; one that has ended is counted for a while."""
    return all(each["is_indexed"] for each in model(client, name)["replicas"])


@pytest.mark.slow
def test_a_setting_to_encode_again_undoes_no_promotion(
    folder: Path,
    tmp_path: Path,
    promoted: dict[str, list[Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    with opened(folder, tmp_path / "data", reencode=True) as client:
        until_ready(client)
        assert "--reencode (STREAMER_REENCODE) is ignored" in caplog.text
        assert answers(client) == promoted[NEXT]
        wait_until(lambda: is_indexed(client, FIRST), "the other one is kept")
        client.post("/v1/models:rollback").raise_for_status()
        assert answers(client) == promoted[FIRST]
    with opened(folder, tmp_path / "data", reencode=True) as client:
        until_ready(client)
        assert answers(client) == promoted[FIRST]
        wait_until(lambda: is_indexed(client, NEXT), "the next one is kept")


@pytest.mark.slow
def test_one_that_was_retired_is_encoded_for_again_when_asked(
    folder: Path, tmp_path: Path, promoted: dict[str, list[Any]]
) -> None:
    with opened(folder, tmp_path / "data") as client:
        until_ready(client)
        client.post(f"/v1/models/{FIRST}:retire").raise_for_status()
    with opened(folder, tmp_path / "data") as client:
        until_ready(client)
        assert answers(client) == promoted[NEXT]
    with opened(folder, tmp_path / "data", reencode=True) as client:
        until_ready(client)
        assert {answer["model_version"] for answer in answers(client)} == {FIRST}


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--reencode",)], ids=["as it was", "encoding again"])
def test_a_promoted_bundle_that_is_gone(
    folder: Path, tmp_path: Path, promoted: dict[str, list[Any]], options: tuple[str, ...]
) -> None:
    shutil.move(folder / "next", tmp_path / "kept")
    start = ("serve", "--bundle", folder / "first", "--data-dir", tmp_path / "data", "--port", 0)
    said = error_line(run(*start, *options, STREAMER_MODELS__FOLDER=str(folder)))
    assert f"model {NEXT} was promoted over {FIRST}, which is kept beside it" in said
    assert "put it back below STREAMER_MODELS__FOLDER" in said
    shutil.move(tmp_path / "kept", folder / "next")
    with opened(folder, tmp_path / "data") as client:
        until_ready(client)
        assert answers(client) == promoted[NEXT]


@pytest.mark.slow
def test_a_start_needs_no_room_for_the_other_model(
    folder: Path,
    tmp_path: Path,
    promoted: dict[str, list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(switching, "_AGAIN_S", 0.0)
    in_the_way = tmp_path / "data" / "second-models"
    shutil.rmtree(in_the_way, ignore_errors=True)
    in_the_way.write_bytes(b"")  # nothing can be made below it
    caplog.set_level(logging.WARNING)
    with opened(folder, tmp_path / "data") as client:
        until_ready(client)
        assert answers(client) == promoted[NEXT]
        wait_until(lambda: f"model {FIRST} can't be opened" in caplog.text, "it tells why")
        assert not is_indexed(client, FIRST)
        in_the_way.unlink()
        wait_until(lambda: is_indexed(client, FIRST), "it is opened once that can be")
        client.post("/v1/models:rollback").raise_for_status()
        assert answers(client) == promoted[FIRST]


def test_what_a_bundle_lists_is_read_beside_the_event_loop(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    established, on_the_loop = Bundle.established, list[bool]()

    def noted(bundle: Bundle) -> Established | None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            on_the_loop.append(False)
        else:
            on_the_loop.append(True)
        return established(bundle)

    monkeypatch.setattr(Bundle, "established", noted)
    with opened(folder, tmp_path / "data") as client:
        fill(client)
        backfilled(client)
    assert on_the_loop == [False, False]
