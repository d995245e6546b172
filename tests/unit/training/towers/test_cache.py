"""Kept vectors: the same as computed ones, of one tower version, whole after a kill."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.support import towers
from training.errors import CacheError
from training.towers.cache import FeatureCache, cache_folder

pytestmark = pytest.mark.slow

SPEC = towers.spec()
VECTORS = np.random.default_rng(0).standard_normal((5, towers.WIDTH)).astype(np.float32)
KEYS = [bytes([i]) * 16 for i in range(5)]


def test_what_is_kept_is_found_by_the_next_one(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "new", SPEC)
    assert cache.get(KEYS[0]) is None
    cache.add(KEYS[:3], VECTORS[:3])
    cache.close()
    cache = FeatureCache(tmp_path / "new", SPEC)
    assert len(cache) == 3
    for key, vector in zip(KEYS[:3], VECTORS, strict=False):
        found = cache.get(key)
        assert found is not None
        assert found.tolist() == vector.astype(np.float16).tolist()
    assert cache.get(KEYS[3]) is None


def test_another_version_has_a_file_of_its_own(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, SPEC)
    cache.add(KEYS, VECTORS)
    other = FeatureCache(tmp_path, towers.spec(version="1" * 64))
    assert len(other) == 0
    assert other.path != cache.path
    cache.path.rename(other.path)
    with pytest.raises(CacheError, match="holds vectors of another tower; remove it"):
        FeatureCache(tmp_path, towers.spec(version="1" * 64))


def test_the_first_vector_of_a_key_stays(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, SPEC)
    cache.add(KEYS[:1], VECTORS[:1])
    cache.add(KEYS[:2], VECTORS[1:3])
    assert len(cache) == 2
    found = cache.get(KEYS[0])
    assert found is not None
    assert found.tolist() == VECTORS[0].astype(np.float16).tolist()


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, SPEC)
    cache.add(KEYS, VECTORS)
    cache.close()
    content = cache.path.read_bytes()
    cache.path.write_bytes(b"no database at all" + content[18:])
    with pytest.raises(CacheError, match=r"is damaged \(.*\); remove it to compute it again"):
        FeatureCache(tmp_path, SPEC)
    cache.path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CacheError, match="is damaged"):
        _read_all(tmp_path)


def _read_all(folder: Path) -> None:
    cache = FeatureCache(folder, SPEC)
    for key in KEYS:
        cache.get(key)


def test_a_folder_that_can_t_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CacheError, match=r"file/cache can't be made: Not a directory"):
        FeatureCache(tmp_path / "file" / "cache", SPEC)


def test_the_default_folder_follows_the_system_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache_folder() == Path("/cache/similar-streamer/towers")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/home/me/.cache/similar-streamer/towers")


WRITER = """
import sys
from pathlib import Path
import numpy as np
from tests.support import towers
from training.towers.cache import FeatureCache
cache = FeatureCache(Path(sys.argv[1]), towers.spec())
for start in range(0, 1 << 20, 8):
    keys = [i.to_bytes(16, "little") for i in range(start, start + 8)]
    cache.add(keys, np.arange(start, start + 8, dtype=np.float32)[:, None].repeat(4, 1) % 2048)
    print(start, flush=True)
"""


def test_a_killed_run_loses_no_more_than_the_batch_it_was_at(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
    ) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            writer.stdout.readline()
        time.sleep(0.01)
        writer.send_signal(signal.SIGKILL)
        said = [int(line) for line in writer.stdout.read().split()]
    cache = FeatureCache(tmp_path, SPEC)
    count = len(cache)
    assert count % 8 == 0
    assert count >= max(said, default=19 * 8) + 8
    for i in range(count):
        found = cache.get(i.to_bytes(16, "little"))
        assert found is not None
        assert found.tolist() == [i % 2048] * 4
    cache.add([b"next"], VECTORS[:1])
