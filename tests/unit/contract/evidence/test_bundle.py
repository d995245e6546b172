"""`evidence.json` of a bundle: read, verified like its other files, and missing in older ones."""

import json
from pathlib import Path

import pytest

from model_export.contract.bundle import MANIFEST, Bundle, file_entry
from model_export.contract.errors import BundleError
from model_export.contract.evidence import EVIDENCE, evidence_of, packaged
from service.engine.evidence.engine import Evidence
from tests.support.bundles import write_bundle


def add(folder: Path, content: bytes) -> None:
    """Put `evidence.json` into a bundle, as the exporter does."""
    (folder / EVIDENCE).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["files"][EVIDENCE] = file_entry(content).model_dump()
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def test_parameters_are_read_and_an_older_bundle_falls_back(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    write_bundle(folder)
    older = Evidence(Bundle(folder))
    assert evidence_of(Bundle(folder)) is None
    assert "the bundle has no evidence.json" in (older.warning or "")
    assert older.matcher.parameters.frequencies.documents > 0  # of the vocabulary
    estimated = packaged().model_copy(update={"threshold": 3.5, "source": "counted"})
    add(folder, estimated.model_dump_json().encode())
    newer = Evidence(Bundle(folder))
    assert newer.matcher.parameters == estimated
    assert newer.warning is None


def test_parameters_of_another_folding_are_used_with_a_warning(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    write_bundle(folder)
    add(folder, packaged().model_copy(update={"folding_version": 0}).model_dump_json().encode())
    assert "estimated with folding 0" in (Evidence(Bundle(folder)).warning or "")


def test_damaged_parameters_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    write_bundle(folder)
    for content in (b"[]", b"null", b'"text"', b'{"version": 1}'):
        add(folder, content)
        with pytest.raises(BundleError, match=r"evidence\.json.*export again"):
            evidence_of(Bundle(folder))
    (folder / EVIDENCE).write_bytes(b'{"version": 2}')
    with pytest.raises(BundleError, match="was changed"):
        Bundle(folder)
