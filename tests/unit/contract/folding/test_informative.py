"""No disguise makes a profile insufficient, in bundles that fold."""

import json
from pathlib import Path

import pytest

from model_export.contract.bundle import GOLDEN, MANIFEST, VOCABULARY, Bundle
from model_export.contract.errors import BundleError
from model_export.contract.features import Featurizer, fingerprint
from model_export.contract.folding import FOLDING_VERSION
from model_export.contract.streamer import StreamerContent, StreamerProfile
from model_export.contract.text import text_tokens
from model_export.contract.vocabulary import Vocabulary
from tests.support.bundles import write_bundle

BIO = "每天晚上八点开播打游戏"
TOKENS = sorted({*text_tokens(BIO), *text_tokens("friday night games")})
WORDS = Vocabulary(TOKENS, [3] * len(TOKENS), documents=100, buckets=16)


def profile(bio: str) -> StreamerContent:
    return StreamerContent.model_validate({"bio": bio})


@pytest.mark.parametrize("between", [" ", ".", "·", "😀", "-", "\u3000", "_"])
def test_a_disguised_bio_is_read(between: str) -> None:
    disguised, plain = profile(between.join(BIO)), profile(BIO)
    assert not Featurizer(WORDS)(disguised).usable
    found = Featurizer(WORDS, FOLDING_VERSION)(disguised)
    assert found.usable
    assert found.token_ids.tolist() == Featurizer(WORDS)(plain).token_ids.tolist()


def test_latin_letters_too() -> None:
    for text in ("f r i d a y   n i g h t", "frіdаy nіght gаmes", "fr1d4y n1ght g4m3s"):
        assert not Featurizer(WORDS)(profile(text)).usable
        assert Featurizer(WORDS, FOLDING_VERSION)(profile(text)).usable


def test_what_is_usable_keeps_its_features() -> None:
    for text in (BIO, "friday n i g h t g a m e s", "friday nіght"):
        one, other = Featurizer(WORDS)(profile(text)), Featurizer(WORDS, 1)(profile(text))
        assert one.token_ids.tolist() == other.token_ids.tolist()
        assert one.status == other.status


def test_nothing_stays_nothing() -> None:
    for text in ("h a h a h a h a", "哈 哈 哈 哈", "...", "6 6 6"):
        assert not Featurizer(WORDS, FOLDING_VERSION)(profile(text)).usable


def test_a_bundle_keeps_its_folding_version(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    write_bundle(folder)
    file = folder / MANIFEST
    manifest = json.loads(file.read_bytes())
    lines = (folder / GOLDEN).read_bytes().splitlines()
    golden = [StreamerProfile.model_validate_json(line) for line in lines]
    for stored, meant in ((None, 0), (0, 0), (FOLDING_VERSION, FOLDING_VERSION)):
        manifest.pop("folding_version", None)
        if stored is not None:
            manifest["folding_version"] = stored
        featurizer = Featurizer(Vocabulary.load(folder / VOCABULARY), meant)
        manifest["features_fingerprint"] = fingerprint(featurizer, golden)
        file.write_text(json.dumps(manifest), encoding="utf-8")
        bundle = Bundle(folder)
        assert bundle.manifest.folding_version == bundle.featurizer.folding_version == meant
    manifest["folding_version"] = FOLDING_VERSION + 1
    file.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(BundleError, match="folding_version"):
        Bundle(folder)
