"""Bodies of megabytes: who else asks does not wait for them to be parsed."""

import json
import threading
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_export.contract.streamer import StreamerProfile
from service.engine.encoding import large_profiles
from service.engine.work import large_json
from service.features.streamers import write_pipeline
from service.http import json_bodies
from tests.service.data_sets import NDJSON

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.slow
@given(VALUES)
def test_it_is_the_json_of_the_standard_library(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert large_json.dumps(value) == text
    assert large_json.loads(text) == value


@pytest.mark.parametrize("text", ["", "[1,2", "[1,]", '{"a":[1,2}', '[1,"]"', "[1]x", "[" * 9999])
def test_it_refuses_what_the_standard_library_refuses(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)) as expected:
        json.loads(text)
    with pytest.raises(type(expected.value)):
        large_json.loads(text)


PROFILE = {
    "videos": [{"video_id": f"v{i}", "title": "cooking " * 10} for i in range(1000)],
    "lives": [],
}


def test_a_large_profile_is_parsed_validated_and_dumped_beside_the_event_loop(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, set[str]] = {}

    def noted(module: Any, name: str) -> None:
        call = getattr(module, name)

        def note(*args: Any, **options: Any) -> Any:
            threads.setdefault(name, set()).add(threading.current_thread().name)
            return call(*args, **options)

        monkeypatch.setattr(module, name, note)

    noted(json_bodies, "loads_bounded")
    noted(write_pipeline, "record_of")
    noted(write_pipeline, "loads")
    client.put("/v1/streamers/s", json=PROFILE).raise_for_status()
    client.patch("/v1/streamers/s", json={"bio": "cooking"}).raise_for_status()
    assert threads.keys() == {"loads_bounded", "record_of", "loads"}
    assert all(name.startswith("lanes-") for names in threads.values() for name in names)


def test_short_lines_are_read_in_one_call(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_bodies, "loads", None)
    line = json.dumps({"streamer_id": "nobody"})
    answer = client.post("/v1/cold-start:batch", content=line, headers=NDJSON)
    assert answer.json()["problem"]["code"] == "streamer_not_found"


def test_more_values_than_a_body_may_have_are_refused_before_it_is_parsed(
    client: httpx.Client,
) -> None:
    body = b"{" + b",".join(b'"k%06d":0' % i for i in range(500_001))  # not even closed
    for method, path in (("PUT", "/v1/streamers/s"), ("POST", "/v1/similar")):
        headers = {"Content-Type": "application/json"}
        refused = client.request(method, path, content=body, headers=headers)
        assert refused.status_code == 422
        assert "500001 values" in refused.json()["detail"]
        assert "send fewer" in refused.json()["detail"]
    bulk = client.post("/v1/streamers:bulk", content=body, headers=NDJSON)
    assert "500001 values" in bulk.json()["error"]["detail"]


@pytest.mark.parametrize("count", [65, 9999])
def test_an_object_with_too_many_fields_is_one_error(client: httpx.Client, count: int) -> None:
    fields = {f"k{i}": 0 for i in range(count)}
    refused = client.put("/v1/streamers/s", json={"videos": [fields, fields]})
    assert refused.status_code == 422
    assert [e["pointer"] for e in refused.json()["errors"]] == ["/videos/0", "/videos/1"]
    assert "remove those" in refused.json()["detail"]
    refused = client.post("/v1/similar", json=fields)
    assert len(refused.json()["errors"]) == 1


def test_an_object_of_far_too_many_fields_is_refused_before_it_is_made(
    client: httpx.Client,
) -> None:
    refused = client.patch("/v1/streamers/s", json={f"k{i}": None for i in range(10_001)})
    assert refused.status_code == 422
    assert "10001 fields" in refused.json()["detail"]


def test_a_large_body_is_refused_like_a_small_one(client: httpx.Client) -> None:
    pad = {"bio": "x" * large_json.LARGE_BYTES}
    refused = client.put("/v1/streamers/s", json={"tags": [1], **pad}).json()
    assert [e["pointer"] for e in refused["errors"]] == ["/bio", "/tags/0"]
    headers = {"Content-Type": "application/json"}
    for content in (b"[" * 100_000, b'"' + b"\xff" * 100_000, b"{" + b" " * 100_000):
        refused = client.put("/v1/streamers/s", content=content, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (400, "malformed_body")


def test_pictures_many_items_and_long_texts_make_a_profile_large() -> None:
    few = {"streamer_id": "s", "videos": PROFILE["videos"][:9]}
    assert not large_profiles.is_large(StreamerProfile.model_validate(few))
    many = {"streamer_id": "s", **PROFILE}
    cover = {"url": "https://example.com/a.png"}
    shown = {"streamer_id": "s", "lives": [{"live_id": "l", "frames": [cover]}]}
    assert large_profiles.is_large(StreamerProfile.model_validate(many))
    assert large_profiles.is_large(StreamerProfile.model_validate(shown))
    for long in (
        {"bio": "x" * 2000},
        {"videos": [{"video_id": "v", "tags": ["cooking" * 9] * 60}]},
    ):
        assert large_profiles.is_large(StreamerProfile.model_validate({"streamer_id": "s", **long}))
