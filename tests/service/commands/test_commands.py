"""`embed` and `doctor`, as a person runs them, and what all commands share."""

import json
import shutil
import socket
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from service.__main__ import main
from tests.bundles import DIM, SHORT_DIM
from tests.service.conftest import Serve
from tests.service.data_sets import json_line, profiles, write_data
from tests.service.process import error_line, hide, load, run

pytestmark = pytest.mark.slow

# embed


def embed(bundle: Path, data: Path, out: Path, *options: object) -> CompletedProcess[str]:
    return run("embed", "--bundle", bundle, "--data", data, "--out", out, *options)


def test_embed_gives_what_the_service_stores(bundle: Path, serve: Serve, tmp_path: Path) -> None:
    rich = {
        "streamer_id": "rich",
        "bio": "每天做家常菜, kitchen and 红烧肉 😀",
        "tags": ["cooking", "做饭"],
        "language": "zh",
        "avatar": {"vector": [0.5, -1.0, 2.0, 0.25], "space": "test-cover"},
        "videos": [{"video_id": "v", "title": "吉他 guitar concert"}],
    }
    thin = [{"streamer_id": "thin", "name": "says nothing"}, {"streamer_id": "empty"}]
    lines = [json_line(p) for p in (rich, *thin)]
    data = write_data(tmp_path / "set", [*profiles(600), "\n", *lines])
    out = tmp_path / "made" / "vectors.npz"
    done = embed(bundle, data, out)
    assert done.returncode == 0, done.stderr
    assert f"{out}: 601 vectors of {DIM}, 2 without usable content" in done.stdout
    assert [path.name for path in out.parent.iterdir()] == ["vectors.npz"]
    with np.load(out, allow_pickle=False) as made:
        assert sorted(made.files) == ["ids", "vectors"]
        ids, vectors = made["ids"], made["vectors"]
    assert ids.tolist() == [*(f"s{i:05}" for i in range(600)), "rich"]
    assert vectors.dtype == np.float32
    assert vectors.shape == (601, DIM)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    service = serve()
    assert load(data, service.url).returncode == 0
    for streamer_id in ("s00000", "s00001", "s00599", "rich"):
        stored = service.client.get(f"/v1/streamers/{streamer_id}/embedding").json()["embedding"]
        row = vectors[ids.tolist().index(streamer_id)]
        np.testing.assert_allclose(row, stored, rtol=0, atol=1e-6)
    assert service.client.get("/v1/streamers/thin/embedding").status_code == 409


def test_embed_at_a_shorter_width(bundle: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "set", profiles(20))
    full, short = tmp_path / "full.npz", tmp_path / "short.npz"
    assert embed(bundle, data, full).returncode == 0
    done = embed(bundle, data, short, "--dim", SHORT_DIM)
    assert f"20 vectors of {SHORT_DIM}, 0 without" in done.stdout
    with np.load(full) as wide, np.load(short) as narrow:
        first = wide["vectors"][:, :SHORT_DIM]
        expected = first / np.linalg.norm(first, axis=1, keepdims=True)
        np.testing.assert_allclose(narrow["vectors"], expected, atol=5e-5)  # of 16 bits
    said = error_line(embed(bundle, data, tmp_path / "no.npz", "--dim", 33))
    assert f"test-0 has no 33 dimensions, it has {SHORT_DIM}, {DIM}" in said


def test_embed_of_nothing_usable(bundle: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "set", [json_line({"streamer_id": "thin"})])
    assert embed(bundle, data, tmp_path / "v.npz").returncode == 0
    with np.load(tmp_path / "v.npz", allow_pickle=False) as made:
        assert made["ids"].shape == (0,)
        assert made["vectors"].shape == (0, DIM)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"streamer_id": "a", "bioo": "x"}', "bioo: Extra inputs are not permitted"),
        ("{", "Invalid JSON"),
        ('{"streamer_id": "a", "avatar": {"vector": [1], "space": "x"}}', "avatar.space"),
    ],
)
def test_embed_names_a_bad_line(bundle: Path, tmp_path: Path, line: str, said: str) -> None:
    data = write_data(tmp_path / "set", [*profiles(2), line + "\n"])
    found = error_line(embed(bundle, data, tmp_path / "v.npz"))
    assert found.startswith(f"error: {data}/streamers.jsonl:3: ")
    assert said in found
    assert not (tmp_path / "v.npz").exists()


