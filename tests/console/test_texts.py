"""What the service names by a word has a text for people in both languages."""

import re

import pytest

from model_export.contract.evidence.channels import CHANNELS
from model_export.contract.folding.letters import Disguise
from service.features.jobs.schemas import JobOut
from service.features.spaces.schemas import CheckOut
from tests.console.test_looks import WEB

LEVELS = {level for channel in CHANNELS for level in channel.levels if level[0].isalpha()}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_evidence_has_a_text_for_each_level_and_disguise(language: str) -> None:
    texts = (WEB / "src" / "i18n" / f"evidence_{language}.ts").read_text("utf-8")
    told = set(re.findall(r'^  "([\w.]+)": "', texts, re.MULTILINE))
    assert told == {f"level.{one}" for one in LEVELS} | {f"disguise.{one}" for one in Disguise}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_kinds_of_jobs_and_checks_of_spaces_have_a_text(language: str) -> None:
    for schema, field, prefix, file in (
        (JobOut, "kind", "run.kind", "desk"),
        (CheckOut, "name", "space.check", "newcomer"),
    ):
        named = set(re.findall(r"\b(?!or\b)\w+", schema.model_fields[field].description or ""))
        texts = (WEB / "src" / "i18n" / f"{file}_{language}.ts").read_text("utf-8")
        assert named == set(re.findall(rf'^  "{prefix}\.(\w+)": "', texts, re.MULTILINE))
