"""What an image and a compose file name must exist; no container engine is needed to know that."""

import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from service.settings import Settings
from tests.support.machine import HANGS_S

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
GROUPS = PYPROJECT["dependency-groups"]
WHEEL = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
TWINS = ({"faiss-cpu", "onnxruntime"}, {"faiss-gpu-cuvs", "onnxruntime-gpu"})
_SCALE = "deploy/kubernetes/scale"
PINNED = {
    "Dockerfile": {"python:3.11-slim"},
    "docker-compose.yml": {"valkey/valkey:9.1"},
    "deploy/compose.scale.yaml": {"valkey/valkey:9.1", "milvusdb/milvus:v2.3.5"},
    f"{_SCALE}/valkey.yaml": {"valkey/valkey:9.1"},
    f"{_SCALE}/sentinel.yaml": {"valkey/valkey:9.1"},
    f"{_SCALE}/milvus.yaml": {"milvusdb/milvus:v2.3.5"},
}
# Set by Python, pip, the image's shell or NVIDIA's container runtime; not ours to define.
FOREIGN_ENVIRONMENT = {
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_VISIBLE_DEVICES",
    "PATH",
    "PIP_ONLY_BINARY",
    "PIP_REQUIRE_HASHES",
    "PYTHONUNBUFFERED",
}


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile, continuation lines joined."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"(?m)^#.*\n", "", DOCKERFILE))
    lines = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(word, rest) for word, rest in lines]


def stages() -> dict[str, str]:
    """The stages by name, each with what it starts from."""
    froms = [shlex.split(rest) for word, rest in instructions() if word == "FROM"]
    return {words[2]: words[0] for words in froms}


def known_environment() -> set[str]:
    """Every environment variable that the settings read."""
    prefix = Settings.model_config.get("env_prefix", "")
    names = {f"{prefix}{name}".upper() for name in Settings.model_fields}
    for field in Settings.model_fields.values():
        alias = field.validation_alias
        names |= {str(choice) for choice in getattr(alias, "choices", [])}
    return names


def services() -> dict[str, dict[str, Any]]:
    """The compose services."""
    return COMPOSE["services"]


def test_stages_build_on_stages_or_on_the_python_image() -> None:
    names = stages()
    assert {"cpu", "gpu"} <= set(names)
    (image,) = [rest for word, rest in instructions() if word == "ARG"]
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11-slim(@sha256:[0-9a-f]{64})?", image)
    assert set(names.values()) <= {"${PYTHON_IMAGE}", *names}
    sources = re.findall(r"(?:--from|--mount=from)=([\w-]+)", DOCKERFILE)
    assert sources
    assert set(sources) <= set(names)


DOCKER = """#!/bin/sh
test "$*" = "buildx imagetools inspect $4 --format {{json .Manifest.Digest}}" || exit 1
printf '"sha256:%s"' "$(echo "$4 $ROUND" | sha256sum | cut -c 1-64)"
"""
"""Prints as buildx does, without a registry."""


def test_base_images_are_pinned_by_one_command(tmp_path: Path) -> None:
    for name in ("Makefile", *PINNED):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    docker = tmp_path / "docker"
    docker.write_text(DOCKER, encoding="utf-8")
    docker.chmod(0o755)
    seen: set[str] = set()
    for number in ("1", "2"):  # the second replaces what the first pinned
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "ROUND": number}
        subprocess.run(["make", "image-lock"], cwd=tmp_path, env=environment, check=True)
        for name, images in PINNED.items():
            text = (tmp_path / name).read_text(encoding="utf-8")
            for image in images:
                (digest,) = set(re.findall(rf"{image}(@sha256:[0-9a-f]{{64}})?\s", text))
                seen.add(digest)
    assert len(seen - {""}) == 2 * len(set[str]().union(*PINNED.values()))
    others = [p.name for p in tmp_path.rglob("*") if p.suffix == ".unpinned"]
    assert not others


def test_every_image_that_others_make_is_pinned() -> None:
    files = [ROOT / "docker-compose.yml", *sorted((ROOT / "deploy").rglob("*.yaml"))]
    for file in files:
        found = re.findall(r"\bimage: (\S+)", file.read_text(encoding="utf-8"))
        images = {image.partition("@")[0] for image in found} - {"similar-streamer:latest"}
        assert images == PINNED.get(str(file.relative_to(ROOT)), set()), file


