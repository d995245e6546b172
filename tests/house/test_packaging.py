"""What an image and a compose file name must exist; no container engine is needed to know that."""

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
# Set by Python, pip, the image's shell or NVIDIA's container runtime; not ours to define.
FOREIGN_ENVIRONMENT = {
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_VISIBLE_DEVICES",
    "PATH",
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
    for base in names.values():
        assert base in names or base == "python:3.11-slim"
    sources = re.findall(r"COPY --from=(\S+)", DOCKERFILE)
    assert sources
    assert set(sources) <= set(names)


def test_every_copied_path_exists_and_reaches_the_builder() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copies = [rest for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    paths = [path for rest in copies for path in shlex.split(rest)[:-1]]
    assert paths
    for path in paths:
        assert (ROOT / path).exists(), path
        assert f"!{path}" in ignore, f"{path} is kept from the builder by .dockerignore"


def test_installed_extras_exist_and_never_mix_the_twins() -> None:
    installs = re.findall(r'pip install "\.\[([^\]]+)\]"', DOCKERFILE)
    assert len(installs) == 2
    for names in installs:
        extras = set(names.split(","))
        assert extras <= set(EXTRAS)
        assert not {"training", "export"} & extras, "the image has no torch"
        assert len({"cpu", "gpu"} & extras) == 1


def test_the_served_extras_pull_no_torch() -> None:
    for extra in ("service", "cpu", "gpu", "embedded", "images", "audio"):
        assert not [r for r in EXTRAS[extra] if re.match(r"(torch|transformers|onnx)\b(?!r)", r)]


def test_the_command_runs_as_nobody_special_and_exists() -> None:
    words = instructions()
    assert [rest for word, rest in words if word == "USER"] == ["streamer"]
    (command,) = [rest for word, rest in words if word == "CMD"]
    assert command == '["python", "-m", "service", "serve"]'
    assert importlib.util.find_spec("service.__main__") is not None
    (health,) = [rest for word, rest in words if word == "HEALTHCHECK"]
    assert "/readyz" in health


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
        "--maxmemory-policy": "noeviction",
    }
    assert services()["store"]["volumes"] == ["store:/data"]


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
