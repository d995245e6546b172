"""Imports over HTTP: counts, refused lines, paths, limits, and input that changes."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.errors import MediaUnavailable, NotReplicated, Overloaded
from service.features.jobs import runner
from service.media.fetch import Fetched, Fetcher
from service.settings import MIB, Jobs, Limits, Settings
from service.store.jobs import NewJob
from service.store.redis.jobs import RedisJobs
from tests.media_towers import picture
from tests.service.conftest import put, wait_until_visible
from tests.service.data_sets import NDJSON, json_line, profile, profiles
from tests.service.features.transfers.waiting import ended, submitted, upload
from tests.service.http.test_bad_input import problem

JSON = {"Content-Type": "application/json"}
DEAD = "https://a.example/a.png"
BUSY = "https://b.example/a.png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Below which imports may name files."""
    (tmp_path / "allowed" / "below").mkdir(parents=True)
    return tmp_path / "allowed"


@pytest.fixture
def with_paths(bundle: Path, tmp_path: Path, folder: Path) -> Iterator[TestClient]:
    jobs = Jobs(import_dir=folder)
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data", jobs=jobs)
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client


def test_lines_are_written_and_counted(client: TestClient) -> None:
    put(client, "s00001", **{k: v for k, v in profile(1).items() if k != "streamer_id"})
    put(client, "s00002", tags=["music"])
    lines = "".join(profiles(40)) + "\n" + json_line({"streamer_id": "empty"})
    path = upload(client, lines.encode())
    job = ended(client, path)
    assert (job["state"], job["kind"], job["error"]) == ("succeeded", "import", None)
    result = job["result"]
    sequence = result.pop("sequence")
    assert result.pop("model_version") == client.get("/v1/streamers/s00001").json()["model_version"]
    assert result == {
        "lines": 42,
        "created": 39,
        "updated": 1,
        "unchanged": 1,
        "refused": 0,
        "without_content": 1,
        "refused_lines": [],
        "sha256": hashlib.sha256(lines.encode()).hexdigest(),
    }
    assert job["progress"] == {"done": 42, "total": 42, "rate": None, "eta_s": None}
    wait_until_visible(client, sequence)
    assert client.get("/v1/streamers/s00039").json()["profile"] == profile(39)
    assert client.get(path + "/result").status_code == 409
    again = ended(client, upload(client, lines.encode()))["result"]
    assert (again["created"], again["updated"], again["unchanged"]) == (0, 0, 41)


def test_refused_lines_are_shown_with_their_errors(client: TestClient) -> None:
    bad = ['{"streamer_id":"x","nmae":"x"}\n', "rubbish\n", '{"tags":["music"]}\n']
    lines = [json_line(profile(0)), *bad, json_line(profile(1)), *["[]\n"] * 30]
    result = ended(client, upload(client, "".join(lines)))["result"]
    assert (result["created"], result["refused"]) == (2, 33)
    shown = result["refused_lines"]
    assert [line["line"] for line in shown] == [2, 3, 4, *range(6, 23)]
    assert shown[0]["error"]["errors"][0]["pointer"] == "/nmae"
    assert shown[1]["error"]["code"] == "malformed_body"
    assert shown[2]["error"]["errors"][0]["pointer"] == "/streamer_id"


def test_what_the_model_cannot_read_is_refused_by_its_id(client: TestClient) -> None:
    wrong = {"streamer_id": "x", "avatar": {"vector": [1], "space": "nowhere"}}
    result = ended(client, upload(client, json_line(wrong)))["result"]
    (line,) = result["refused_lines"]
    assert (line["line"], line["streamer_id"]) == (1, "x")
    assert line["error"]["errors"][0]["pointer"] == "/avatar/space"


def test_the_last_of_an_id_wins(client: TestClient) -> None:
    lines = [json_line({"streamer_id": "s", "tags": [tag]}) for tag in ("music", "cooking")]
    result = ended(client, upload(client, "".join(lines)))["result"]
    assert (result["created"], result["updated"]) == (1, 1)
    assert client.get("/v1/streamers/s").json()["profile"]["tags"] == ["cooking"]


