"""The manifests are valid for Kubernetes, agree with each other and with the image, and start."""

import copy
import re
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
import yaml
from pydantic import BaseModel

from service.http.admission import PROBES
from service.settings import Jobs, Settings
from service.settings.access import Audit
from service.settings.spaces import Spaces
from tests.deploy.files import DEPLOY, ROOT
from tests.service.conftest import bundle as bundle
from tests.support.service import Service, wait_until
from tests.support.valkey import Server

KUBERNETES = DEPLOY / "kubernetes"
VERSIONS = ("1.31", "newest")  # what clouds still run, and what comes
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SUBSTITUTED = {"STREAMER_API_KEY": "a-key-of-the-test"}

Document = dict[str, Any]


def kustomization(folder: str) -> Document:
    return yaml.safe_load((KUBERNETES / folder / "kustomization.yaml").read_text(encoding="utf-8"))


def base() -> list[Document]:
    """The documents of the base, one a file."""
    names = kustomization("base")["resources"]
    return [yaml.safe_load((KUBERNETES / "base" / n).read_text(encoding="utf-8")) for n in names]


def patched(documents: list[Document], folder: str) -> list[Document]:
    """What kustomize makes of documents by the patches and images of a folder."""
    documents = copy.deepcopy(documents)
    for patch in kustomization(folder)["patches"]:
        wanted = patch["target"]
        (at,) = [
            i
            for i, document in enumerate(documents)
            if (document["kind"], document["metadata"]["name"]) == (wanted["kind"], wanted["name"])
        ]
        operations = yaml.safe_load(patch["patch"])
        documents[at] = jsonpatch.apply_patch(documents[at], operations)
    for image in kustomization(folder).get("images", ()):
        (of_pod,) = [d["spec"]["template"]["spec"] for d in documents if "template" in d["spec"]]
        (only,) = of_pod["containers"]
        name, _, tag = only["image"].rpartition(":")
        assert image["name"] == name  # kustomize leaves an image of another name as it is
        only["image"] = f"{image.get('newName', name)}:{image.get('newTag', tag)}"
    return documents


VARIANTS = {"base": base(), "gpu": patched(base(), "gpu")}


def of_kind(kind: str, variant: str = "base") -> list[Document]:
    return [document for document in VARIANTS[variant] if document["kind"] == kind]


def pod(variant: str = "base") -> Document:
    (pods,) = of_kind("StatefulSet", variant)
    return pods["spec"]["template"]["spec"]


def container(variant: str = "base") -> Document:
    (only,) = pod(variant)["containers"]
    return only


def claim_of_the_pod() -> Document:
    """The claim of the volume that a pod gets back after it was replaced."""
    (pods,) = of_kind("StatefulSet")
    (claim,) = pods["spec"]["volumeClaimTemplates"]
    return claim


def environment_of_the_pod() -> dict[str, Document]:
    return {entry["name"]: entry for entry in container()["env"]}


def validate(document: Document, version: str) -> None:
    """Refuse what this version of Kubernetes would, and fields that it does not know."""
    import kubernetes_validate  # here, since it takes seconds of every process with these tests

    number = kubernetes_validate.latest_version() if version == "newest" else version
    kubernetes_validate.validate(document, number, strict=True)


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_kubernetes_takes_every_document(variant: str, version: str) -> None:
    for document in VARIANTS[variant]:
        validate(document, version)


@pytest.mark.slow
def test_a_field_that_is_misspelt_is_no_kubernetes() -> None:
    from kubernetes_validate import ValidationError

    (budget,) = copy.deepcopy(of_kind("PodDisruptionBudget"))
    budget["spec"]["maxUnavailabel"] = budget["spec"].pop("maxUnavailable")
    with pytest.raises(ValidationError, match="maxUnavailabel"):
        validate(budget, VERSIONS[-1])


def test_every_file_is_applied() -> None:
    listed = {*kustomization("base")["resources"], "kustomization.yaml"}
    assert listed == {file.name for file in (KUBERNETES / "base").iterdir()}
    assert kustomization("gpu")["resources"] == ["../base"]