def test_embed_without_data_or_room(bundle: Path, tmp_path: Path) -> None:
    for data in (tmp_path, tmp_path / "none"):
        said = error_line(embed(bundle, data, tmp_path / "v.npz"))
        assert said.startswith(f"error: --data {data}")
        assert "(No such file or directory): give a data set folder with streamers.jsonl" in said
    data = write_data(tmp_path / "set", profiles(2))
    (tmp_path / "file").write_text("in the way")
    for out, why in (
        (tmp_path / "file" / "v.npz", "File exists"),
        (tmp_path, "Is a directory"),
        (Path("/proc/v.npz"), "No such file or directory"),
    ):
        said = error_line(embed(bundle, data, out))
        assert said.startswith(f"error: --out {out} can't be used ({why}): choose a file ")
    said = error_line(embed(tmp_path / "none", data, tmp_path / "v.npz"))
    assert "manifest.json can't be read: No such file or directory; is this a bundle?" in said


def test_embed_ignores_a_byte_order_mark(bundle: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "set", ["\ufeff", *profiles(2)])
    assert embed(bundle, data, tmp_path / "v.npz").returncode == 0
    with np.load(tmp_path / "v.npz") as made:
        assert made["ids"].tolist() == ["s00000", "s00001"]


# what all commands say of a wrong argument


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("embed --threads 0", "--threads: must be a whole number from 1 to 1024, not '0'"),
        (f"embed --threads {'9' * 5000}", "--threads: must be a whole number from 1 to 1024"),
        ("embed --dim x", "--dim: must be a whole number from 1 to 2147483647, not 'x'"),
        ("load --concurrency 0", "--concurrency: must be a whole number from 1 to 1024, not '0'"),
        ("load --url nonsense", "--url: must be the address of a service, such as http://127.0"),
        ("load --url 127.0.0.1:8000", "--url: must be the address of a service"),
        ("load --url http://127.0.0.1:99999", "--url: must be the address of a service"),
        ("load --url http://xn--a", "--url: must be the address of a service"),
        ("verify --url ftp://localhost", "--url: must be the address of a service"),
        ("verify --reencode-sample -1", "--reencode-sample: must be a whole number from 0 to"),
        ("serve --port x", "--port: invalid int value: 'x'"),
    ],
)
def test_a_wrong_argument_is_one_line(
    arguments: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: argument {said}")
    assert line.endswith(f"; see `python -m service {arguments.split()[0]} --help`")


@pytest.mark.parametrize("arguments", ["verify --data-dir", "backup --out new --data-dir"])
def test_a_path_that_the_system_refuses_is_one_line(
    arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = "x" * 300
    assert main([*arguments.split(), path]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{path}/store can't be used (File name too long): check the path" in line


@pytest.mark.parametrize(
    ("name", "why"), [("nowhere/backup.prom", "No such file or directory"), (".", "Is a directory")]
)
def test_a_backup_whose_metrics_can_not_be_written_is_not_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, why: str
) -> None:
    out, metrics = tmp_path / "copy", tmp_path / name
    given = ["--data-dir", tmp_path / "data", "--out", out, "--metrics", metrics]
    assert main(["backup", *map(str, given)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--metrics {metrics} can't be used ({why}): choose" in line
    assert list(tmp_path.iterdir()) == []


# doctor


def doctor(*options: object, **variables: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit status, and by check its status and detail."""
    done = run("doctor", "--json", *options, **variables)
    found = json.loads(done.stdout)
    assert found["ok"] == (done.returncode == 0)
    return done.returncode, {c["name"]: (c["status"], c["detail"]) for c in found["checks"]}


def test_doctor_for_people(bundle: Path, tmp_path: Path, free_port: int) -> None:
    done = run("doctor", "--bundle", bundle, "--data-dir", tmp_path, "--port", free_port)
    assert done.returncode == 0, done.stdout
    assert f"ok    bundle: test-0, {DIM} dimensions, cpu" in done.stdout
    assert done.stdout.endswith("ready to serve\n")
    assert done.stderr == ""


@pytest.mark.usefixtures("forks")
def test_doctor_for_programs(bundle: Path, tmp_path: Path, free_port: int) -> None:
    status, checks = doctor("--bundle", bundle, "--data-dir", tmp_path / "new", "--port", free_port)
    assert status == 0
    assert {checks[name][0] for name in ("python", "runtime", "twins", "store", "bundle")} == {"ok"}
    assert checks["port"] == ("ok", f"127.0.0.1:{free_port} is free")
    assert checks["traces"] == ("ok", "off")
    wrong = "OTEL_TRACES_EXPORTER='zipkin': it has to be otlp or none (StartupError)"
    assert doctor(OTEL_TRACES_EXPORTER="zipkin")[1]["traces"] == ("fail", wrong)
    assert not (tmp_path / "new").exists()
    # It reads what `serve` reads.
    assert doctor(STREAMER_BUNDLE=str(bundle), STREAMER_PORT=str(free_port))[1]["bundle"][0] == "ok"
    for dim, found in (
        (SHORT_DIM, ("ok", f"test-0-d{SHORT_DIM}, {SHORT_DIM} dimensions, cpu")),
        (33, ("fail", "test-0 has no 33 dimensions, it has 32, 128 (BundleError)")),
    ):
        assert doctor(STREAMER_BUNDLE=str(bundle), STREAMER_DIM=str(dim))[1]["bundle"] == found


def test_doctor_finds_what_is_broken(bundle: Path, tmp_path: Path, free_port: int) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    (broken / "vocabulary.json").unlink()
    (tmp_path / "file").write_text("in the way")
    url = f"redis://127.0.0.1:{free_port}"
    status, checks = doctor("--bundle", broken, "--data-dir", tmp_path / "file", REDIS_URL=url)
    assert status == 1
    assert checks["bundle"][0] == "fail"
    assert "vocabulary.json can't be read" in checks["bundle"][1]
    assert checks["data folder"][0] == "fail"
    assert checks["store"][0] == "fail"
    assert "the store is gone" in checks["store"][1]


@pytest.mark.parametrize(
    ("variables", "status", "said"),
    [
        ({"STREAMER_LIMITS__MAX_K": "many"}, "fail", "STREAMER_LIMITS__MAX_K: input should be"),
        ({"STREAMER_HOST": "0.0.0.0"}, "fail", "set STREAMER_API_KEY, or listen on 127.0.0.1"),
        ({"STREAMER_LIMTS__MAX_K": "5"}, "warn", "did you mean STREAMER_LIMITS__MAX_K?"),
        ({"STREAMER_URL": "http://127.0.0.1:1", "STREAMER_PAGING": "{}"}, "ok", "all can be used"),
    ],
)
def test_doctor_reads_the_settings_of_serve(
    tmp_path: Path, free_port: int, variables: dict[str, str], status: str, said: str
) -> None:
    where = ("--data-dir", tmp_path, "--port", free_port)
    code, checks = doctor(*where, **variables)
    assert code == (status == "fail")
    assert checks["settings"][0] == status
    assert said in checks["settings"][1]


def test_doctor_finds_a_data_folder_that_nobody_can_make() -> None:
    status, checks = doctor("--data-dir", "/proc/none")
    assert status == 1
    assert checks["data folder"][0] == "fail"
    assert checks["data folder"][1].endswith("choose another by --data-dir")


@pytest.mark.usefixtures("forks")
@pytest.mark.parametrize(
    ("said", "status", "detail"),
    [
        ("580.65.06\n580.65.06\n", "ok", "580.65.06"),
        ("570.211.01\n", "fail", "570.211.01 is too old: CUDA 13 needs NVIDIA's driver R580 or"),
        ("", "fail", "CUDA 13 needs NVIDIA's driver R580 or newer; install it"),
        (None, "fail", "No such file or directory: 'nvidia-smi'"),
    ],
)
def test_doctor_names_the_driver_that_a_gpu_needs(
    tmp_path: Path, said: str | None, status: str, detail: str
) -> None:
    """An `nvidia-smi` of a few lines stands for a machine with a GPU."""
    if said is not None:
        smi = tmp_path / "nvidia-smi"
        smi.write_text(
            '#!/bin/sh\n[ "$*" = "--query-gpu=driver_version --format=csv,noheader" ] || exit 9\n'
            f"printf '{said}'\n"
        )
        smi.chmod(0o755)
    for variable in ("STREAMER_DEVICE", "STREAMER_INDEX__DEVICE"):
        code, checks = doctor(**{variable: "gpu", "PATH": str(tmp_path)})
        assert checks["driver"][0] == status
        assert detail in checks["driver"][1]
        assert code == (status == "fail")


def test_doctor_opens_the_bundle_where_it_will_run(bundle: Path) -> None:
    status, checks = doctor("--bundle", bundle)
    assert checks["driver"] == ("ok", "no GPU is asked for, so none")
    status, checks = doctor("--bundle", bundle, STREAMER_DEVICE="gpu")
    assert status == 1
    assert "device gpu was asked for, but ONNX Runtime has no CUDA" in checks["bundle"][1]


def test_doctor_warns_of_a_port_that_is_taken(serve: Serve, tmp_path: Path) -> None:
    port = int(serve().url.rsplit(":", 1)[1])
    status, checks = doctor("--data-dir", tmp_path / "new", "--port", port)
    assert status == 0
    assert checks["port"][0] == "warn"
    assert f"127.0.0.1:{port}: Address already in use" in checks["port"][1]
    assert checks["bundle"][0] == "warn"


def test_doctor_names_who_uses_the_data_folder(
    bundle: Path, serve: Serve, tmp_path: Path, free_port: int
) -> None:
    service = serve()
    where = ("--bundle", bundle, "--data-dir", service.data_dir, "--port", free_port)
    status, checks = doctor(*where)
    assert status == 1
    assert checks["data folder"][0] == "fail"
    assert "is in use by service process" in checks["data folder"][1]
    assert "stop it (kill" in checks["data folder"][1]
    assert service.client.get("/readyz").status_code == 200  # it was not disturbed
    assert service.stop() == 0
    assert doctor(*where)[1]["data folder"][0] == "ok"


def test_doctor_without_a_bundle_says_what_is_missing(tmp_path: Path, free_port: int) -> None:
    done = run("doctor", "--data-dir", tmp_path, "--port", free_port)
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("ready to serve, except for a bundle: give --bundle\n")


def test_doctor_runs_where_packages_are_missing(tmp_path: Path) -> None:
    hidden = hide(tmp_path, "httpx", "pydantic_settings", "uvicorn", "onnxruntime")
    status, checks = doctor(**hidden)
    assert status == 1
    assert checks["twins"][0] == "ok"
    assert checks["runtime"][0] == "fail"
    assert "onnxruntime: install the extra cpu or gpu" in checks["runtime"][1]


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("onnxruntime", "install the extra `cpu` or `gpu`"),
        ("faiss", "install the extra `cpu` or `gpu`"),
        ("uvicorn", "other commands need `service`"),
    ],
)
def test_serve_points_to_the_doctor_where_packages_are_missing(
    bundle: Path, tmp_path: Path, module: str, extra: str
) -> None:
    hidden = hide(tmp_path, module)
    done = run(
        *("serve", "--bundle", bundle, "--data-dir", tmp_path / "data", "--port", 0), **hidden
    )
    line = error_line(done)
    assert f"No module named {module}: " in line
    assert extra in line
    assert "`python -m service doctor` names what is missing" in line


def test_a_server_that_is_none_of_ours(other_server: str) -> None:
    job = "0" * 28
    for words in (("list",), ("show", job), ("watch", job), ("rebuild-index",)):
        said = error_line(run("jobs", *words, "--url", other_server))
        told = f"{other_server} answers 200: <p>Welcome!</p>; is this the address of the service?"
        assert said == f"error: {told}"


@pytest.mark.parametrize("words", ["similar s0", "lists run spring"])
def test_a_service_that_is_slow_is_waited_for_as_long_as_is_said(words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # whose answer never comes
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        said = error_line(run(*words.split(), "--timeout", 1, "--url", url))
    assert "no answer within 1 s" in said
    assert said.endswith("; --timeout S waits longer")


@pytest.mark.parametrize("words", ["jobs list", "jobs watch " + "0" * 28, "events", "load {data}"])
def test_a_key_with_a_line_end_is_not_told(tmp_path: Path, words: str) -> None:
    data = write_data(tmp_path / "set", profiles(1))
    given = words.format(data=data).split()
    said = error_line(run(*given, "--url", "http://127.0.0.1:1", STREAMER_API_KEY="sk_secret\n"))
    assert said.startswith("error: STREAMER_API_KEY can't be sent")
    assert "sk_secret" not in said


@pytest.mark.parametrize("words", ["jobs list", "jobs watch " + "0" * 28, "events"])
@pytest.mark.usefixtures("forks")
def test_a_proxy_that_can_not_be_used_is_named(words: str) -> None:
    given = (*words.split(), "--url", "http://service.example.org")
    said = error_line(run(*given, ALL_PROXY="ftp://127.0.0.1:1"))
    assert "ALL_PROXY" in said
    assert "can't be used: set a proxy to an http:// or https:// address" in said
