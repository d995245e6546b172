"""`verify`, as a person runs it, with services running and not."""

from pathlib import Path

import numpy as np
import pytest

from tests.service.commands.conftest import OtherServer, serving
from tests.service.conftest import Serve
from tests.service.features.operations.stored import SAVED, fill, inside, readyz
from tests.service.process import Service, run, wait_until

pytestmark = pytest.mark.slow


def verify(data: Path, *options: object, **variables: str) -> tuple[int, str]:
    done = run("verify", "--data-dir", data, *options, **variables)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr + done.stdout


def test_verify_of_what_is_right(serve: Serve, tmp_path: Path) -> None:
    data = tmp_path / "data"
    service = serve(**SAVED, STREAMER_API_KEY="secret")
    service.client.headers["Authorization"] = "Bearer secret"
    url, sequence = service.url, fill(service)
    wait_until(lambda: readyz(service)["snapshot"]["sequence"] == sequence, "the index is saved")
    status, said = verify(data, "--url", url, STREAMER_API_KEY="secret")
    assert status == 0, said
    counted = "62 streamers, 61 with a vector: no differences"
    assert f"store     at {sequence}, model test-0: {counted}" in said
    assert f"snapshot  at {sequence}, {data}/index/0" in said
    assert f"served    {url}: {counted}" in said
    assert said.endswith("no differences\n")
    status, said = verify(data, "--url", url)
    assert status == 1
    assert "needs an API key: set STREAMER_API_KEY" in said
    assert service.stop() == 0
    status, said = verify(data)
    assert status == 0, said
    assert "served" not in said
    status, said = verify(data, "--url", url)
    assert status == 1
    assert f"{url} can't be reached" in said


class Elsewhere(OtherServer):
    """Says that it is up to date, and has no route of an index."""

    def do_GET(self) -> None:
        is_ready = self.path == "/readyz"
        state = b'{"status": "ready", "index_sequence": 1000000, "index_rows": 0}'
        self.send_response(200 if is_ready else 404)
        self.end_headers()
        self.wfile.write(state if is_ready else b"no such page")


def test_a_service_that_answers_otherwise_is_told(serve: Serve, tmp_path: Path) -> None:
    fill(serve())
    with serving(Elsewhere) as url:
        status, said = verify(tmp_path / "data", "--url", url)
    assert status == 1
    assert f"{url} answers 404: no such page; is this the address of the service?" in said


def tampered(service: Service, data: Path) -> None:
    """A store that is not what the service wrote, eight times."""
    with inside(data) as records:
        other = records.hget("ss:record:s1", "embedding")
        assert isinstance(other, bytes)
        records.hset("ss:record:s0", "embedding", other[::-1])
        records.hset("ss:record:s2", "embedding", other[:-4])
        records.hset("ss:record:s3", "embedding", b"")
        records.hset("ss:record:s4", "model_version", "another")
        records.delete("ss:record:s5")
        records.zrem("ss:ids", "s6")
        records.hset("ss:record:s7", "version", "99999")
        records.hset("ss:record:s9", "profile", '{"streamer_id":"s9","tags":["guitar"]}')


def test_verify_of_what_is_wrong(serve: Serve, tmp_path: Path) -> None:
    data = tmp_path / "data"
    service = serve(**SAVED)
    sequence = fill(service)
    wait_until(lambda: readyz(service)["snapshot"]["sequence"] == sequence, "the index is saved")
    tampered(service, data)
    status, said = verify(data, "--url", service.url)
    assert status == 1
    store, _, rest = said.partition("\nsnapshot")
    snapshot, _, served = rest.partition("\nserved")
    for what in (
        "s0 has a vector of length",
        "s2 has a vector of 508 bytes, others have 512",
        "s3 has no vector and status indexed",
        "s3 has one of vector and content sketch without the other",
        "s4 was made by model another, the store is of test-0",
        "s5 is listed and has no record",
        "s6 has a record and is not listed",
        "s7 is of version 99999, the last write was",
        "s9 has a profile that its digest is not of",
    ):
        assert what in store
    for part in (snapshot, served):
        for what in (
            "s0 has another vector in the index than in the store",
            "s2 has another vector in the index than in the store",
            "s3 has another vector in the index than in the store",
            "s5 is not stored and is in the index",
            "s6 is not stored and is in the index",
            "s7 is stored as 99999 and in the index as",
        ):
            assert what in part
    assert "s8" not in said
    assert said.splitlines()[-1].endswith(" differences")


