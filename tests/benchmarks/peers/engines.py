"""Stores of vectors that the benchmark asks alike, each over its own interface."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

import numpy as np
import redis
from numpy.typing import NDArray

from tests.benchmarks.closed_loop import Protocol, ask, http_request, redis_request
from tests.benchmarks.stored import name_of, prepared
from tests.support.machine import free_port

_START_S = 300
NEIGHBOURS = 10


class Engine(Interface):
    """A store that is started, filled and asked."""

    name: str
    protocol: Protocol
    port: int

    def stored(self, folder: Path, vectors: NDArray[np.float32]) -> Path:
        """A folder below that one with its data: all vectors (N, D), stored now or before."""
        ...

    def start(self, data: Path) -> None:
        """Start it on its data; it need not answer yet."""
        ...

    def is_settled(self) -> bool:
        """Whether it answers, and as fast as it ever will."""
        ...

    def query(self, vector: NDArray[np.float32]) -> bytes:
        """A request for the ten nearest of a vector (D,)."""
        ...

    def found(self, answer: bytes) -> list[str]:
        """The ids in the answer to it."""
        ...

    def delete(self, streamer_id: str) -> None:
        """Delete one, and wait for the acknowledgement."""
        ...

    def stop(self) -> None:
        """End it in good order."""
        ...


class _Process:
    """A server in a process of its own."""

    def __init__(self, command: Sequence[str], log: Path, **variables: str) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, env={**os.environ, **variables}
            )

    def check(self) -> None:
        """Give up, with its last words, once it has ended by itself."""
        if self._process.poll() is not None:
            raise SystemExit(f"{self._log}: {self._log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(_START_S)


def wait_for(answers: Callable[[], bool]) -> None:
    """Return once it answers as it should.

    Raises:
        TimeoutError: it never did.
    """
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        try:
            if answers():
                return
        except (OSError, RuntimeError, redis.RedisError):
            pass
        time.sleep(0.005)
    raise TimeoutError(f"not within {_START_S} s")


class Ours:
    """This service, with its embedded store and default settings."""

    name: str = "similar-streamer"
    protocol: Protocol = "http"

    def __init__(self) -> None:
        self.port = free_port()

    def stored(self, folder: Path, vectors: NDArray[np.float32]) -> Path:
        self._bundle, data = prepared(folder, len(vectors))
        return data

    def start(self, data: Path) -> None:
        arguments = ["--bundle", self._bundle, "--data-dir", data, "--port", self.port]
        self._process = _Process(
            [sys.executable, "-m", "service", "serve", *map(str, arguments)], data / "log"
        )

    def is_settled(self) -> bool:
        self._process.check()
        answer = json.loads(ask(self.port, http_request("GET", "/readyz")))
        if answer["status"] == "starting":
            return False
        return answer["index_rows"] < 50_000 or answer["index"]["kind"] != "exact"

    def query(self, vector: NDArray[np.float32]) -> bytes:
        body = {"positive": [{"vector": vector.tolist()}], "k": NEIGHBOURS}
        return http_request("POST", "/v1/similar", json.dumps(body).encode())

    def found(self, answer: bytes) -> list[str]:
        return [hit["streamer_id"] for hit in json.loads(answer)["hits"]]

    def delete(self, streamer_id: str) -> None:
        ask(self.port, http_request("DELETE", f"/v1/streamers/{streamer_id}"))

    def stop(self) -> None:
        self._process.stop()


class Chroma:
    """A Chroma server; `program` is the `chroma` that the package chromadb installs."""

    name: str = "chroma"
    protocol: Protocol = "http"
    _BATCH = 2000
    _ALL = "/api/v2/tenants/default_tenant/databases/default_database/collections"

    def __init__(self, program: str, effort: int) -> None:
        self.port = free_port()
        self._program = program
        self._effort = effort
        self._path = ""

    def stored(self, folder: Path, vectors: NDArray[np.float32]) -> Path:
        data = folder / f"chroma-{len(vectors)}-{self._effort}"
        if not data.exists():
            with filling(self, data):
                self._fill(vectors)
        return data

    def _fill(self, vectors: NDArray[np.float32]) -> None:
        settings = {"hnsw": {"space": "cosine", "ef_search": self._effort}}
        self._ask("POST", self._ALL, {"name": "streamers", "configuration": settings})
        assert self.is_settled()
        for start in range(0, len(vectors), self._BATCH):
            part = vectors[start : start + self._BATCH]
            ids = [name_of(start + i) for i in range(len(part))]
            self._ask("POST", f"{self._path}/add", {"ids": ids, "embeddings": part.tolist()})

    def start(self, data: Path) -> None:
        port = str(self.port)
        self._process = _Process(
            [self._program, "run", "--path", str(data), "--port", port], data / "log"
        )

    def is_settled(self) -> bool:
        self._process.check()
        found: Any = self._ask("GET", self._ALL)
        self._path = f"{self._ALL}/{found[0]['id']}" if found else ""
        return True

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        content = b"" if body is None else json.dumps(body).encode()
        return json.loads(ask(self.port, http_request(method, path, content)))

    def query(self, vector: NDArray[np.float32]) -> bytes:
        body = {
            "query_embeddings": [vector.tolist()],
            "n_results": NEIGHBOURS,
            "include": ["distances"],
        }
        return http_request("POST", f"{self._path}/query", json.dumps(body).encode())

    def found(self, answer: bytes) -> list[str]:
        ids: list[str] = json.loads(answer)["ids"][0]
        return ids

    def delete(self, streamer_id: str) -> None:
        self._ask("POST", f"{self._path}/delete", {"ids": [streamer_id]})

    def stop(self) -> None:
        self._process.stop()


class RedisSets:
    """Vector sets of Redis 8 without quantisation, every write on disk before its answer."""

    name: str = "redis vector set"
    protocol: Protocol = "redis"

    def __init__(self, program: str, effort: int) -> None:
        self.port = free_port()
        self._program = program
        self._effort = effort
        self._client = redis.Redis(port=self.port, socket_timeout=_START_S)

    def stored(self, folder: Path, vectors: NDArray[np.float32]) -> Path:
        data = folder / f"redis-{len(vectors)}"
        if not data.exists():
            with filling(self, data):
                self._fill(vectors)
        return data

    def start(self, data: Path) -> None:
        options = {"port": self.port, "dir": data, "bind": "127.0.0.1"}
        options |= {"appendonly": "yes", "appendfsync": "always"}
        flat = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self._process = _Process([self._program, *flat, "--save", ""], data / "log")

    def is_settled(self) -> bool:
        self._process.check()
        return bool(self._client.ping())

    def _fill(self, vectors: NDArray[np.float32]) -> None:
        pipe = self._client.pipeline(transaction=False)
        for i, vector in enumerate(vectors):
            value = vector.astype("<f4").tobytes()
            pipe.execute_command("VADD", "s", "FP32", value, name_of(i), "NOQUANT")
            if i % 500 == 499:
                pipe.execute()
        pipe.execute()

    def query(self, vector: NDArray[np.float32]) -> bytes:
        value = vector.astype("<f4").tobytes()
        count, effort = str(NEIGHBOURS).encode(), str(self._effort).encode()
        return redis_request(
            b"VSIM", b"s", b"FP32", value, b"WITHSCORES", b"COUNT", count, b"EF", effort
        )

    def found(self, answer: bytes) -> list[str]:
        strings = answer.split(b"\r\n")[2::2]
        return [s.decode() for s in strings[::2]]

    def delete(self, streamer_id: str) -> None:
        self._client.execute_command("VREM", "s", streamer_id)

    def stop(self) -> None:
        self._client.close()
        self._process.stop()


@contextmanager
def running(engine: Engine, data: Path) -> Iterator[None]:
    """It is started, and stopped whatever happens."""
    engine.start(data)
    try:
        yield
    finally:
        engine.stop()


@contextmanager
def filling(engine: Engine, data: Path) -> Iterator[None]:
    """It runs on a new folder, which is there in the end if all went well."""
    begun = data.with_name(f"{data.name}-begun")
    shutil.rmtree(begun, ignore_errors=True)
    begun.mkdir(parents=True)
    begin = time.perf_counter()
    with running(engine, begun):
        wait_for(engine.is_settled)
        yield
    begun.rename(data)
    print(f"{engine.name}: stored in {time.perf_counter() - begin:,.0f} s", flush=True)
