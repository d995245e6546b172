"""Kubernetes manifests, compose files and images agree with each other and start a service."""

import copy
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import jsonpatch
import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.service import ROOT, Service, wait_until
from tests.support.valkey import Server

Document = dict[str, Any]

KUBERNETES = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.31", kubernetes_validate.latest_version())
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE_FILES = ("docker-compose.yml", "deploy/compose.scale.yaml")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETTINGS = set(
    re.findall(r"`([A-Z][A-Z_]+)`", (ROOT / "docs" / "configuration.md").read_text("utf-8"))
)
"""The names of the environment variables that are documented, which is generated from the code."""
FOREIGN = {
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_VISIBLE_DEVICES",
    "PATH",
    "PIP_ONLY_BINARY",
    "PIP_REQUIRE_HASHES",
    "PYTHONUNBUFFERED",
}
"""Variables of Python, pip, the shell and NVIDIA's container runtime."""


def load(path: Path) -> list[Document]:
    return [d for d in yaml.safe_load_all(path.read_text(encoding="utf-8")) if d]


def built(folder: str) -> list[Document]:
    """What kustomize makes of a folder: its resources and those of its base, patched."""
    (kustomization,) = load(KUBERNETES / folder / "kustomization.yaml")
    documents: list[Document] = []
    for name in kustomization["resources"]:
        if name.startswith("../"):
            documents += built(name.removeprefix("../"))
        else:
            documents += load(KUBERNETES / folder / name)
    for patch in kustomization.get("patches", ()):
        target = (patch["target"]["kind"], patch["target"]["name"])
        (at,) = [
            i
            for i, document in enumerate(documents)
            if (document["kind"], document["metadata"]["name"]) == target
        ]
        operations = yaml.safe_load(patch["patch"])
        documents[at] = jsonpatch.apply_patch(copy.deepcopy(documents[at]), operations)
    return documents


VARIANTS = [path.parent.name for path in sorted(KUBERNETES.glob("*/kustomization.yaml"))]


