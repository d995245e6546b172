"""The backup of the manifests reaches the store and nothing else, is valid, and writes a copy."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.files.checksummed import MANIFEST
from tests.deploy.files import ROOT
from tests.deploy.test_kubernetes import (
    DOCKERFILE,
    KUBERNETES,
    VERSIONS,
    container,
    kustomization,
    patched,
    pod,
    validate,
)
from tests.deploy.test_scale import added
from tests.support.valkey import Server

Document = dict[str, Any]


def plain() -> list[Document]:
    names = kustomization("backup")["resources"]
    return [yaml.safe_load((KUBERNETES / "backup" / n).read_text(encoding="utf-8")) for n in names]


VARIANTS = {"backup": plain(), "backup-scale": patched(plain(), "backup-scale")}


def template(variant: str = "backup") -> Document:
    (job,) = [document for document in VARIANTS[variant] if document["kind"] == "CronJob"]
    return job["spec"]["jobTemplate"]["spec"]["template"]


def copying(variant: str = "backup") -> Document:
    (only,) = template(variant)["spec"]["containers"]
    return only


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_kubernetes_takes_every_document(variant: str, version: str) -> None:
    for document in VARIANTS[variant]:
        validate(document, version)


def test_every_file_is_applied() -> None:
    listed = {*kustomization("backup")["resources"], "kustomization.yaml"}
    assert listed == {file.name for file in (KUBERNETES / "backup").iterdir()}
    assert kustomization("backup-scale")["resources"] == ["../backup"]


def test_no_caller_is_sent_to_it_and_it_may_do_no_more_than_a_service() -> None:
    labels = template()["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/name": "similar-streamer-backup"}
    assert copying()["image"] == container()["image"]
    assert copying()["securityContext"] == container()["securityContext"]
    assert template()["spec"]["securityContext"] == pod()["securityContext"]
    assert template()["spec"]["automountServiceAccountToken"] is False


def test_it_reaches_the_store_as_the_services_do() -> None:
    of_service = {entry["name"]: entry for entry in container()["env"]}
    assert copying()["env"] == [of_service["REDIS_URL"]]
    *_, sentinels, replicas = copying("backup-scale")["env"]
    assert {each["name"]: each["value"] for each in (sentinels, replicas)} == {
        name: value for name, value in added().items() if name.startswith("STREAMER_STORE__")
    }


def test_what_it_writes_to_is_mounted() -> None:
    mounts = {mount["mountPath"]: mount["name"] for mount in copying()["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in template()["spec"]["volumes"]}
    assert set(mounts.values()) == set(volumes)
    (claim,) = [d for d in VARIANTS["backup"] if d["kind"] == "PersistentVolumeClaim"]
    claimed = volumes[mounts["/backup"]]["persistentVolumeClaim"]["claimName"]
    assert claimed == claim["metadata"]["name"]
    assert '"/backup/' in copying()["command"][-1]
    assert "STREAMER_DATA_DIR=/data" in DOCKERFILE
    assert {"/data", "/tmp"} < set(mounts)


@pytest.mark.slow
def test_its_command_writes_a_copy(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    copies = tmp_path / "copies"
    copies.mkdir()
    server = Server(tmp_path / "store")
    server.start()
    try:
        shell, option, command = copying()["command"]
        subprocess.run(
            [shell, option, command.replace("/backup/", f"{copies}/")],
            cwd=ROOT,
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "REDIS_URL": server.url,
                "STREAMER_DATA_DIR": str(tmp_path / "data"),
            },
            check=True,
        )
    finally:
        server.kill()
    (copy,) = copies.iterdir()
    assert (copy / MANIFEST).is_file()
