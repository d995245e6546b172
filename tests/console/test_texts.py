"""What the service names by a word has a text for people in both languages."""

import re

import pytest

from model_export.contract.evidence.channels import CHANNELS
from model_export.contract.folding.letters import Disguise
from tests.console.test_looks import WEB

LEVELS = {level for channel in CHANNELS for level in channel.levels if level[0].isalpha()}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_evidence_has_a_text_for_each_level_and_disguise(language: str) -> None:
    texts = (WEB / "src" / "i18n" / f"evidence_{language}.ts").read_text("utf-8")
    told = set(re.findall(r'^  "([\w.]+)": "', texts, re.MULTILINE))
    assert told == {f"level.{one}" for one in LEVELS} | {f"disguise.{one}" for one in Disguise}
