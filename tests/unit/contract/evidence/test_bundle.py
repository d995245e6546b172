"""`evidence.json` of a bundle: read, verified like its other files, and missing in older ones."""

import json
from pathlib import Path

import pytest

from model_export.contract.bundle import MANIFEST, Bundle, file_entry
from model_export.contract.errors import BundleError
from model_export.contract.evidence import EVIDENCE, evidence_of, packaged
from model_export.contract.folding import FOLDING_VERSION
from service.engine.evidence import engine
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


def test_parameters_of_other_keys_of_titles_are_used_with_a_warning(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    write_bundle(folder)
    stored = packaged().model_dump()
    text = stored["channels"]["text"]
    for name in ("m", "u"):
        kept = [*text[name][:1], *text[name][2:]]
        text[name] = [chance / sum(kept) for chance in kept]
    add(folder, json.dumps(stored | {"version": 2}).encode())
    assert "of version 2, which does not tell how many show a title" in (
        Evidence(Bundle(folder)).warning or ""
    )


def test_parameters_of_other_keys_of_contacts_are_used_with_a_warning(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    write_bundle(folder)
    add(folder, json.dumps(packaged().model_dump() | {"version": 5}).encode())
    evidence = Evidence(Bundle(folder))
    assert "of version 5, which does not tell how many show a contact" in (evidence.warning or "")


def test_rules_are_those_of_the_release_and_not_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups that were made by other rules are made anew; see `GroupsFollower`."""
    folder = tmp_path / "b"
    write_bundle(folder)
    rules = Evidence(Bundle(folder)).rules
    add(folder, packaged().model_copy(update={"threshold": 3.5}).model_dump_json().encode())
    assert Evidence(Bundle(folder)).rules == rules
    monkeypatch.setattr(engine, "FOLDING_VERSION", FOLDING_VERSION + 1)
    assert Evidence(Bundle(folder)).rules != rules


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
