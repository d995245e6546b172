"""What is in memory is bounded, however much is sent at once and in the long run."""

import asyncio
import gc
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.bundles import write_bundle
from tests.media_towers import picture, sound
from tests.service.conftest import Serve
from tests.service.process import Service, wait_until
from tests.service.towers import media, titles

MIB = 1 << 20


def peak_bytes(service: Service) -> int:
    """The most memory that the process ever had."""
    status = Path(f"/proc/{service.process.pid}/status").read_text(encoding="utf-8")
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak) * 1024


@pytest.mark.slow
def test_a_bulk_of_long_lines_is_written_in_small_parts(serve: Serve) -> None:
    service = serve()
    service.put("a", tags=["cooking"])
    before = peak_bytes(service)
    picture = {"data": "A" * (3 * MIB), "content_type": "image/png"}
    profiles = [{"streamer_id": f"s{i}", "tags": ["cooking"], "avatar": picture} for i in range(40)]
    results = service.bulk(profiles)
    assert [r["outcome"] for r in results] == ["created"] * 40, json.dumps(results)[:500]
    assert peak_bytes(service) - before < 200 * MIB  # 120 MiB were sent


@pytest.mark.slow
def test_the_memory_of_large_bodies_is_given_back(serve: Serve) -> None:
    service = serve()
    service.put("a", tags=["cooking"])
    process = psutil.Process(service.process.pid)
    before = process.memory_info().rss
    titles = [{"video_id": f"v{i}", "title": "kitchen stories " * 30} for i in range(14_000)]
    body = json.dumps({"videos": titles}).encode()

    async def send() -> list[int]:
        async with httpx.AsyncClient(base_url=service.url, timeout=60, trust_env=False) as client:

            async def put(i: int) -> int:
                headers = {"content-type": "application/json"}
                answer = await client.put(f"/v1/streamers/{i}", content=body, headers=headers)
                return answer.status_code

            return await asyncio.gather(*map(put, range(64)))

    assert 422 in asyncio.run(send())  # too many videos, found when all of it was read
    wait_until(lambda: process.memory_info().rss - before < 100 * MIB, "it is given back")


def test_a_service_in_the_process_of_another_leaves_garbage_to_be_collected(
    bundle: Path, tmp_path: Path
) -> None:
    """Frozen, each service of a test would stay in memory to the end of the tests."""
    frozen, threshold = gc.get_freeze_count(), gc.get_threshold()
    app = create_app(Settings(bundle=bundle, data_dir=tmp_path / "data"))
    with TestClient(app, base_url="http://localhost"):
        assert gc.get_freeze_count() <= frozen  # of those that are, some are freed
        assert gc.get_threshold() == threshold


@cache
def encoded(kind: str, size: tuple[int, int]) -> bytes:
    """A picture; with other bytes after its end it is another one, to be decoded again."""
    return picture("#a1b2c3", kind, size)


def mixed(choices: random.Random, number: int) -> dict[str, Any]:
    """A profile of any kind and size."""
    words = [f"w{choices.randrange(5000)}" for _ in range(choices.choice([1, 3, 10, 200]))]
    profile: dict[str, Any] = {"streamer_id": f"s{number}", "bio": " ".join(words)}
    if choices.random() < 0.5:
        (many,) = choices.choices([1, 4, 64], (4, 4, 1))
        profile["videos"] = titles(*(f"{number} {i}" for i in range(many)))
    if choices.random() < 0.3:
        (size,) = choices.choices([(64, 64), (333, 200), (1280, 720)], (4, 4, 1))
        kind = choices.choice(["PNG", "JPEG", "WEBP"])
        shown = encoded(kind, size) + b"%d" % choices.getrandbits(64)
        profile["avatar"] = media(shown, f"image/{kind.lower()}")
    if choices.random() < 0.1:
        tone = sound(
            choices.uniform(100, 900), choices.uniform(0.2, 2), choices.choice([8000, 22_050])
        )
        profile["lives"] = [{"live_id": "l", "audio": media(tone, "audio/wav")}]
    return profile


@pytest.mark.slow
def test_ten_thousand_mixed_writes_take_hardly_more_than_a_thousand(
    serve: Serve, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "b", tower=True, media=True)
    # What is kept on purpose is not what this is about.
    service = serve(bundle=tmp_path / "b", STREAMER_TOWERS__RECENT_BYTES=str(MIB))
    choices = random.Random(1)
    process = psutil.Process(service.process.pid)
    taken: dict[int, int] = {}
    shown = 0
    for start in range(0, 10_000, 100):
        # Half of them again and again, so that the index does not grow with all of them.
        numbers = [choices.randrange(500) if i % 2 else start + i for i in range(100)]
        profiles = [mixed(choices, number) for number in numbers]
        shown += sum(("avatar" in p) + ("lives" in p) for p in profiles)
        if start % 500:
            results = service.bulk(profiles)
            assert {r["outcome"] for r in results} <= {"created", "updated"}
        else:
            for profile in profiles:
                service.put(profile.pop("streamer_id"), **profile)
        taken[start + 100] = process.memory_info().rss
    towers = service.client.get("/readyz").json()["towers"]
    assert sum(tower["decoded"] for tower in towers) >= 0.9 * shown > 3000  # some come twice in 100
    assert taken[10_000] < 1.2 * taken[1000], {n: rss // MIB for n, rss in taken.items()}
