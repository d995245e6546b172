"""A client of the REST API for tests: it knows paths, JSON and status codes."""

import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpx

NDJSON = {"Content-Type": "application/x-ndjson"}
DEADLINE_S = 240
"""For a state that takes seconds to reach, on a machine that does much else."""


class Api(httpx.Client):
    """An HTTP client with an API key, and the few steps that most tests share."""

    def __init__(self, url: str, key: str | None = None) -> None:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        super().__init__(base_url=url, headers=headers, timeout=120, trust_env=False)
        self._made: list[Api] = []

    def close(self) -> None:
        """Close this client, and those that `with_key` made."""
        for client in self._made:
            client.close()
        super().close()

    def ok(
        self, method: str, path: str, body: Any = None, status: int = 200, **options: Any
    ) -> Any:
        """The JSON of an answer with this status; None where it has no content.

        A question that names `after_sequence` is asked until the index has that write.
        """
        if body is not None:
            options["json"] = body
        deadline = time.monotonic() + DEADLINE_S
        answer = self.request(method, path, **options)
        while answer.status_code == 503 and answer.json()["code"] == "not_yet_visible":
            assert time.monotonic() < deadline, answer.text
            answer = self.request(method, path, **options)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def refused(
        self, method: str, path: str, body: Any = None, *, status: int, code: str, **options: Any
    ) -> dict[str, Any]:
        """The problem document of a request that is refused with this status and code."""
        if body is not None:
            options["json"] = body
        answer = self.request(method, path, **options)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["code"] == code, problem
        assert problem["status"] == status
        assert problem["request_id"] == answer.headers["x-request-id"]
        return problem

    def put_streamer(self, streamer_id: str, **profile: Any) -> int:
        """Write one streamer and wait until the index has it; its sequence number."""
        answer = self.put(f"/v1/streamers/{streamer_id}", json=profile)
        assert answer.status_code in (200, 201), answer.text
        self.wait_until_indexed(answer.json()["sequence"])
        return answer.json()["sequence"]

    def write(self, profiles: Iterable[dict[str, Any]]) -> int:
        """Write streamers by one request and wait until the index has them; the last sequence."""
        lines = self.bulk(profiles)
        assert {line["outcome"] for line in lines} <= {"created", "updated"}, lines
        last = max(line["sequence"] for line in lines)
        self.wait_until_indexed(last)
        return last

    def bulk(self, profiles: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Write streamers by one request; its result lines."""
        content = "".join(json.dumps(p, ensure_ascii=False) + "\n" for p in profiles)
        answer = self.post("/v1/streamers:bulk", content=content.encode(), headers=NDJSON)
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.content.splitlines() if line]

    def embedding(self, streamer_id: str) -> list[float]:
        """The vector of a stored streamer."""
        return self.ok("GET", f"/v1/streamers/{streamer_id}/embedding")["embedding"]

    def wait_until_indexed(self, sequence: int) -> None:
        """Wait until questions see the write with this sequence number."""
        deadline = time.monotonic() + DEADLINE_S
        while (self.get("/readyz").json()["index_sequence"] or 0) < sequence:
            assert time.monotonic() < deadline, f"write {sequence} is not in the index"
            time.sleep(0.01)

    def wait_until_matched(self, sequence: int) -> None:
        """Wait until watchlists were matched with the write with this sequence number."""
        name, deadline = "streamer_watchlists_sequence ", time.monotonic() + DEADLINE_S
        while True:
            lines = self.get("/metrics").text.splitlines()
            if any(float(x.split()[1]) >= sequence for x in lines if x.startswith(name)):
                return
            assert time.monotonic() < deadline, f"write {sequence} is not matched"
            time.sleep(0.02)

    def wait_until_grouped(self, sequence: int) -> None:
        """Wait until groups of duplicates take the write with this sequence number into account."""
        deadline = time.monotonic() + DEADLINE_S
        while (self.ok("GET", "/v1/duplicates?limit=1")["evaluated_sequence"] or 0) < sequence:
            assert time.monotonic() < deadline, f"write {sequence} is not grouped"
            time.sleep(0.03)

    def finished(self, job: dict[str, Any], state: str = "succeeded") -> dict[str, Any]:
        """Wait for the end of a job, which must have this state; the job."""
        deadline = time.monotonic() + DEADLINE_S
        while job["state"] in ("queued", "running"):
            assert time.monotonic() < deadline, job
            time.sleep(0.05)
            job = self.ok("GET", f"/v1/jobs/{job['job_id']}")
        assert job["state"] == state, job
        return job

    def with_key(self, *scopes: str, **fields: Any) -> "Api":
        """A client with a new key of these scopes; this client is an admin's."""
        made = self.ok("POST", "/v1/keys", {"name": "t", "scopes": [*scopes], **fields}, status=201)
        self._made.append(Api(str(self.base_url), made["key"]))
        return self._made[-1]

    def pages(self, path: str, field: str, **params: Any) -> Iterator[list[Any]]:
        """Every page of a list, by its cursor."""
        while True:
            page = self.ok("GET", path, params=params)
            yield page[field]
            if page["next_cursor"] is None:
                return
            params["cursor"] = page["next_cursor"]

    def all(self, path: str, field: str, **params: Any) -> list[Any]:
        """All items of a list, page after page."""
        return [item for page in self.pages(path, field, **params) for item in page]


def wrong_fields(problem: dict[str, Any]) -> list[str]:
    """The fields that a problem document names: JSON pointers, and names of parameters."""
    return [e["parameter"] if "parameter" in e else e["pointer"] for e in problem["errors"]]
