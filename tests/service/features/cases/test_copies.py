"""Profiles in the archive of a case: as they were seen, or what else became of them."""

import asyncio
import base64
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.__main__ import main
from service.app import create_app
from service.features.cases.exports.archive import Archive, Damaged, verify
from service.features.cases.keeping import KeptCases
from service.settings import Settings
from tests.bundles import write_bundle_with_evidence
from tests.service.conftest import put
from tests.service.features.cases.test_cases import act, begin, bio, chain, evaluated, videos

PICTURE = {"data": base64.b64encode(b"\x89PNG").decode(), "content_type": "image/png"}
Change = Callable[[dict[str, bytes]], None]


@pytest.fixture
def without_bytes(tmp_path: Path) -> Iterator[TestClient]:
    """A service that stores no media."""
    write_bundle_with_evidence(tmp_path / "bundle")
    settings = Settings(
        bundle=tmp_path / "bundle",
        data_dir=tmp_path / "data",
        media={"keep_bytes": False},  # type: ignore[arg-type]
    )
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client


def exported(client: TestClient, case: dict[str, Any], file: Path) -> Path:
    answer = client.get(f"/v1/cases/{case['case_id']}/export").raise_for_status()
    file.write_bytes(answer.content)
    return file


def profiles(file: Path) -> dict[str, dict[str, Any]]:
    """What the archive says of each profile."""
    with zipfile.ZipFile(file) as found:
        lines = [json.loads(line) for line in found.read("profiles.ndjson").splitlines()]
    return {each["streamer_id"]: each for each in lines}


def forged(file: Path, change: Change) -> Path:
    """Another archive with sound bytes, of files that were changed."""
    with zipfile.ZipFile(file) as found:
        files = {name: found.read(name) for name in found.namelist() if name != "manifest.json"}
    change(files)
    content = io.BytesIO()
    archive = Archive(content)
    for name, each in files.items():
        archive.add(name, each)
    archive.close()
    other = file.with_name("forged.zip")
    other.write_bytes(content.getvalue())
    return other


def with_a_picture(client: TestClient) -> dict[str, Any]:
    """A case of which one shows a picture."""
    chain(client)
    shows = {"name": "Bo", "bio": bio("bo", "lunaris4471"), "videos": videos("bo")}
    evaluated(client, put(client, "bo", **shows, avatar=PICTURE))
    return act(client, begin(client, "ana"), "expand")


@pytest.mark.slow
def test_an_archive_without_media_is_sound(without_bytes: TestClient, tmp_path: Path) -> None:
    case = with_a_picture(without_bytes)
    file = exported(without_bytes, case, tmp_path / "case.zip")
    checked = verify(file)
    assert (checked.members, checked.profiles, checked.changed) == (4, 4, 0)
    told = profiles(file)
    assert {each["state"] for each in told.values()} == {"as_seen"}
    assert told["bo"]["sha256"] != told["bo"]["digest"]
    assert told["ana"]["sha256"] == told["ana"]["digest"]

    def other_words(files: dict[str, bytes]) -> None:
        files["profiles/bo.json"] = files["profiles/bo.json"].replace(b"Bo", b"Bob")

    with pytest.raises(Damaged, match=r"bo\.json is not the profile that was copied"):
        verify(forged(file, other_words))


@pytest.mark.slow
@pytest.mark.parametrize("said", [True, False])
def test_a_profile_that_was_not_seen_is_noticed(
    client: TestClient, tmp_path: Path, said: bool
) -> None:
    chain(client)
    case = act(client, begin(client, "ana"), "expand")
    file = exported(client, case, tmp_path / "case.zip")

    def another(files: dict[str, bytes]) -> None:
        was, told = profiles(file)["bo"], files["profiles.ndjson"]
        now = profiles(file)["cyd"]["sha256"]
        files["profiles/bo.json"] = files["profiles/cyd.json"]
        files["profiles.ndjson"] = told.replace(
            f'"sha256":"{was["sha256"]}"'.encode(), f'"sha256":"{now}"'.encode()
        )
        if not said:  # as older releases wrote archives
            del files["profiles.ndjson"]

    with pytest.raises(Damaged, match=r"bo\.json is not the profile that was seen"):
        verify(forged(file, another))

    def older(files: dict[str, bytes]) -> None:
        del files["profiles.ndjson"]

    assert verify(forged(file, older)).profiles == 4


@pytest.mark.slow
def test_who_was_written_while_a_run_was_made_is_said_to_have_changed(
    client: TestClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chain(client)
    kept: KeptCases = client.app_state["services"].cases.kept
    write = kept.write_run

    async def after_others_wrote(*args: Any) -> Any:
        await asyncio.to_thread(put, client, "bo", name="Bo", bio="something else entirely")
        await asyncio.to_thread(lambda: client.delete("/v1/streamers/cyd").raise_for_status())
        return await write(*args)

    monkeypatch.setattr(kept, "write_run", after_others_wrote)
    case = act(client, begin(client, "ana"), "expand")
    file = exported(client, case, tmp_path / "case.zip")
    checked = verify(file)
    assert (checked.members, checked.profiles, checked.changed) == (4, 3, 1)
    states = {name: each["state"] for name, each in profiles(file).items()}
    assert states == {"ana": "as_seen", "bo": "changed", "cyd": "not_stored", "dee": "as_seen"}
    with zipfile.ZipFile(file) as found:
        assert json.loads(found.read("profiles/bo.json"))["bio"] == "something else entirely"
    assert main(["verify-case", str(file)]) == 0
    assert "1 profiles were written since" in capsys.readouterr().out

    client.delete("/v1/streamers/dee", params={"erase": True}).raise_for_status()
    file = exported(client, case, tmp_path / "case.zip")
    assert verify(file).profiles == 2
    assert profiles(file)["dee"]["state"] == "erased"