def test_every_copied_path_exists_and_reaches_the_builder() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copies = [rest for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    paths = [path for rest in copies for path in shlex.split(rest)[:-1]]
    assert paths
    for path in paths:
        assert (ROOT / path).exists(), path
        assert f"!{path.split('/')[0]}" in ignore, (
            f"{path} is kept from the builder by .dockerignore"
        )


def locked(name: str) -> dict[str, str]:
    """Package -> version of a lock file of the image; every one has its hashes."""
    text = (ROOT / "image" / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line.split() for line in text.splitlines()]
    for words in lines:
        assert words[1:], words
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", word) for word in words[1:])
    return dict(words[0].split("==") for words in lines)


def served_extras(target: str) -> list[str]:
    """The extras that `make lock` puts into a target of the image."""
    command = ["make", "--dry-run", "--no-print-directory", "lock"]
    planned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    named = re.findall(r"--extra (\S+)", planned.replace("$target", target))
    assert named[0] == target
    return named


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_the_locks_satisfy_what_is_declared_and_never_mix_the_twins(target: str) -> None:
    packages = locked(target)
    extras = served_extras(target)
    assert set(extras) <= set(EXTRAS)
    declared = PYPROJECT["project"]["dependencies"] + [r for e in extras for r in EXTRAS[e]]
    for requirement in map(Requirement, declared):
        version = packages[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}, but {version} is locked"
    assert not {"torch", "transformers", "onnx", "scikit-learn"} & set(packages)
    mine, others = TWINS if target == "cpu" else TWINS[::-1]
    assert mine <= set(packages)
    assert not others & set(packages)
    assert f"COPY image/{target}.txt ./" in DOCKERFILE


def test_the_wheel_is_built_by_locked_packages() -> None:
    assert GROUPS["build"] == PYPROJECT["build-system"]["requires"]
    for required in map(Requirement, GROUPS["build"]):
        assert required.specifier.contains(locked("build")[required.name])


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    """Scripts of the store and data files are no Python, and easily left behind."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    built = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = [path for name in WHEEL["packages"] for path in (ROOT / name).rglob("*")]
    wanted = {path for path in files if path.is_file() and path.parent.name != "__pycache__"}
    names = {str(path.relative_to(ROOT)) for path in wanted}
    assert built == {name for name in names if not name.startswith("service/console/web/")}
    page = "service/console/built/"  # the page, or why there is none
    assert {f"{page}index.html", f"{page}missing.txt"} & built
    assert {".py", ".lua", ".toml"} <= {Path(name).suffix for name in built}


@pytest.mark.slow
def test_a_wheel_depends_on_its_sources_alone(tmp_path: Path) -> None:
    """Not on the place, the time, the user's file modes or what Python left behind."""
    digests: set[str] = set()
    for number, mode in enumerate((0o644, 0o664)):
        tree = tmp_path / f"{number}" / "checkout"
        # Other processes write to `__pycache__` meanwhile, and rename what they wrote.
        sources = shutil.ignore_patterns("node_modules", "__pycache__")
        for name in WHEEL["packages"]:
            shutil.copytree(ROOT / name, tree / name, ignore=sources)
            if number:
                (tree / name / "__pycache__").mkdir()
                (tree / name / "__pycache__" / "left.cpython-311.pyc").touch()
        for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
            shutil.copy(ROOT / name, tree)
        for file in tree.rglob("*"):
            if file.is_file():
                file.chmod(mode)
                os.utime(file, (1_600_000_000 + number, 1_700_000_000 + number))
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
        subprocess.run(command, cwd=tree, check=True, stdout=subprocess.DEVNULL)
        (wheel,) = (tree / "dist").iterdir()
        digests.add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.slow
def test_bills_of_materials_are_those_of_the_locks(tmp_path: Path) -> None:
    """The tool compares each with CycloneDX's schema, and ends with an error where it differs."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "image", tmp_path / "image")
    command = ["make", "--old-file=install", "sbom", f"BIN={Path(sys.executable).parent}"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=HANGS_S)
    project = PYPROJECT["project"]
    for target in ("cpu", "gpu"):
        path = tmp_path / "build" / "sbom" / f"{target}.cdx.json"
        document = json.loads(path.read_text(encoding="utf-8"))
        assert document["bomFormat"] == "CycloneDX"
        assert not {"serialNumber", "timestamp"} & {*document, *document["metadata"]}
        about = document["metadata"]["component"]
        assert (about["name"], about["version"]) == (project["name"], project["version"])
        components = document["components"]
        assert {one["name"]: one["version"] for one in components} == locked(target)
        for one in components:
            assert one["purl"] == f"pkg:pypi/{one['name']}@{one['version']}"
            assert one["externalReferences"][0]["hashes"]


def test_the_image_installs_nothing_but_locked_packages_and_the_project() -> None:
    assert "PIP_ONLY_BINARY=:all: PIP_REQUIRE_HASHES=1" in DOCKERFILE
    installs = re.findall(r"(?:(PIP_REQUIRE_HASHES=0) )?pip (?:install|wheel) (.+)", DOCKERFILE)
    assert len(installs) == 6
    for unhashed, arguments in installs:
        assert "--no-deps" in arguments if unhashed else re.fullmatch(r"-r \w+\.txt", arguments)


def test_the_command_runs_as_nobody_special_and_exists() -> None:
    words = instructions()
    assert [rest for word, rest in words if word == "USER"] == ["streamer"]
    (command,) = [rest for word, rest in words if word == "CMD"]
    assert command == '["python", "-m", "service", "serve"]'
    assert importlib.util.find_spec("service.__main__") is not None
    (health,) = [rest for word, rest in words if word == "HEALTHCHECK"]
    assert "/livez" in health  # a store that blips must not restart every replica


def test_every_environment_name_is_read_by_the_settings() -> None:
    joined = " ".join(rest for word, rest in instructions() if word == "ENV")
    names = set(re.findall(r"\b([A-Z][A-Z_]+)=", joined))
    assert "STREAMER_BUNDLE" in names
    for service in services().values():
        names |= set(service.get("environment", {}))
    assert names - FOREIGN_ENVIRONMENT <= known_environment()


def test_the_health_check_asks_the_port_that_is_set() -> None:
    asked = set(re.findall(r"os\.environ\['(\w+)'\]", DOCKERFILE))
    assert asked == {"STREAMER_PORT"}
    assert re.search(r"STREAMER_PORT=8000\b", DOCKERFILE)
    for name in ("service", "service-gpu"):
        assert all(port.endswith(":8000") for port in services()[name]["ports"])


def test_the_store_acknowledges_only_what_is_on_disk() -> None:
    command = services()["store"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options == {
        "--appendonly": "yes",
        "--appendfsync": "always",
        "--save": "",  # dumps beside it would take memory again, and outlive an erasure
        "--maxmemory": "${STORE_MAXMEMORY:-2gb}",  # without it there is nothing to refuse
        "--maxmemory-policy": "noeviction",
        "--hash-max-listpack-entries": "32",
        "--hash-max-listpack-value": "8192",
    }
    assert services()["store"]["volumes"] == ["store:/data"]
    assert services()["store"]["stop_grace_period"] == "60s"


@pytest.mark.parametrize(("name", "target"), [("service", "cpu"), ("service-gpu", "gpu")])
def test_a_service_has_its_target_its_key_and_its_store(name: str, target: str) -> None:
    service = services()[name]
    assert service["build"]["target"] == target
    assert target in stages()
    assert (ROOT / service["build"]["context"] / "Dockerfile").is_file()
    # `:?` makes compose refuse to start without a key: the service is open to the network there.
    assert service["environment"]["STREAMER_API_KEY"].startswith("${STREAMER_API_KEY:?")
    assert service["environment"]["REDIS_URL"].startswith("redis://store:")
    assert service["depends_on"] == {"store": {"condition": "service_healthy"}}
    assert service["stop_grace_period"] == "60s"  # as a pod has
    assert "healthcheck" in services()["store"]


def test_volumes_are_declared_and_the_gpu_is_asked_for() -> None:
    named = {
        volume.split(":")[0]
        for service in services().values()
        for volume in service["volumes"]
        if not volume.startswith(("$", ".", "/"))
    }
    assert named == set(COMPOSE["volumes"])
    gpu = services()["service-gpu"]
    assert gpu["profiles"] == ["gpu"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert "profiles" not in services()["service"]
