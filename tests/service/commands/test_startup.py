"""What the service refuses to start with: one line that names the remedy, and nothing is lost.

One test of each kind starts new processes; forks of one that has imported the service end alike.
"""

import json
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest

from model_export.contract.bundle import (
    BUNDLE_SCHEMA_VERSION,
    ENCODER,
    GOLDEN,
    MANIFEST,
    VOCABULARY,
    file_entry,
)
from service.features.operations.installation import twin_packages
from tests.bundles import DIM, write_bundle, write_manifest
from tests.service.conftest import Serve
from tests.service.process import START_S, Service, error_line, is_free, run, wait_until

pytestmark = pytest.mark.slow
in_new_processes = pytest.mark.usefixtures("new_processes")


def refusal(bundle: Path, data_dir: Path, *options: object, **variables: str) -> str:
    """The line with which the service refuses to start."""
    done = run(
        *("serve", "--bundle", bundle, "--data-dir", data_dir, "--port", 0, *options), **variables
    )
    assert done.stdout == ""
    return error_line(done)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def stored(folder: Path) -> dict[str, bytes]:
    """Contents but for the traces of whoever owned the folder: the store begins to read early."""
    traces = ("store/lock", "store/store.log")
    return {n: c for n, c in contents(folder).items() if not n.startswith(traces)}


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


# Bundles


def flip_a_byte(folder: Path) -> None:
    content = bytearray((folder / ENCODER).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / ENCODER).write_bytes(content)


def cut(folder: Path) -> None:
    content = (folder / VOCABULARY).read_bytes()
    (folder / VOCABULARY).write_bytes(content[:-10])


def remove_a_file(folder: Path) -> None:
    (folder / VOCABULARY).unlink()


