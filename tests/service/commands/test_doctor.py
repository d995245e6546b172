"""`doctor` fails where `serve` would refuse the store, and leaves what is stored as it is."""

import asyncio
import contextlib
import hashlib
from pathlib import Path
from typing import Any

import pytest

from model_export.contract.bundle import MANIFEST
from service.commands.storage.starting import look_at_store
from service.errors import ModelMismatch
from service.features.models.records import RegisteredModel, Registry
from service.settings import Models, Settings
from service.store.base import Position
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.backup import ArchivedStore
from service.store.redis.connecting.format import FORMAT
from service.store.witness import Witness
from tests.bundles import write_bundle
from tests.service.conftest import Serve
from tests.service.process import error_line, run
from tests.service.store.records import put
from tests.service.valkey import Server

from .test_commands import doctor

pytestmark = pytest.mark.slow


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def log_of(data_dir: Path) -> dict[str, bytes]:
    return files(data_dir / "store" / "appendonlydir")


def refusal(bundle: Path, data_dir: Path, **variables: str) -> str:
    """What `serve` says, and `doctor` has to say too."""
    where = ("--bundle", bundle, "--data-dir", data_dir, "--port", 0)
    said = error_line(run("serve", *where, **variables)).removeprefix("error: ")
    status, checks = doctor(*where, **variables)
    assert status == 1
    assert checks["store"][0] == "fail"
    assert said in checks["store"][1]
    return said


def test_a_bundle_of_another_model(
    bundle: Path, tmp_path: Path, serve: Serve, free_port: int
) -> None:
    service = serve()
    service.put("a", tags=["cooking"])
    assert service.stop() == 0
    another, data_dir = tmp_path / "another", tmp_path / "data"
    write_bundle(another, seed=1)
    assert "the store holds vectors of model test-0, the bundle is test-1" in refusal(
        another, data_dir
    )
    before = log_of(data_dir)
    where = ("--data-dir", data_dir, "--port", free_port)
    status, checks = doctor("--bundle", another, *where, STREAMER_REENCODE="true")
    assert (status, checks["store"][0]) == (0, "ok")
    assert checks["store"][1].endswith("; profiles of model test-0 are encoded again by the start")
    for found in (doctor("--bundle", bundle, *where), doctor(*where)):
        assert (found[0], found[1]["store"][0]) == (0, "ok")
    assert log_of(data_dir) == before


def test_a_bundle_of_another_model_than_an_external_store(
    bundle: Path, tmp_path: Path, serve: Serve, server: Server
) -> None:
    service = serve(REDIS_URL=server.url)
    service.put("a", tags=["cooking"])
    assert service.stop() == 0
    write_bundle(tmp_path / "another", seed=1)
    said = refusal(tmp_path / "another", tmp_path / "data", REDIS_URL=server.url)
    assert "start with that model's bundle, or with --reencode" in said
    _, checks = doctor("--bundle", bundle, "--data-dir", tmp_path / "data", REDIS_URL=server.url)
    assert checks["store"] == ("ok", "REDIS_URL: always")


def test_what_was_acknowledged_by_the_store_before_a_roll_back(
    bundle: Path, tmp_path: Path, serve: Serve
) -> None:
    service = serve()
    service.put("a", tags=["cooking"])
    assert service.stop() == 0
    witness = Witness(tmp_path / "data")
    witness.write(Position("another", 1, ""))
    assert f"remove the file {witness.path}" in refusal(bundle, tmp_path / "data")
    witness.remove()
    assert doctor("--bundle", bundle, "--data-dir", tmp_path / "data")[1]["store"][0] == "ok"


def test_a_store_that_was_removed(bundle: Path, tmp_path: Path) -> None:
    Witness(tmp_path / "data").write(Position("one", 1, ""))
    assert "it is empty, and sequence 1 was acknowledged" in refusal(bundle, tmp_path / "data")
    assert not (tmp_path / "data" / "store").exists()


