"""A changed model while writes go on: no write is lost, and no answer mixes two models."""

import itertools
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from model_export.contract.bundle import ENCODER, MANIFEST, Bundle, file_entry
from tests.conftest import ADMIN_KEY, Serve
from tests.support.api import Api
from tests.support.service import Service, run, wait_until

STORED, WATCHED = 250, 20
"""Streamers at first; how many of them are compared under both models."""


@pytest.fixture
def folder(bundle: Path, tmp_path: Path) -> Path:
    """The trained model, and one that has learned the same in other directions."""
    folder = tmp_path / "models"
    for name in ("first", "next"):
        shutil.copytree(bundle, folder / name)
    reverse_embeddings(folder / "next")
    return folder


def reverse_embeddings(bundle: Path) -> None:
    """Another model, whose embeddings have the same numbers from the last to the first.

    Its cosines are those of the model before, and a cosine of two models' vectors is another one.
    """
    model = onnx.load_model_from_string((bundle / ENCODER).read_bytes())
    graph, before = model.graph, "embedding_before"
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = before if name == "embedding" else name
    width = Bundle(bundle).manifest.dim
    order = helper.make_tensor("reversed", TensorProto.INT64, [width], [*range(width)][::-1])
    graph.initializer.append(order)
    graph.node.append(helper.make_node("Gather", [before, "reversed"], ["embedding"], axis=1))
    content = model.SerializeToString()
    (bundle / ENCODER).write_bytes(content)
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    manifest["model_version"] += "-next"
    manifest["files"][ENCODER] = file_entry(content).model_dump()
    (bundle / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


class Writer:
    """Writes without a pause; knows what was acknowledged."""

    def __init__(self, service: Service, profiles: list[dict[str, Any]]) -> None:
        self._url, self._profiles = service.url, profiles
        self._stop = threading.Event()
        self.bios: dict[str, str | None] = {}
        self.last = 0
        self.failed: list[str] = []

    def write(self) -> None:
        with Api(self._url, ADMIN_KEY) as api:
            for number in itertools.count():
                if self._stop.is_set():
                    return
                name = f"new-{number // 2}" if number % 2 else f"again-{number % 14}"
                taken = self._profiles[number % len(self._profiles)]
                bio = f"{taken['bio']} {number}"
                if number % 12 == 10 and self.bios.get("again-10"):
                    name, answer = "again-10", api.delete("/v1/streamers/again-10")
                    self.bios[name] = None
                else:
                    answer = api.put(f"/v1/streamers/{name}", json={**taken, "bio": bio})
                    self.bios[name] = bio
                if answer.is_error:
                    self.failed.append(answer.text)
                    return
                self.last = answer.json()["sequence"]

    @contextmanager
    def writing(self) -> Iterator[None]:
        thread = threading.Thread(target=self.write)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()


def operated(service: Service, *words: str) -> str:
    """What a command of an operator printed."""
    done = run("models", *words, "--url", service.url, STREAMER_API_KEY=ADMIN_KEY)
    assert done.returncode == 0, done.stderr
    return done.stdout


def answers(api: Api, ids: list[str]) -> dict[str, Any]:
    return {name: api.ok("GET", f"/v1/streamers/{name}/similar", params={"k": 10}) for name in ids}


def check_whole(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Both models find the same by the same scores, unless vectors of both are compared."""
    for name, answer in one.items():
        scores = [[hit["score"] for hit in each["hits"]] for each in (answer, other[name])]
        assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_a_model_changes_while_writes_go_on(
    serve: Serve, folder: Path, profiles: list[dict[str, Any]]
) -> None:
    first = Bundle(folder / "first").manifest.model_version
    following = f"{first}-next"
    variables = {
        "STREAMER_API_KEY": ADMIN_KEY,
        "STREAMER_MODELS__FOLDER": str(folder),
        "STREAMER_DUPLICATES__EVALUATE": "false",
    }
    service = serve(bundle=folder / "first", **variables)
    api = service.api
    whole = [profile for profile in profiles if {"bio", "tags"} <= profile.keys()][:STORED]
    api.write(whole)
    ids = [profile["streamer_id"] for profile in whole[:WATCHED]]
    without_id = [{k: v for k, v in p.items() if k != "streamer_id"} for p in whole]
    vectors = {name: api.embedding(name) for name in ids}
    before = answers(api, ids)

    def is_ready() -> bool:
        shown = api.ok("GET", f"/v1/models/{following}")
        return shown["state"] == "ready" and shown["replicas"][0]["is_indexed"]

    def versions() -> set[str]:
        return {each["model_version"] for each in answers(api, ids[:4]).values()}

    writer = Writer(service, without_id)
    with writer.writing():
        operated(service, "register", "next")
        operated(service, "backfill", following)
        wait_until(is_ready, "the next model is ready")
        assert versions() == {first}
        operated(service, "compare", following)
        operated(service, "promote", following)
        wait_until(lambda: versions() == {following}, "it answers")
        written = len(writer.bios)
        wait_until(lambda: len(writer.bios) > written + 5 or writer.failed, "writes go on")
    assert writer.failed == []
    api.wait_until_indexed(writer.last)

    def check_writes() -> None:
        for name, bio in writer.bios.items():
            answer = api.get(f"/v1/streamers/{name}")
            assert answer.status_code == (404 if bio is None else 200)
            assert bio is None or answer.json()["profile"]["bio"] == bio

    def seen(names: list[str]) -> dict[str, list[float]]:
        return {name: api.embedding(name) for name in names}

    # Nothing that was acknowledged is lost, and all is answered by the next model's vectors.
    check_writes()
    kept = [name for name, bio in writer.bios.items() if bio is not None]
    for name, vector in seen(ids).items():
        assert vector == pytest.approx(vectors[name][::-1], abs=1e-3)
    by_next, seen_by_next = answers(api, [*ids, *kept]), seen(kept)
    assert {answer["model_version"] for answer in by_next.values()} == {following}

    # A start keeps the model that was promoted, whatever the settings name.
    assert service.stop() == 0
    service = serve(bundle=folder / "first", **variables)
    api = service.api
    assert api.get("/readyz").json()["model_version"] == following
    assert seen(kept) == seen_by_next
    check_whole(answers(api, [*ids, *kept]), by_next)

    # Back: the vectors before, also of what was written meanwhile.
    others = api.ok("GET", f"/v1/models/{first}")["replicas"]
    wait_until(
        lambda: all(
            replica["is_indexed"] for replica in api.ok("GET", f"/v1/models/{first}")["replicas"]
        ),
        f"the model before is kept by {others}",
    )
    operated(service, "rollback", "--from", following)
    wait_until(lambda: versions() == {first}, "the model before answers")
    check_writes()
    assert seen(ids) == vectors
    for name, vector in seen(kept).items():
        assert vector == pytest.approx(seen_by_next[name][::-1], abs=1e-3)
    by_first = answers(api, [*ids, *kept])
    assert {answer["model_version"] for answer in by_first.values()} == {first}
    check_whole(by_first, by_next)
    assert any(by_first[name]["hits"] != before[name]["hits"] for name in ids)  # by what is new
    assert "retired" in operated(service, "retire", following)