def test_services_and_the_budget_select_the_pods() -> None:
    (pods,) = of_kind("StatefulSet")
    labels = pods["spec"]["template"]["metadata"]["labels"]
    (budget,) = of_kind("PodDisruptionBudget")
    found = [
        *(service["spec"]["selector"] for service in of_kind("Service")),
        budget["spec"]["selector"]["matchLabels"],
        pods["spec"]["selector"]["matchLabels"],
    ]
    assert found == [labels] * len(found)
    ports = {port["name"] for port in container()["ports"]}
    for service in of_kind("Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} == ports
    # Fewer replicas than the budget takes away would leave none.
    assert budget["spec"]["maxUnavailable"] < pods["spec"]["replicas"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_container_may_do_nothing_but_serve(variant: str) -> None:
    of_pod, of_container = pod(variant)["securityContext"], container(variant)["securityContext"]
    assert of_pod["runAsNonRoot"] is True
    assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert f"useradd --uid {of_pod['runAsUser']} " in DOCKERFILE
    assert of_pod["runAsUser"] == of_pod["runAsGroup"] == of_pod["fsGroup"]
    assert of_container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(variant)["automountServiceAccountToken"] is False


def test_what_is_written_to_and_the_bundle_are_where_the_image_looks() -> None:
    mounts = {mount["mountPath"]: mount for mount in container()["volumeMounts"]}
    image = dict(re.findall(r"(STREAMER_BUNDLE|STREAMER_DATA_DIR)=(\S+)", DOCKERFILE))
    assert set(mounts) == {image["STREAMER_BUNDLE"], image["STREAMER_DATA_DIR"], "/tmp"}
    assert mounts[image["STREAMER_BUNDLE"]]["readOnly"] is True
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    claim = claim_of_the_pod()["metadata"]["name"]
    assert {claim, *volumes} == {mount["name"] for mount in mounts.values()}
    assert volumes[mounts["/tmp"]["name"]]["emptyDir"]["sizeLimit"]
    assert mounts[image["STREAMER_DATA_DIR"]]["name"] == claim


def test_files_that_outlive_a_pod_have_room_on_its_claim() -> None:
    size = claim_of_the_pod()["spec"]["resources"]["requests"]["storage"]
    assert size.endswith("Gi")
    most = Jobs().spool_bytes + Audit().keep_bytes + Spaces().spool_bytes
    assert int(size.removesuffix("Gi")) << 30 > most


def test_pods_keep_their_names() -> None:
    (pods,) = of_kind("StatefulSet")
    (headless,) = [s for s in of_kind("Service") if s["spec"].get("clusterIP") == "None"]
    assert pods["spec"]["serviceName"] == headless["metadata"]["name"]


def test_secrets_come_from_a_secret() -> None:
    environment = environment_of_the_pod()
    for name in ("STREAMER_API_KEY", "REDIS_URL"):
        entry = environment[name]
        assert "value" not in entry
        assert entry["valueFrom"]["secretKeyRef"]["name"] == "similar-streamer"


def test_every_environment_name_is_a_setting() -> None:
    known: set[str] = {"REDIS_URL"}
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            known |= {f"STREAMER_{name}__{one}".upper() for one in group.model_fields}
        else:
            known.add(f"STREAMER_{name}".upper())
    assert set(environment_of_the_pod()) <= known


def test_probes_ask_what_they_are_for() -> None:
    found = container()
    paths = {
        name: found[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "liveness", "readiness")
    }
    assert paths == {"startup": "/startupz", "liveness": "/livez", "readiness": "/readyz"}
    assert set(paths.values()) == PROBES
    (port,) = found["ports"]
    assert f"STREAMER_PORT={port['containerPort']}" in DOCKERFILE
    assert {found[f"{name}Probe"]["httpGet"]["port"] for name in paths} == {port["name"]}


def test_a_pod_has_the_time_to_end() -> None:
    drain_s = float(environment_of_the_pod()["STREAMER_SERVER__DRAIN_S"]["value"])
    requests_s, snapshot_s = 5, 10
    assert pod()["terminationGracePeriodSeconds"] > drain_s + requests_s + snapshot_s
    readiness = container()["readinessProbe"]
    assert drain_s >= readiness["periodSeconds"] * readiness["failureThreshold"]


def test_the_gpu_variant_differs_in_what_a_gpu_needs_alone() -> None:
    plain, gpu = copy.deepcopy(pod()), copy.deepcopy(pod("gpu"))
    limits = gpu["containers"][0]["resources"]["limits"]
    assert limits.pop("nvidia.com/gpu") == "1"
    (toleration,) = gpu.pop("tolerations")
    assert toleration["key"] == "nvidia.com/gpu"
    assert gpu["containers"][0]["env"].pop() == {"name": "STREAMER_DEVICE", "value": "gpu"}
    assert gpu["containers"][0].pop("image") == "similar-streamer:gpu"
    assert plain["containers"][0].pop("image") == "similar-streamer:latest"
    assert gpu == plain
    assert "STREAMER_DEVICE=gpu" in DOCKERFILE.split("FROM runtime AS gpu")[1]


@pytest.mark.slow
def test_a_service_starts_with_the_environment_of_the_pod(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    server = Server(tmp_path / "store")
    server.start()
    try:
        variables: dict[str, Any] = {
            name: {**SUBSTITUTED, "REDIS_URL": server.url}.get(name) or entry["value"]
            for name, entry in environment_of_the_pod().items()
        }
        variables["STREAMER_SERVER__DRAIN_S"] = "0"  # which only takes time
        with Service(bundle, tmp_path / "data", **variables) as service:
            for name in ("liveness", "startup", "readiness"):
                path = container()[f"{name}Probe"]["httpGet"]["path"]
                wait_until(lambda path=path: service.client.get(path).status_code == 200, path)
            client = service.client
            assert client.get("/v1/streamers").status_code == 401
            key = {"Authorization": f"Bearer {SUBSTITUTED['STREAMER_API_KEY']}"}
            assert client.get("/v1/streamers", headers=key).status_code == 200
            assert service.stop() == 0
    finally:
        server.kill()