def test_a_format_of_a_newer_release(bundle: Path, tmp_path: Path) -> None:
    async def raise_format() -> None:
        async with EmbeddedStore(tmp_path / "data" / "store") as embedded:
            store = await ArchivedStore(embedded.url).open()
            async with contextlib.aclosing(store):
                await store.client.ask("HSET", "ss:meta", "format", FORMAT + 1)

    asyncio.run(raise_format())
    said = refusal(bundle, tmp_path / "data")
    assert f"the store is of format {FORMAT + 1}, and this release knows formats up to" in said


def test_a_model_that_was_promoted(bundle: Path, tmp_path: Path, server: Server) -> None:
    """The service answers by it, whatever bundle it is started with, if its bundle is there."""
    models = tmp_path / "models"
    write_bundle(models / "next", seed=1)
    given: dict[str, Any] = {"bundle": bundle, "data_dir": tmp_path, "redis_url": server.url}
    known, not_known = Settings(**given, models=Models(folder=models)), Settings(**given)

    async def scenario() -> None:
        store = await ArchivedStore(server.url).open()
        async with contextlib.aclosing(store):
            await put(store, "a")
            await store.set_model_version("test-1")
            with pytest.raises(ModelMismatch):
                await look_at_store(known, "test-0")
            digest = hashlib.sha256((models / "next" / MANIFEST).read_bytes()).hexdigest()
            made = RegisteredModel("test-1", "next", digest, "r", "c", 1, 1, 0.0, "")
            await Registry(store.documents).put("test-1", lambda _: made)
            found = await look_at_store(known, "test-0")
            assert found.detail.endswith(
                "; model test-1 was promoted, it answers in place of test-0"
            )
            with pytest.raises(ModelMismatch):
                await look_at_store(not_known, "test-0")
            again, not_again = (
                one.model_copy(update={"reencode": True}) for one in (known, not_known)
            )
            for settings in (again, not_again):
                found = await look_at_store(settings, "test-0")
                assert found.detail.endswith("of model test-1 are encoded again by the start")
            await store.client.ask("HSET", "ss:meta", "target_model", "test-0")  # which is kept
            found = await look_at_store(again, "test-0")
            assert found.detail.endswith("was promoted, it answers in place of test-0")
            with pytest.raises(ModelMismatch):
                await look_at_store(not_again, "test-0")
            await Registry(store.documents).update("test-1", sha256="of another bundle")
            with pytest.raises(ModelMismatch):
                await look_at_store(known, "test-0")

    asyncio.run(scenario())


def test_settings_that_are_wrong_are_told_once(tmp_path: Path) -> None:
    _, checks = doctor("--data-dir", tmp_path, STREAMER_LIMITS__MAX_K="many")
    assert checks["settings"][0] == "fail"
    assert checks["store"] == ("warn", "not looked at before the settings can be used")


@pytest.mark.usefixtures("forks")
@pytest.mark.parametrize(
    ("said", "variables"),
    [
        ("FAISS can't make an index 'Foo12'", {"STREAMER_INDEX__KIND": "Foo12"}),
        ("needs STREAMER_MILVUS_URI", {"STREAMER_INDEX__BACKEND": "milvus"}),
    ],
)
def test_an_index_that_can_not_be_made(
    bundle: Path, tmp_path: Path, said: str, variables: dict[str, str]
) -> None:
    where = ("--bundle", bundle, "--data-dir", tmp_path, "--port", 0)
    status, checks = doctor(*where, **variables)
    assert (status, checks["index"][0]) == (1, "fail")
    assert said in checks["index"][1]
    assert said in error_line(run("serve", *where, **variables))


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://milvus:19530", "milvus"),
        ("a=http://u:secret@milvus-a:19530,b=http://milvus-b:19530", "milvus, 2 clusters"),
        ("http://milvus-a:19530,http://milvus-b:19530", "milvus, 2 clusters"),
    ],
)
def test_addresses_of_milvus_are_read_by_the_service_alone(
    bundle: Path, tmp_path: Path, uri: str, said: str
) -> None:
    """Its client reads the variable too when it is imported, as one address."""
    where = ("--bundle", bundle, "--data-dir", tmp_path, "--port", 0)
    _, checks = doctor(*where, STREAMER_INDEX__BACKEND="milvus", MILVUS_URI=uri)
    assert checks["index"] == ("ok", said)