def pods(documents: list[Document]) -> dict[str, Document]:
    """Name of a workload -> its template of pods."""
    found: dict[str, Document] = {}
    for document in documents:
        spec = document.get("spec", {})
        if document["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            found[document["metadata"]["name"]] = spec["template"]
    return found


def environment(container: Document) -> dict[str, Document]:
    return {entry["name"]: entry for entry in container.get("env", ())}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_kubernetes_accepts_every_document(variant: str, version: str) -> None:
    documents = built(variant)
    assert documents
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_a_manifest_selects_mounts_and_sets_exists(variant: str) -> None:
    documents = built(variant)
    labels = [template["metadata"]["labels"] for template in pods(documents).values()]
    for document in documents:
        if document["kind"] == "Service":
            assert document["spec"]["selector"] in labels, document["metadata"]["name"]
        if document["kind"] == "PodDisruptionBudget":
            assert document["spec"]["selector"]["matchLabels"] in labels
    for name, template in pods(documents).items():
        spec = template["spec"]
        (workload,) = [
            d
            for d in documents
            if d["metadata"]["name"] == name and d["kind"] in ("StatefulSet", "CronJob")
        ]
        claims = workload["spec"].get("volumeClaimTemplates", ())
        volumes = {volume["name"] for volume in spec.get("volumes", ())}
        volumes |= {claim["metadata"]["name"] for claim in claims}
        for container in spec["containers"]:
            assert {m["name"] for m in container.get("volumeMounts", ())} <= volumes
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            if container["image"].startswith("similar-streamer:"):
                assert set(environment(container)) <= SETTINGS
                assert spec["automountServiceAccountToken"] is False


def test_the_pod_uses_the_folders_the_port_and_the_user_of_the_image() -> None:
    spec = pods(built("base"))["similar-streamer"]["spec"]
    (container,) = spec["containers"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    image = dict(re.findall(r"(STREAMER_\w+)=(\S+)", DOCKERFILE))
    assert mounts == {image["STREAMER_BUNDLE"], image["STREAMER_DATA_DIR"], "/tmp"}
    (port,) = container["ports"]
    assert str(port["containerPort"]) == image["STREAMER_PORT"]
    assert f"useradd --uid {spec['securityContext']['runAsUser']} " in DOCKERFILE
    paths = [container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness")]
    assert paths == ["/startupz", "/livez"]


def test_secrets_come_from_a_secret() -> None:
    (container,) = pods(built("base"))["similar-streamer"]["spec"]["containers"]
    for name in ("STREAMER_API_KEY", "REDIS_URL"):
        assert "secretKeyRef" in environment(container)[name]["valueFrom"]


def test_a_service_starts_with_the_environment_of_the_pod(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    server = Server(tmp_path / "store")
    server.start()
    (container,) = pods(built("base"))["similar-streamer"]["spec"]["containers"]
    given: dict[str, Any] = {
        name: entry["value"]
        for name, entry in environment(container).items()
        if "value" in entry and name != "STREAMER_SERVER__DRAIN_S"
    }
    given |= {"REDIS_URL": server.url, "STREAMER_API_KEY": "a-key-of-the-test"}
    try:
        with Service(bundle, tmp_path / "data", **given) as service:
            for probe in ("liveness", "startup", "readiness"):
                path = container[f"{probe}Probe"]["httpGet"]["path"]
                wait_until(lambda path=path: service.api.get(path).status_code == 200, path)
            assert service.api.get("/v1/streamers").status_code == 200
            assert service.stop() == 0
    finally:
        server.kill()


def test_the_backup_of_the_manifest_writes_a_copy(tmp_path: Path) -> None:
    ((container,),) = [
        template["spec"]["containers"] for template in pods(built("backup")).values()
    ]
    (tmp_path / "store").mkdir()
    copies = tmp_path / "copies"
    copies.mkdir()
    server = Server(tmp_path / "store")
    server.start()
    shell, option, command = container["command"]
    try:
        subprocess.run(
            [shell, option, command.replace("/backup/", f"{copies}/")],
            cwd=ROOT,
            env={
                "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
                "REDIS_URL": server.url,
                "STREAMER_DATA_DIR": str(tmp_path / "data"),
            },
            check=True,
        )
    finally:
        server.kill()
    assert [folder.is_dir() for folder in copies.iterdir()] == [True]


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_compose_files_are_consistent(name: str) -> None:
    (compose,) = load(ROOT / name)
    stages = re.findall(r"(?m)^FROM \S+ AS (\w+)", DOCKERFILE)
    for service in compose["services"].values():
        if "build" in service:
            assert service["build"]["target"] in stages
            assert set(service["environment"]) <= SETTINGS | FOREIGN
            # `:?` makes compose refuse to start without a key: the port is open to the network.
            assert service["environment"]["STREAMER_API_KEY"].startswith("${STREAMER_API_KEY:?")
            assert set(service.get("depends_on", ())) <= set(compose["services"])
        named = {v.split(":")[0] for v in service.get("volumes", ()) if v[0] not in "$./"}
        assert named <= set(compose.get("volumes", {}))
    (store,) = load(ROOT / "docker-compose.yml")
    options = store["services"]["store"]["command"]
    assert options[options.index("--appendfsync") + 1] == "always"
    assert options[options.index("--maxmemory-policy") + 1] == "noeviction"


def locked(target: str) -> dict[str, str]:
    """Package -> version of a lock file of the image; every one has its hashes."""
    text = (ROOT / "image" / f"{target}.txt").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line.split() for line in text.splitlines()]
    assert all(word.startswith("--hash=sha256:") for words in lines for word in words[1:])
    return dict(words[0].split("==") for words in lines)


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_the_image_installs_what_is_declared(target: str) -> None:
    packages, extras = locked(target), PYPROJECT["project"]["optional-dependencies"]
    declared = PYPROJECT["project"]["dependencies"] + extras["service"] + extras[target]
    for requirement in map(Requirement, declared):
        version = packages[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}, but {version} is locked"
    assert not {"torch", "transformers", "onnx", "scikit-learn"} & set(packages)
    twin = "gpu" if target == "cpu" else "cpu"
    assert not {canonicalize_name(Requirement(r).name) for r in extras[twin]} & set(packages)


def test_every_file_that_the_image_copies_reaches_the_builder() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", DOCKERFILE)
    for path in " ".join(copied).split():
        assert (ROOT / path).exists(), path
        assert f"!{path.split('/')[0]}" in ignore, path


def test_the_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(
        [shutil.which("git") or "git", "ls-files", "service", "model_export", "training"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    wanted = {name for name in tracked if not name.startswith("service/console/web/")}
    assert wanted <= held
    assert "service/console/built/index.html" in held
