"""Parameters of other versions."""

from collections.abc import Sequence

import numpy as np
import pytest
from pydantic_core import to_json

from model_export.contract.errors import BundleError
from model_export.contract.evidence import (
    CHANNELS,
    EVIDENCE_VERSION,
    EvidenceParameters,
    Frequencies,
    key_of,
    packaged,
)
from model_export.contract.evidence.keys import number_keys


def test_parameters_of_another_version_are_refused() -> None:
    stored = packaged().model_dump()
    with pytest.raises(BundleError, match=r"version is 7.*export again"):
        EvidenceParameters.parse(to_json(stored | {"version": 7}), "evidence.json")
    fewer = {name: each for name, each in stored["channels"].items() if name != "tags"}
    with pytest.raises(BundleError, match="channels must be text"):
        EvidenceParameters.parse(to_json(stored | {"channels": fewer}), "evidence.json")
    assert EvidenceParameters.parse(to_json(stored), "evidence.json") == packaged()


@pytest.mark.parametrize(("version", "lacks"), [(1, ("many_names", "names")), (2, ("many_names",))])
def test_older_parameters_are_read_with_what_they_lack(version: int, lacks: Sequence[str]) -> None:
    stored = packaged().model_dump()
    kept = [i for i, level in enumerate(CHANNELS[0].levels) if level not in lacks]
    text = {
        name: [chances[i] / sum(chances[j] for j in kept) for i in kept]
        for name, chances in stored["channels"]["text"].items()
    }
    phrase = key_of("shingle", "follow")
    listed = Frequencies.of({phrase: 90}, 100)
    older = stored | {
        "version": version,
        "channels": stored["channels"] | {"text": text},
        "frequencies": listed.model_dump(),
    }
    found = EvidenceParameters.parse(to_json(older), "evidence.json")
    assert found.version == EVIDENCE_VERSION
    assert found.channels["tags"] == packaged().channels["tags"]
    for name in ("m", "u"):
        chances = getattr(found.channels["text"], name)
        assert sum(chances) == pytest.approx(1)
        assert min(chances) > 0
        assert chances[-1] / text[name][-1] == pytest.approx(chances[0] / text[name][0])
    titles = found.channels["titles"]
    assert found.lacks_titles
    assert sum(titles.m) == pytest.approx(1)
    bits = np.log2(titles.m) - np.log2(titles.u)
    assert bits[:3] == pytest.approx(np.full(3, bits[2]))  # several titles may be common ones
    worth = found.frequencies.table()
    keys = np.array([phrase & ~1, phrase | 1, *number_keys([12])], np.uint32)
    assert (worth(keys) < 4).all()  # neither the phrase nor a usual number is rare


@pytest.mark.parametrize("version", [3, 4, 5])
def test_parameters_that_lack_nothing_are_read_as_they_are(version: int) -> None:
    stored = packaged().model_dump() | {"version": version}
    found = EvidenceParameters.parse(to_json(stored), "evidence.json")
    assert (found.version, found.read_from) == (EVIDENCE_VERSION, version)
    assert not found.lacks_titles
    assert found.lacks_contacts
    assert found.channels == packaged().channels