def remove_the_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def raise_the_schema_version(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    write_manifest(folder, {**manifest, "schema_version": BUNDLE_SCHEMA_VERSION + 1})


def replace(folder: Path, name: str, content: bytes) -> None:
    """Replace a file, with a manifest that vouches for it."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"][name] = file_entry(content).model_dump()
    write_manifest(folder, manifest)


def write_newer_golden_profiles(folder: Path) -> None:
    replace(folder, GOLDEN, b'{"streamer_id": "a", "invented_later": 1}\n')


def move_a_tensor_out(folder: Path) -> None:
    model = onnx.load_model(folder / ENCODER)
    path = folder / ENCODER
    onnx.save_model(model, path, save_as_external_data=True, location="weights", size_threshold=0)
    replace(folder, ENCODER, path.read_bytes())


def drop_an_output(folder: Path) -> None:
    model = onnx.load_model(folder / ENCODER)
    del model.graph.output[0]
    replace(folder, ENCODER, model.SerializeToString())


def break_the_graph(folder: Path) -> None:
    model = onnx.load_model(folder / ENCODER)
    model.graph.node[0].op_type = "NoSuchOperator"
    replace(folder, ENCODER, model.SerializeToString())


def list_a_file_outside(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"]["../../secret"] = manifest["files"][ENCODER]
    write_manifest(folder, manifest)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flip_a_byte, f"{ENCODER} was changed: its SHA-256 is not the manifest's; export again"),
        (cut, f"{VOCABULARY} has "),
        (remove_a_file, f"{VOCABULARY} can't be read: No such file or directory; export again"),
        (write_newer_golden_profiles, GOLDEN),
        (remove_the_manifest, f"{MANIFEST} can't be read: No such file or directory; is this a"),
        (raise_the_schema_version, "schema_version is 2, this release reads 1; export the model"),
        (move_a_tensor_out, "keeps tensors in external files"),
        (drop_an_output, "encoder.onnx has no output ['embedding']"),
        (break_the_graph, "encoder.onnx can't be loaded: "),
        (list_a_file_outside, "'../../secret' is outside of the bundle"),
    ],
)
def test_a_bundle_that_can_not_be_trusted(
    bundle: Path, tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    damaged = tmp_path / "bundles" / "damaged"
    shutil.copytree(bundle, damaged)
    damage(damaged)
    assert said in refusal(damaged, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_bad_bundle_does_not_touch_what_is_stored(
    bundle: Path,
    tmp_path: Path,
    serve: Serve,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = serve()
    version = service.put("a", tags=["cooking"])
    service.stop()
    before = stored(tmp_path / "data")
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle, damaged)
    flip_a_byte(damaged)
    request.getfixturevalue("new_processes")
    refusal(damaged, tmp_path / "data")
    monkeypatch.undo()
    assert stored(tmp_path / "data") == before
    assert is_free(tmp_path / "data")
    assert serve().streamers()["a"]["version"] == version


# Arguments and environment


@in_new_processes
def test_without_a_bundle() -> None:
    said = error_line(run("serve", "--port", 0))
    assert said == (
        "error: --bundle or STREAMER_BUNDLE: is missing; give the folder that `model_export` wrote"
    )


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"STREAMER_LIMITS__MAX_K": "many"}, "STREAMER_LIMITS__MAX_K: input should be"),
        ({"STREAMER_LIMITS": "many"}, '"limits"'),
        ({"STREAMER_LIMITS__MAX_KK": "5"}, "did you mean STREAMER_LIMITS__MAX_K?"),
        ({"REDIS_URL": "http://127.0.0.1"}, "the store's address can't be used"),
    ],
)
def test_settings_that_are_wrong(
    bundle: Path, tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    assert said in refusal(bundle, tmp_path / "data", **variables)


def test_settings_may_come_from_the_environment(
    bundle: Path, tmp_path: Path, taken_port: int
) -> None:
    known = {"STREAMER_BUNDLE": str(bundle), "STREAMER_DATA_DIR": str(tmp_path / "data")}
    said = error_line(run("serve", **known, STREAMER_PORT=str(taken_port)))
    assert f"can't listen on 127.0.0.1:{taken_port}" in said
    # An argument wins.
    said = error_line(run("serve", "--port", taken_port, **known, STREAMER_PORT="0"))
    assert f"can't listen on 127.0.0.1:{taken_port}" in said


@pytest.mark.parametrize("key", ["schlüssel", "a\tb", "密码", "trailing "])
def test_a_key_that_no_header_can_carry(bundle: Path, tmp_path: Path, key: str) -> None:
    said = refusal(bundle, tmp_path / "data", STREAMER_API_KEY=key)
    assert said.startswith("error: STREAMER_API_KEY: ")
    assert "ASCII characters only" in said
    assert key not in said
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("key", [{}, {"STREAMER_API_KEY": ""}])
def test_open_to_the_network_without_a_key(
    bundle: Path, tmp_path: Path, key: dict[str, str]
) -> None:
    said = refusal(bundle, tmp_path / "data", "--host", "0.0.0.0", **key)  # refused: never open
    assert "set STREAMER_API_KEY, or listen on 127.0.0.1" in said
    assert not (tmp_path / "data").exists()


def test_open_to_the_network_with_a_key(serve: Serve) -> None:
    service = serve("--host", "0.0.0.0", STREAMER_API_KEY="a-secret")
    for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer another"}):
        answer = service.client.get("/v1/streamers", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "Bearer"
    known = {"Authorization": "Bearer a-secret"}
    assert service.client.get("/v1/streamers", headers=known).status_code == 200
    assert "a-secret" not in service.output


# Ports


def test_a_port_that_is_taken(bundle: Path, tmp_path: Path, taken_port: int) -> None:
    said = refusal(bundle, tmp_path / "data", "--port", taken_port)
    assert f"can't listen on 127.0.0.1:{taken_port} (Address already in use)" in said
    assert "another --host or --port" in said
    assert not (tmp_path / "data").exists()


def test_one_of_two_that_start_at_once_gets_the_port(
    bundle: Path, tmp_path: Path, free_port: int
) -> None:
    with (
        Service(bundle, tmp_path / "a", port=free_port) as a,
        Service(bundle, tmp_path / "b", port=free_port) as b,
    ):
        wait_until(lambda: not (a.is_running and b.is_running), "one of them ends", START_S)
        loser, winner = (b, a) if a.is_running else (a, b)
        winner.wait_until_ready()
        assert winner.url == f"http://127.0.0.1:{free_port}"
        assert loser.process.wait(START_S) == 1
        assert loser.output.startswith(f"error: can't listen on 127.0.0.1:{free_port} ")


def test_one_that_can_not_start_never_says_that_it_answers(bundle: Path, tmp_path: Path) -> None:
    with Service(bundle, tmp_path / "data") as service:
        service.wait_until_ready().put("a", tags=["cooking"])
        said = f"answering on {service.url}"
        wait_until(lambda: said in service.output, "it says that it answers")
    write_bundle(tmp_path / "another", seed=1)
    with Service(tmp_path / "another", tmp_path / "data") as service:
        assert service.process.wait(3 * START_S) == 1
        assert "(it starts: /startupz tells how far it is)" in service.output
        assert "answering on" not in service.output
        assert service.output.splitlines()[-1].startswith("error: ")


# Data folders


def test_two_services_on_one_data_folder(bundle: Path, tmp_path: Path, serve: Serve) -> None:
    first = serve()
    first.put("a", tags=["cooking"])
    said = refusal(bundle, tmp_path / "data")
    assert f"is in use by service process {first.process.pid} and store process" in said
    assert f"stop it (kill {first.process.pid}) or choose another data folder" in said
    # The first goes on as if nothing had been.
    sequence = first.put("b", tags=["cooking"])
    assert first.similar(sequence, tags=["cooking"]) == {"a", "b"}
    assert first.stop() == 0
    assert set(serve().streamers()) == {"a", "b"}


def test_a_data_folder_that_is_a_file(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    assert f"{tmp_path}/data/store can't be used" in refusal(bundle, tmp_path / "data")


def test_a_data_folder_with_something_in_the_way(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "store").mkdir(parents=True)
    (tmp_path / "data" / "store" / "run").write_text("not a folder")
    assert f"{tmp_path}/data/store can't be used" in refusal(bundle, tmp_path / "data")
    assert is_free(tmp_path / "data")


# Twin packages: they overwrite each other's files


@pytest.mark.parametrize(
    ("twin", "said"),
    [
        ("onnxruntime-gpu", "onnxruntime and onnxruntime-gpu are both installed"),
        ("faiss-gpu", "faiss-cpu and faiss-gpu are both installed"),
        ("faiss-gpu-cuvs", "faiss-cpu and faiss-gpu-cuvs are both installed"),
    ],
)
def test_twin_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, twin: str, said: str
) -> None:
    assert twin_packages() is None
    pretend_installed(tmp_path, twin)
    monkeypatch.syspath_prepend(tmp_path)
    found = str(twin_packages())
    assert found.startswith(said)
    assert "uninstall both, then install one of the extras cpu and gpu" in found


def test_twin_packages_are_refused(bundle: Path, tmp_path: Path) -> None:
    pretend_installed(tmp_path / "site", "onnxruntime-gpu")
    said = refusal(bundle, tmp_path / "data", PYTHONPATH=str(tmp_path / "site"))
    assert "onnxruntime and onnxruntime-gpu are both installed" in said
    assert not (tmp_path / "data").exists()


def pretend_installed(site: Path, package: str) -> None:
    """The metadata that an installer leaves, and nothing else."""
    folder = site / f"{package.replace('-', '_')}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")


# Devices


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"STREAMER_INDEX__DEVICE": "gpu"}, "STREAMER_INDEX__DEVICE=gpu: this FAISS is built for"),
        ({"STREAMER_DEVICE": "gpu"}, "device gpu was asked for, but ONNX Runtime has no CUDA"),
    ],
)
def test_a_device_that_is_not_there_is_refused(
    bundle: Path, tmp_path: Path, variables: dict[str, str], named: str
) -> None:
    said = refusal(bundle, tmp_path / "data", **variables)
    assert named in said
    assert "install the extra gpu in place of cpu" in said
    assert not (tmp_path / "data").exists()


# Before it is ready


def test_the_port_answers_while_the_store_is_opened(
    bundle: Path, tmp_path: Path, silent_store: str
) -> None:
    with Service(
        bundle, tmp_path / "data", REDIS_URL=silent_store, STREAMER_STORE__START_WAIT_S="0"
    ) as service:
        client = service.client
        assert client.get("/livez").json() == {"status": "ok"}
        for probe in ("/readyz", "/startupz"):
            answer = client.get(probe)
            assert (answer.status_code, answer.json()["status"]) == (503, "starting")
            assert answer.headers["x-request-id"]
        opening = {"status": "starting", "reason": "the store is being opened"}
        wait_until(lambda: client.get("/readyz").json() == opening, "it says what", START_S)
        for method, path in (("GET", "/v1/streamers"), ("PUT", "/v1/streamers/a"), ("GET", "/x")):
            answer = client.request(method, path, json={})
            assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["detail"] == "the service is starting: the store is being opened"
            assert answer.json()["request_id"] == answer.headers["x-request-id"]
        assert service.process.wait(START_S) == 1
        assert service.output.splitlines()[-1].startswith("error: REDIS_URL: ")
        assert "Traceback" not in service.output


def test_the_log_says_what_is_served(serve: Serve, tmp_path: Path) -> None:
    said = serve().output
    assert re.search(rf"model \S+ of \S+: {DIM} dimensions", said)
    assert f"store: embedded, {tmp_path}/data" in said
    assert "10000 lines" in said


@in_new_processes
def test_help_names_the_commands() -> None:
    done = run("--help")
    assert done.returncode == 0
    for name in ("serve", "load", "embed", "doctor", "backup", "restore", "verify"):
        assert name in done.stdout
