"""A data folder that holds another model's vectors."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.bundles import DIM, SHORT_DIM, TOPICS, write_bundle
from tests.service.conftest import Serve
from tests.service.data_sets import NDJSON, json_line
from tests.service.process import ROOT, Service, error_line, is_free, run, wait_until

pytestmark = pytest.mark.slow

MANY = 4000
TOPIC_NAMES = tuple(TOPICS)
_HELD = f"""
import asyncio
from service.features.models import reencode

_reencode = reencode._reencode

async def held(store, writes, ids, model_version):
    if "s{MANY - 1:04}" in ids:
        await asyncio.Event().wait()
    return await _reencode(store, writes, ids, model_version)

reencode._reencode = held
"""
"""Python runs it when it starts: the last part is never encoded, however late the kill comes."""


@pytest.fixture(scope="session")
def next_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "next"
    write_bundle(folder, seed=1)
    return folder


@pytest.fixture(scope="module")
def stored_by_the_first_model(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many streamers, more than are encoded again in one go."""
    data_dir = tmp_path_factory.mktemp("many") / "data"
    with Service(bundle, data_dir) as service:
        service.wait_until_ready()
        profiles = [
            {"streamer_id": f"s{i:04}", "name": f"n{i}", "tags": [TOPIC_NAMES[i % 4]]}
            for i in range(MANY)
        ]
        for start in range(0, MANY, 1000):
            results = service.bulk(profiles[start : start + 1000])
            assert {result["outcome"] for result in results} == {"created"}
    return data_dir


def refused(bundle: Path, data_dir: Path) -> str:
    return error_line(run("serve", "--bundle", bundle, "--data-dir", data_dir, "--port", 0))


def embedding(service: Service, streamer_id: str) -> list[float]:
    answer = service.client.get(f"/v1/streamers/{streamer_id}/embedding")
    answer.raise_for_status()
    return answer.json()["embedding"]


def test_another_model_needs_leave(
    bundle: Path, next_bundle: Path, tmp_path: Path, serve: Serve
) -> None:
    service = serve()
    data_dir = service.data_dir
    service.put("a", name="one", tags=["cooking"])
    service.put("b", name="two", tags=["cooking"], bio="kitchen noodles")
    service.put("thin", name="says nothing")
    before, profiles = embedding(service, "a"), service.streamers()
    service.stop()
    said = refused(next_bundle, data_dir)
    assert "the store holds vectors of model test-0, the bundle is test-1" in said
    assert "start with that model's bundle, or with --reencode" in said
    assert is_free(data_dir)
    # Nothing was changed: the first model goes on with it.
    service = serve()
    assert service.streamers() == profiles
    assert embedding(service, "a") == before
    service.stop()
    # With leave, everybody is found with the new model's vectors.
    service = serve("--reencode", bundle=next_bundle)
    found = service.streamers()
    for kept in ("profile", "updated_at"):  # nobody wrote them
        assert {i: s[kept] for i, s in found.items()} == {i: s[kept] for i, s in profiles.items()}
    assert {s["model_version"] for s in found.values()} == {"test-1"}
    assert {i: s["status"] for i, s in found.items()} == {
        "a": "indexed",
        "b": "indexed",
        "thin": "insufficient_content",
    }
    assert embedding(service, "a") != before
    service.put("fresh", name="one", tags=["cooking"])
    assert embedding(service, "fresh") == pytest.approx(embedding(service, "a"), abs=5e-5)
    sequence = service.put("fresh", name="one", tags=["cooking"])
    assert service.similar(sequence, tags=["cooking"]) == {"a", "b", "fresh"}
    service.stop()
    # From then on it is the new model's folder.
    assert "vectors of model test-1, the bundle is test-0" in refused(bundle, data_dir)
    assert set(serve(bundle=next_bundle).streamers()) == {"a", "b", "thin", "fresh"}


def test_whose_bytes_are_not_kept_is_unchanged_when_it_comes_again(
    next_bundle: Path, serve: Serve
) -> None:
    def outcomes(service: Service) -> set[str]:
        address = "/v1/streamers:bulk?skip_unchanged=true"
        avatar = {
            "data": base64.b64encode(b"picture").decode(),
            "content_type": "image/png",
        }
        line = json_line({"streamer_id": "a", "tags": ["cooking"], "avatar": avatar})
        answer = service.client.post(address, content=line, headers=NDJSON)
        return {json.loads(each)["outcome"] for each in answer.iter_lines()}

    kept = {"STREAMER_MEDIA__KEEP_BYTES": "false"}
    service = serve(**kept)
    assert outcomes(service) == {"created"}
    assert outcomes(service) == {"unchanged"}
    service.stop()
    assert outcomes(serve("--reencode", bundle=next_bundle, **kept)) == {"unchanged"}


def test_an_empty_folder_takes_any_model(next_bundle: Path, serve: Serve) -> None:
    serve().stop()
    assert serve(bundle=next_bundle).put("a", tags=["cooking"]) == 1