def test_pictures_are_waited_for_and_a_dead_host_costs_its_lines_alone(
    media_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def fetch(_: Fetcher, url: str, kind: str, pointer: str) -> Fetched:
        asked.append(url)
        if url == DEAD:
            raise MediaUnavailable.of(pointer, "its host does not answer; try again")
        if url == BUSY and asked.count(url) < 5:
            raise Overloaded("too many pictures and sounds are being fetched")
        return Fetched(picture("red"), "image/png")

    monkeypatch.setattr(Fetcher, "fetch", fetch)
    monkeypatch.setattr(runner, "_PAUSES_S", (0.0, 0.0))
    lines = [profile(i) for i in range(50)]
    for i in range(0, 50, 16):  # one in each chunk
        lines[i]["avatar"] = {"url": DEAD}
    for i in range(17, 50, 16):  # others of that host are had, which gives no new hope
        lines[i]["avatar"] = {"url": DEAD + "?had"}
    lines[1] |= {"streamer_id": "twice", "avatar": {"url": BUSY}}
    lines[2]["streamer_id"] = "twice"
    with TestClient(
        create_app(Settings(bundle=media_bundle, data_dir=tmp_path / "data")),
        base_url="http://localhost",
    ) as client:
        job = ended(client, upload(client, "".join(map(json_line, lines))))
        assert client.get("/v1/streamers/twice").json()["profile"] == lines[2]
    result = job["result"]
    counts = [result[name] for name in ("lines", "created", "updated", "refused")]
    assert (job["state"], counts) == ("succeeded", [50, 45, 1, 4])
    shown = [(each["line"], each["error"]["code"]) for each in result["refused_lines"]]
    assert shown == [(line, "media_unavailable") for line in (1, 17, 33, 49)]
    assert result["refused_lines"][0]["streamer_id"] == "s00000"
    assert asked.count(DEAD) == 3 + 3 + 3 + 1  # then it is not waited for any more


@pytest.mark.parametrize("lines", [b"", b"\n\n", b" \n"])
def test_an_import_of_nothing(client: TestClient, lines: bytes) -> None:
    answer = client.post("/v1/jobs/imports", content=lines, headers=NDJSON)
    job = ended(client, submitted(answer))
    assert job["state"] == "succeeded"
    assert job["result"]["created"] == job["result"]["refused"] == 0


def test_a_line_that_is_too_long_is_refused_and_the_next_one_is_not(
    bundle: Path, tmp_path: Path
) -> None:
    limits = Limits(body_limit_bytes=2048)
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data", limits=limits)
    line = json_line(profile(1))
    padded = [line[:-1] + " " * (size - len(line) + 1) + "\n" for size in (2048, 2049, 3 * MIB)]
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        content = "".join([padded[0], padded[1], padded[2], json_line(profile(2))])
        result = ended(client, upload(client, content))["result"]
    assert (result["lines"], result["created"]) == (4, 2)
    assert [line["line"] for line in result["refused_lines"]] == [2, 3]
    assert {line["error"]["code"] for line in result["refused_lines"]} == {"body_too_large"}


def test_an_upload_that_is_imported_leaves_no_file(bundle: Path, tmp_path: Path) -> None:
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data")
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        ended(client, upload(client, json_line(profile(0))))
    # The runner has ended with the service, and with it what follows a job's end.
    assert [file.name for file in (tmp_path / "data" / "jobs").iterdir()] == ["place"]


def test_an_upload_stays_where_its_job_was_queued_and_not_confirmed(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a primary whose replicas are late; the request is sent again by its key."""
    lines, key = "".join(profiles(3)), {**NDJSON, "Idempotency-Key": "not-confirmed"}
    with monkeypatch.context() as patch:
        submit = RedisJobs.submit

        async def not_confirmed(self: RedisJobs, job: NewJob) -> str | None:
            await submit(self, job)
            raise NotReplicated(NotReplicated.example)

        patch.setattr(RedisJobs, "submit", not_confirmed)
        answer = client.post("/v1/jobs/imports", content=lines, headers=key)
        problem(answer, 503, "not_replicated")
    job = ended(client, submitted(client.post("/v1/jobs/imports", content=lines, headers=key)))
    assert (job["state"], job["result"]["lines"]) == ("succeeded", 3)


@pytest.mark.parametrize("declared", [True, False])
def test_an_upload_has_a_limit(bundle: Path, tmp_path: Path, declared: bool) -> None:
    jobs = Jobs(upload_limit_bytes=4096)
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data", jobs=jobs)
    body = b"x" * 5000
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        content = body if declared else iter([body[:3000], body[3000:]])
        answer = client.post("/v1/jobs/imports", content=content, headers=NDJSON)
        problem(answer, 413, "body_too_large")
        assert client.get("/v1/jobs").json()["jobs"] == []
    assert [file.name for file in (tmp_path / "data" / "jobs").iterdir()] == ["place"]


def test_the_spool_has_a_limit(bundle: Path, tmp_path: Path) -> None:
    jobs = Jobs(spool_bytes=MIB, at_once=0)
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data", jobs=jobs)
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        submitted(client.post("/v1/jobs/imports", content=b"x" * 700_000, headers=NDJSON))
        answer = client.post("/v1/jobs/imports", content=b"x" * 700_000, headers=NDJSON)
        said = problem(answer, 507, "spool_full")["detail"]
        assert "STREAMER_JOBS__SPOOL_BYTES" in said
        assert answer.headers["retry-after"] == "60"
    assert len(list((tmp_path / "data" / "jobs").glob("*.upload"))) == 1


def test_jobs_are_bounded_and_listed_and_a_queued_one_is_cancelled(
    bundle: Path, tmp_path: Path
) -> None:
    jobs = Jobs(max_queued=3, at_once=0)
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data", jobs=jobs)
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        paths = [upload(client, json_line(profile(i))) for i in range(3)]
        for answer in (
            client.post("/v1/jobs/imports", content=b"{}", headers=NDJSON),
            client.post("/v1/jobs/exports", json={}),
        ):
            said = problem(answer, 503, "too_many_jobs")["detail"]
            assert "STREAMER_JOBS__MAX_QUEUED" in said
            assert answer.headers["retry-after"] == "10"
        first = client.get("/v1/jobs", params={"limit": 2}).json()
        cursor = first["next_cursor"]
        rest = client.get("/v1/jobs", params={"limit": 2, "cursor": cursor}).json()
        listed = [f"/v1/jobs/{job['job_id']}" for job in first["jobs"] + rest["jobs"]]
        assert listed == paths[::-1]
        assert rest["next_cursor"] is None
        assert {job["state"] for job in first["jobs"]} == {"queued"}
        problem(client.post(paths[0] + ":retry"), 409, "job_state_conflict")
        for _ in range(2):  # a second time is fine
            assert client.post(paths[0] + ":cancel").json()["state"] == "cancelled"
        job = client.post(paths[0] + ":retry").json()
        assert (job["state"], job["attempts"]) == ("queued", 0)
    settings = settings.model_copy(update={"jobs": Jobs()})
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        assert [ended(client, path)["state"] for path in paths] == ["succeeded"] * 3
        said = problem(client.post(paths[0] + ":cancel"), 409, "job_state_conflict")["detail"]
        assert said == "the job has succeeded: only one under way can be cancelled"


# A file by its path


def test_a_file_is_imported_by_its_path(with_paths: TestClient, folder: Path) -> None:
    (folder / "below" / "a.jsonl").write_text("".join(profiles(20)))
    for path in ("below/a.jsonl", str(folder / "below" / "a.jsonl"), "below/../below/a.jsonl"):
        job = ended(with_paths, submitted(with_paths.post("/v1/jobs/imports", json={"path": path})))
        assert (job["state"], job["result"]["lines"]) == ("succeeded", 20)
    assert (folder / "below" / "a.jsonl").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../secret.jsonl", "is not below"),
        ("/etc/passwd", "is not below"),
        ("link-out.jsonl", "is not below"),
        ("below/../../secret.jsonl", "is not below"),
        ("below", "is no file below"),
        ("nothing.jsonl", "is no file below"),
        ("a\0b", "is no file below"),
        ("x" * 1000, "is no file below"),
        ("loop", "is no file below"),
        ("pipe", "is no file below"),
    ],
)
def test_a_path_stays_below_the_folder(
    with_paths: TestClient, folder: Path, path: str, said: str
) -> None:
    (folder.parent / "secret.jsonl").write_text(json_line(profile(1)))
    (folder / "link-out.jsonl").symlink_to(folder.parent / "secret.jsonl")
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")
    answer = with_paths.post("/v1/jobs/imports", json={"path": path})
    (error,) = problem(answer, 422, "invalid_request")["errors"]
    assert error["pointer"] == "/path"
    assert said in error["detail"]


def test_no_path_without_a_folder(client: TestClient) -> None:
    answer = client.post("/v1/jobs/imports", json={"path": "a.jsonl"})
    assert "STREAMER_JOBS__IMPORT_DIR" in problem(answer, 422, "invalid_request")["detail"]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ('{"file":"a"}', 422, "invalid_request", "/path"),
        ('{"path":7}', 422, "invalid_request", "/path"),
        ('{"path":""}', 422, "invalid_request", "/path"),
        ("[]", 422, "invalid_request", ""),
        ("{", 400, "malformed_body", None),
        ("", 400, "malformed_body", None),
    ],
)
def test_a_wrong_body_is_named(
    client: TestClient, body: str, status: int, code: str, field: str | None
) -> None:
    answer = client.post("/v1/jobs/imports", content=body, headers=JSON)
    said = problem(answer, status, code)
    if field is not None:
        assert field in [error["pointer"] for error in said["errors"]]


@pytest.mark.parametrize("kind", [None, "text/plain", "application/octet-stream"])
def test_a_body_of_another_type(client: TestClient, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    for content in (b"{}", b""):
        answer = client.post("/v1/jobs/imports", content=content, headers=headers)
        said = problem(answer, 415, "unsupported_media_type")["detail"]
        assert "application/x-ndjson" in said
        assert "application/json" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "is_begun"),
    [("append", False), ("append", True), ("replace", False), ("touch", False), ("remove", False)],
)
def test_a_file_that_changes_before_it_is_read(
    bundle: Path, tmp_path: Path, folder: Path, change: str, is_begun: bool
) -> None:
    file = folder / "a.jsonl"
    file.write_text("".join(profiles(3)))
    base = Settings(bundle=bundle, data_dir=tmp_path / "data")
    waiting = base.model_copy(update={"jobs": Jobs(import_dir=folder, at_once=0)})
    with TestClient(create_app(waiting), base_url="http://localhost") as client:
        path = submitted(client.post("/v1/jobs/imports", json={"path": "a.jsonl"}))
        if is_begun:  # and given back before anything was noted of it
            begin_and_give_back(client)
        changed(file, change)
    running = base.model_copy(update={"jobs": Jobs(import_dir=folder)})
    with TestClient(create_app(running), base_url="http://localhost") as client:
        job = ended(client, path)
        assert (job["state"], job["error"]["code"]) == ("failed", "input_changed")
        assert job["error"]["detail"].startswith("/path: ")
        assert client.get("/v1/streamers").json()["streamers"] == []
        if change != "remove":  # a retry takes it as it is by then
            assert client.post(path + ":retry").json()["state"] == "queued"
            assert ended(client, path)["state"] == "succeeded"


def begin_and_give_back(client: TestClient) -> None:
    """Do what a runner does that is stopped at once."""
    service = client.app_state["services"].transfers  # type: ignore[index]
    store, place = service._jobs._store, service._spool.place
    assert client.portal is not None
    job = client.portal.call(store.claim, [place], ["import"])
    assert job is not None
    client.portal.call(store.release, job.lease)


def changed(file: Path, how: str) -> None:
    """Change a file as others might."""
    if how == "append":
        with file.open("a") as opened:
            opened.write(json_line(profile(9)))
    elif how == "replace":
        kept = file.stat()
        other = file.with_suffix(".new")
        other.write_text(file.read_text().replace("name", "nome"))
        os.utime(other, ns=(kept.st_atime_ns, kept.st_mtime_ns))
        other.rename(file)
    elif how == "touch":
        os.utime(file, (1, 1))
    else:
        file.unlink()