def test_verify_encodes_a_sample_again(bundle: Path, serve: Serve, tmp_path: Path) -> None:
    data, sample = tmp_path / "data", ("--reencode-sample", 1000)
    service = serve()
    fill(service)
    assert "give it by --bundle" in verify(data, *sample)[1]
    status, said = verify(data, *sample, "--bundle", bundle)
    assert status == 0, said
    assert "encoded   again by test-0: 62 streamers, 61 with a vector: no differences" in said
    with inside(data) as records:  # each is a good record in itself
        for field in ("embedding", "content"):
            other = records.hget("ss:record:last", field)
            assert isinstance(other, bytes)
            records.hset("ss:record:s1", field, np.roll(np.frombuffer(other, "<f2"), 32).tobytes())
        records.hset("ss:record:s2", mapping={"embedding": b"", "content": b""})
        records.hset("ss:record:s2", "status", "insufficient_content")
    status, said = verify(data, *sample, STREAMER_BUNDLE=str(bundle))
    assert status == 1
    encoded = said.partition("\nencoded")[2]
    assert "s1 has not the vector of its profile" in encoded
    assert "s1 has not the content sketch of its profile" in encoded
    assert "s2 gives a vector when it is encoded again" in encoded
    assert said.endswith("3 differences\n")
    with inside(data) as records:
        records.hset("ss:meta", "model_version", "another")
    said = verify(data, *sample, "--bundle", bundle)[1]
    assert "of model another, the bundle is test-0: give that model's by --bundle" in said


def test_verify_names_the_first_of_many(serve: Serve, tmp_path: Path) -> None:
    service = serve()
    fill(service)
    with inside(tmp_path / "data") as records:
        for i in range(50):
            records.hset(f"ss:record:s{i}", "model_version", "another")
    status, said = verify(tmp_path / "data")
    assert status == 1
    assert said.count("was made by model another") == 20
    assert "... and 30 more" in said
    assert said.endswith("50 differences\n")


def test_verify_of_snapshots_that_will_not_be_used(serve: Serve, tmp_path: Path) -> None:
    data = tmp_path / "data"
    service = serve(**SAVED)
    sequence = fill(service)
    wait_until(lambda: readyz(service)["snapshot"]["sequence"] == sequence, "the index is saved")
    assert service.stop() == 0
    service = serve(STREAMER_INDEX__SNAPSHOT_S="1000")
    assert readyz(service)["snapshot"]["source"] == "snapshot"
    service.put("s1", tags=["guitar"])  # in the log, so no difference
    service.client.delete("/v1/streamers/s2").raise_for_status()
    status, said = verify(data)
    assert status == 0, said
    assert f"snapshot  at {sequence}, " in said
    with inside(data) as records:
        records.xtrim("ss:log", maxlen=1, approximate=False)
    status, said = verify(data)
    assert status == 0
    assert "will not be used: the log does not go on where it ends" in said
    with inside(data) as records:
        records.hset("ss:meta", "epoch", "another")
    assert "will not be used: it is of another history of the store" in verify(data)[1]
    (saved,) = (data / "index").glob("0*")
    content = bytearray((saved / "embeddings").read_bytes())
    content[77] ^= 1
    (saved / "embeddings").write_bytes(content)
    status, said = verify(data)
    assert status == 1
    assert "can't be read, and will not be used: " in said
    assert "its SHA-256 is not the manifest's" in said