def test_a_profile_that_the_new_model_can_not_read(next_bundle: Path, serve: Serve) -> None:
    service = serve()
    data_dir = service.data_dir
    for i in range(300):
        service.put(f"s{i:03}", tags=["cooking"])
    cover = {"vector": [1.0, 2.0], "space": "no-longer-known"}
    profile = {"streamer_id": "s299", "tags": ["cooking"], "avatar": cover}
    with Redis(unix_socket_path=str(data_dir / "store" / "run" / "store.sock")) as store:
        store.hset("ss:record:s299", "profile", json.dumps(profile))
    service.stop()
    done = run(
        *("serve", "--bundle", next_bundle, "--data-dir", data_dir, "--port", 0, "--reencode")
    )
    said = error_line(done)
    assert "stored streamer 's299' can't be read by model test-1: /avatar/space: vector" in said
    assert "bundle of the model before to go back" in said
    # That model is still there for everybody, the first 200 included.
    service = serve("--reencode")
    assert {s["model_version"] for s in service.streamers().values()} == {"test-0"}
    assert service.client.get("/readyz").json()["index_rows"] == 300


def test_re_encoding_that_is_killed_is_finished_later(
    bundle: Path, next_bundle: Path, stored_by_the_first_model: Path, tmp_path: Path
) -> None:
    data_dir = stored_by_the_first_model
    (tmp_path / "sitecustomize.py").write_text(_HELD)
    held: dict[str, Any] = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    with Service(next_bundle, data_dir, "--reencode", **held) as killed:
        begun = "encoded 200 streamers again"
        wait_until(lambda: begun in killed.output, "it has begun", every_s=0.02)
        killed.stand_still()
        store = killed.store
        killed.kill()
        assert f"encoded {MANY} streamers again" not in killed.output
        wait_until(lambda: is_free(data_dir), f"store {store.pid} ends")
    # Half of the vectors are of one model, half of the other: nobody may search them.
    for either in (bundle, next_bundle):
        said = refused(either, data_dir)
        assert "was not re-encoded to the end" in said
        assert "start with --reencode" in said
    with Service(next_bundle, data_dir, "--reencode") as service:
        service.wait_until_ready()
        streamers = service.streamers()
        assert len(streamers) == MANY
        assert {s["model_version"] for s in streamers.values()} == {"test-1"}
        assert service.client.get("/readyz").json()["index_rows"] == MANY
        # Those that were done before the kill were not done again.
        assert f"encoded {MANY} streamers again" not in service.output
    with Service(next_bundle, data_dir) as service:
        assert service.wait_until_ready().client.get("/readyz").json()["index_rows"] == MANY


def test_another_width_is_another_model(bundle: Path, serve: Serve) -> None:
    service = serve()
    data_dir = service.data_dir
    service.put("a", name="one", tags=["cooking"])
    service.put("b", name="two", tags=["cooking"], bio="kitchen noodles")
    full = embedding(service, "a")
    assert len(full) == DIM
    service.stop()
    start = ("serve", "--bundle", bundle, "--data-dir", data_dir, "--port", 0)
    said = error_line(run(*start, STREAMER_VARIANT="int8"))
    assert "STREAMER_VARIANT=int8: test-0 has no variant 'int8'; it has: none" in said
    said = error_line(run(*start, STREAMER_DIM="33"))
    assert f"STREAMER_DIM=33: test-0 has no 33 dimensions, it has {SHORT_DIM}, {DIM}" in said
    said = error_line(run(*start, STREAMER_DIM=str(SHORT_DIM)))
    assert "the store holds vectors of model test-0, the bundle is test-0-d32" in said
    # With leave, the index, the stored vectors and the answers have that width.
    service = serve("--reencode", STREAMER_DIM=str(SHORT_DIM))
    short = embedding(service, "a")
    length = sum(x * x for x in full[:SHORT_DIM]) ** 0.5
    assert short == pytest.approx([x / length for x in full[:SHORT_DIM]], abs=5e-5)  # of 16 bits
    assert {s["model_version"] for s in service.streamers().values()} == {"test-0-d32"}
    assert service.similar(tags=["cooking"]) == {"a", "b"}
    query = {"positive": [{"vector": full}]}
    refusal = service.client.post("/v1/similar", json=query)
    assert refusal.status_code == 422
    assert f"{SHORT_DIM}" in refusal.json()["detail"]
    query = {"positive": [{"vector": short}], "explain": True}
    hits = service.client.post("/v1/similar", json=query).json()["hits"]
    assert (hits[0]["streamer_id"], hits[0]["score"]) == ("a", pytest.approx(1, abs=1e-4))
    query = {"positive": [{"streamer_id": "a"}], "min_precision": 0.5}
    refusal = service.client.post("/v1/similar", json=query)
    assert refusal.status_code == 422
    assert f"measured with {DIM} dimensions, not with {SHORT_DIM}" in refusal.json()["detail"]
    service.stop()
    assert "holds vectors of model test-0-d32" in refused(bundle, data_dir)
