"""A store that fails over and the index in Milvus: manifests and compose file agree and start."""

import asyncio
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from redis import Redis
from redis.exceptions import RedisError

from service.settings import Settings
from service.settings.store import Store
from service.store.embedded.binary import find_binary
from service.store.opening import address_of
from service.store.redis.store import RedisStore
from tests.deploy.files import DEPLOY
from tests.deploy.test_kubernetes import VERSIONS, environment_of_the_pod, validate
from tests.support.service import wait_until
from tests.service.store.records import put

SCALE = DEPLOY / "kubernetes" / "scale"
KUSTOMIZATION = yaml.safe_load((SCALE / "kustomization.yaml").read_text(encoding="utf-8"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.scale.yaml").read_text(encoding="utf-8"))
FILES = [name for name in KUSTOMIZATION["resources"] if not name.startswith("..")]
OURS = ["service"]

Document = dict[str, Any]


def documents() -> list[Document]:
    texts = [(SCALE / name).read_text(encoding="utf-8") for name in FILES]
    return [document for text in texts for document in yaml.safe_load_all(text)]


def of_kind(kind: str) -> dict[str, Document]:
    return {d["metadata"]["name"]: d for d in documents() if d["kind"] == kind}


def added() -> dict[str, str]:
    """Environment that the patches add to the service."""
    (patch,) = KUSTOMIZATION["patches"]
    operations = yaml.safe_load(patch["patch"])
    assert patch["target"] == {"kind": "StatefulSet", "name": "similar-streamer"}
    assert {o["path"] for o in operations} == {"/spec/template/spec/containers/0/env/-"}
    return {o["value"]["name"]: o["value"]["value"] for o in operations}


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_document(version: str) -> None:
    for document in documents():
        validate(document, version)


def test_every_file_is_used() -> None:
    generated = [name for each in KUSTOMIZATION["configMapGenerator"] for name in each["files"]]
    used = {*FILES, *(name.rpartition("=")[2] for name in generated), "kustomization.yaml"}
    assert used == {file.name for file in SCALE.iterdir()}


def test_what_is_selected_mounted_and_called_exists() -> None:
    sets, services = of_kind("StatefulSet"), of_kind("Service")
    assert set(sets) == set(services) == {"valkey", "sentinel", "milvus"}
    maps = {each["name"] for each in KUSTOMIZATION["configMapGenerator"]}
    for name, found in sets.items():
        spec, labels = found["spec"], {"app.kubernetes.io/name": name}
        pod = spec["template"]["spec"]
        assert spec["serviceName"] == name
        assert spec["template"]["metadata"]["labels"] == spec["selector"]["matchLabels"] == labels
        assert services[name]["spec"]["selector"] == labels
        (container,) = pod["containers"]
        ports = {port["name"] for port in container["ports"]}
        assert {port["targetPort"] for port in services[name]["spec"]["ports"]} <= ports
        volumes = {v["name"] for v in [*pod["volumes"], *_claims(spec)]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        assert {v["configMap"]["name"] for v in pod["volumes"]} <= maps
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
    hosts = " ".join([*added().values(), *_values(sets)])
    assert hosts.count("sentinel-2.sentinel") == 2
    assert sets["sentinel"]["spec"]["replicas"] == sets["valkey"]["spec"]["replicas"] == 3


def _claims(spec: Document) -> list[Document]:
    return [claim["metadata"] for claim in spec["volumeClaimTemplates"]]


def _values(sets: dict[str, Document]) -> Iterator[str]:
    for found in sets.values():
        for entry in found["spec"]["template"]["spec"]["containers"][0]["env"]:
            yield entry.get("value", "")


def test_nobody_else_reaches_the_store_and_milvus() -> None:
    allowed: set[str] = set()
    for policy in of_kind("NetworkPolicy").values():
        spec = policy["spec"]
        assert spec["policyTypes"] == ["Ingress"]
        (rule,) = spec["ingress"]
        allowed |= {str(source["podSelector"]) for source in rule["from"]}
    callers = "{'matchLabels': {'app.kubernetes.io/name': 'similar-streamer'}}"
    backup = "{'matchLabels': {'app.kubernetes.io/name': 'similar-streamer-backup'}}"
    assert {callers, backup} < allowed
    assert len(allowed) == 3  # and the servers of the store each other
    assert backup not in str(of_kind("NetworkPolicy")["milvus"])
    published = [name for name, service in COMPOSE["services"].items() if "ports" in service]
    assert published == OURS
    assert not [s for s in of_kind("Service").values() if s["spec"].get("type")]


def test_every_environment_name_is_a_setting() -> None:
    known = {"REDIS_URL"}
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            known |= {f"STREAMER_{name}__{one}".upper() for one in group.model_fields}
        else:
            known.add(f"STREAMER_{name}".upper())
    in_compose = COMPOSE["services"]["service"]["environment"]
    assert set(added()) | set(in_compose) <= known
    assert set(added()) < set(in_compose)
    assert set(in_compose) <= set(added()) | set(environment_of_the_pod())
    assert in_compose["STREAMER_API_KEY"].startswith("${STREAMER_API_KEY:?")
    for given in (added(), in_compose):
        names = given["STREAMER_STORE__SENTINELS"]
        replicas = int(given["STREAMER_STORE__REPLICAS"])
        store = Store.model_validate({"sentinels": names, "replicas": replicas})
        address = address_of("redis://:word@streamers/0", store)
        assert address is not None
        assert len(address.sentinels) == 3
        # With one server lost, as many replicas as acknowledge are left.
        assert 0 < address.replicas < of_kind("StatefulSet")["valkey"]["spec"]["replicas"] - 1


def test_milvus_is_set_as_the_documentation_says() -> None:
    said = (DEPLOY.parent / "docs" / "scale.md").read_text(encoding="utf-8")
    settings = yaml.safe_load((SCALE / "milvus.user.yaml").read_text(encoding="utf-8"))
    for path, value in (
        (("common", "gracefulTime"), 5000),
        (("common", "session", "ttl"), 5),
        (("proxy", "timeTickInterval"), 20),
        (("queryNode", "segcore", "interimIndex", "enableIndex"), False),
    ):
        found = settings
        for part in path:
            found = found[part]
        assert found == value
        assert f"`{'.'.join(path)}: {yaml.safe_dump(value).split()[0]}`" in said
    images = {
        of_kind("StatefulSet")["milvus"]["spec"]["template"]["spec"]["containers"][0]["image"],
        COMPOSE["services"]["milvus"]["image"],
    }
    assert {image.partition("@")[0] for image in images} == {"milvusdb/milvus:v2.3.5"}


CLIENT = """\
#!{python}
import sys
from redis import Redis
host, port = sys.argv[sys.argv.index("-h") + 1], int(sys.argv[sys.argv.index("-p") + 1])
at = sys.argv.index("sentinel")
for part in Redis(host, port, socket_timeout=2).execute_command(*sys.argv[at:]) or ():
    print(part.decode())
"""
"""What the scripts need of valkey-cli, which does not come with the package."""


class Started:
    """Servers and sentinels, each on a loopback address of its own, started by the scripts."""

    def __init__(self, folder: Path) -> None:
        net = f"127.{random.randrange(1, 255)}.{random.randrange(256)}"
        self.servers = [f"{net}.{i}" for i in (10, 11, 12)]
        self.sentinels = [f"{net}.{i}" for i in (20, 21, 22)]
        self._folder, self._processes = folder, dict[str, subprocess.Popen[bytes]]()
        programs = folder / "programs"
        programs.mkdir()
        (programs / "valkey-server").symlink_to(find_binary())
        client = programs / "valkey-cli"
        client.write_text(CLIENT.format(python=sys.executable))
        client.chmod(0o755)
        self._path = f"{programs}:{os.environ['PATH']}"

    def start(self, script: str, name: str, password: str = "word") -> None:
        home = self._folder / name
        home.mkdir(exist_ok=True)
        self._processes[name] = subprocess.Popen(
            ["sh", str(SCALE / script)],
            cwd=home,
            env={
                "PATH": self._path,
                "STORE_NAME": name,
                "STORE_PASSWORD": password,
                "SENTINELS": " ".join(self.sentinels),
                "FIRST_PRIMARY": self.servers[0],
                "LISTEN": name,
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self, name: str) -> None:
        self._processes[name].send_signal(signal.SIGKILL)
        self._processes[name].wait()

    def close(self) -> None:
        for name in self._processes:
            self.kill(name)

    def written(self, name: str, file: str = "valkey.conf") -> str:
        """The configuration that the script wrote for a server."""
        return (self._folder / name / file).read_text(encoding="utf-8")

    def follow(self, names: list[str]) -> int:
        """How many replicas the present primary has, if it is one of these."""
        now = self.primary()
        return self.replicas(now) if now in names else 0

    def replicas(self, name: str) -> int:
        with contextlib.suppress(RedisError), Redis(name, 6379, password="word") as client:
            about: Any = client.info("replication")
            states = [about[f"slave{i}"]["state"] for i in range(about["connected_slaves"])]
            return states.count("online")
        return 0

    def is_watched(self) -> bool:
        """Whether each sentinel knows both replicas and both other sentinels."""
        known: list[tuple[int, int]] = []
        for name in self.sentinels:
            with contextlib.suppress(RedisError), Redis(name, 26379) as client:
                about: Any = client.sentinel_master("streamers")
                known.append((about["num-slaves"], about["num-other-sentinels"]))
        return known == [(2, 2)] * 3

    def primary(self) -> str | None:
        """The primary as two of the sentinels know it."""
        told: list[str] = []
        for name in self.sentinels:
            with contextlib.suppress(RedisError), Redis(name, 26379) as client:
                found: Any = client.sentinel_get_master_addr_by_name("streamers")
                told.append(str(found[0].decode() if isinstance(found[0], bytes) else found[0]))
        return next((name for name in told if told.count(name) > 1), None)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    started = Started(tmp_path)
    try:
        yield started
    finally:
        started.close()


def test_a_sentinel_takes_a_new_password_and_keeps_what_it_knows(started: Started) -> None:
    name = started.sentinels[0]

    def answers() -> bool:
        with contextlib.suppress(RedisError), Redis(name, 26379) as client:
            return bool(client.ping())
        return False

    started.start("sentinel.sh", name)
    wait_until(answers, "it runs")
    with Redis(name, 26379) as client:
        client.execute_command("SENTINEL", "SET", "streamers", "down-after-milliseconds", "3000")
    started.kill(name)
    started.start("sentinel.sh", name, password="another")
    wait_until(answers, "it runs again")
    written = started.written(name, "sentinel.conf")
    assert re.findall(r"^sentinel auth-pass (.*)$", written, re.M) == ["streamers another"]
    assert "sentinel down-after-milliseconds streamers 3000\n" in written
    with Redis(name, 26379) as client:
        known: Any = client.execute_command("SENTINEL", "MYID")
    assert f"sentinel myid {known.decode()}\n" in written


def test_the_store_has_memory_for_the_streamers_that_it_is_for() -> None:
    of_pod = of_kind("StatefulSet")["valkey"]["spec"]["template"]["spec"]
    (container,) = of_pod["containers"]
    (most,) = [e["value"] for e in container["env"] if e["name"] == "STORE_MAXMEMORY"]
    limit = container["resources"]["limits"]["memory"]
    assert (most[-2:], limit[-2:]) == ("gb", "Gi")  # both are 2^30 bytes
    script = (SCALE / "valkey.sh").read_text(encoding="utf-8")
    (waiting,) = re.findall(r"client-output-buffer-limit replica (\d+)mb 0 0", script)
    (backlog,) = re.findall(r"repl-backlog-size (\d+)mb", script)
    assert int(backlog) < int(waiting)  # a lower limit would be ignored
    assert 2 * int(most[:-2]) * 1024 + int(waiting) <= int(limit[:-2]) * 1024
    record, entry, log = 5_239 + 76, 1_340, 20_000  # bytes, as measured in docs/scale.md
    data = 100_000 * record + log * entry + 3_600_000
    assert int(most[:-2]) << 30 > data + (int(backlog) << 20)


def test_compose_sets_what_the_manifests_set() -> None:
    servers = [s for name, s in COMPOSE["services"].items() if name.startswith("valkey-")]
    assert len(servers) == 3
    (container,) = of_kind("StatefulSet")["valkey"]["spec"]["template"]["spec"]["containers"]
    (most,) = [e["value"] for e in container["env"] if e["name"] == "STORE_MAXMEMORY"]
    for server in servers:
        assert server["environment"]["STORE_MAXMEMORY"] == f"${{STORE_MAXMEMORY:-{most}}}"
    for name, service in COMPOSE["services"].items():
        found = of_kind("StatefulSet").get(name.rpartition("-")[0] or name)
        asked = found and found["spec"]["template"]["spec"].get("terminationGracePeriodSeconds")
        if asked:
            assert service["stop_grace_period"] == f"{asked}s"


def test_a_name_that_nobody_resolves_stops_no_server_for_long() -> None:
    for name in ("valkey", "sentinel"):
        options = of_kind("StatefulSet")[name]["spec"]["template"]["spec"]["dnsConfig"]["options"]
        assert options == [{"name": "timeout", "value": "1"}, {"name": "attempts", "value": "1"}]


def test_a_bundle_is_given_to_compose_by_its_whole_path() -> None:
    """Compose takes others from the folder of its file, where no bundle lies."""
    for file in (DEPLOY / "compose.scale.yaml", DEPLOY.parent / "docs" / "scale.md"):
        given = re.findall(r"\bBUNDLE=(\S+)", file.read_text(encoding="utf-8"))
        assert given
        assert all(path.startswith("$PWD/") for path in given)


@pytest.mark.slow
def test_the_scripts_start_a_store_that_fails_over(started: Started) -> None:
    asyncio.run(fail_over(started))


async def fail_over(started: Started) -> None:
    first, *others = started.servers
    for name in started.servers:
        started.start("valkey.sh", name)
    for name in started.sentinels:
        started.start("sentinel.sh", name)
    wait_until(lambda: started.replicas(first) == 2, "the others follow the first")
    # By what the primary tells them: who does not know enough others can promote nobody.
    wait_until(started.is_watched, "the sentinels know all")
    names = ",".join(f"{name}:26379" for name in started.sentinels)
    known = Store.model_validate({"sentinels": names, "replicas": 1})
    address = address_of("redis://:word@streamers/0", known)
    assert address is not None
    store = await RedisStore(address).open()
    try:
        await put(store, "a")
        started.kill(first)
        # On a machine that does much else another fail-over may follow: of whichever is promoted.
        wait_until(lambda: started.follow(others) == 1, "one is promoted, the other follows")
        assert await put(store, "b") == 2
    finally:
        await store.close()
    started.start("valkey.sh", first)  # which was the primary, and does not begin as one
    wait_until(lambda: started.follow(started.servers) == 2, "the first one follows, too")
    assert re.search(rf"^replicaof ({'|'.join(others)}) 6379$", started.written(first), re.M)
