"""The same profile gives the same bytes in every process, and another one is noticed."""

import dataclasses
import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from model_export.contract.features import Featurizer, collate, fingerprint
from model_export.contract.pieces import Piece
from model_export.contract.streamer import StreamerProfile
from model_export.contract.vocabulary import Space, Vocabulary
from model_export.golden import golden_profiles
from tests.support.machine import HANGS_S

ROOT = Path(__file__).parents[3]
SPACE = Space("cover", 3)


def vocabulary() -> Vocabulary:
    """Words in many scripts, as the featuriser makes them."""
    known = (
        "w=night w=friday w=电影和音乐 g=电影 g=音乐 w=ハンカク g=ハン w=café w=🎮 w=❤ g=با "
        "w=مباشر w=שידור w=สตรีมเมอร์ w=हिन्दी g=न् w=οδοσ t=电影 t=c++ t=🎮 l=zh l=en w=video"
    )
    tokens = sorted(known.split())
    boilerplate = Piece("bio", "text", "bio", text="欢迎关注").content_hash
    placeholder = Piece("avatar", "media", "avatar", payload_digest="url:0").content_hash
    return Vocabulary(
        tokens,
        [3] * len(tokens),
        documents=50,
        buckets=1 << 14,
        spaces=(SPACE,),
        uninformative=frozenset({boilerplate, placeholder}),
    )


PINNED = "f745eef90e6780429bb6d76a8862f7eed013fc709b1fbb9c162ce6739f2143ca"
"""Of the golden profiles with `vocabulary()`. It changes when the featuriser does: then vectors of
older models no longer fit, so say so in the changelog and write the new value here."""


def test_features_are_what_they_were_in_the_last_release() -> None:
    assert fingerprint(Featurizer(vocabulary()), golden_profiles(vocabulary())) == PINNED


# What a fresh process makes of a vocabulary and profiles that it reads from files.
FRESH = """
import hashlib, json, sys
from pathlib import Path
from model_export.contract.features import Featurizer, collate, fingerprint
from model_export.contract.streamer import StreamerProfile
from model_export.contract.vocabulary import Vocabulary

folder = Path(sys.argv[1])
vocabulary = Vocabulary.load(folder / "vocabulary.json")
lines = (folder / "profiles.jsonl").read_bytes().split(b"\\n")
profiles = [StreamerProfile.model_validate_json(line) for line in lines]
featurizer = Featurizer(vocabulary)
raw = []
for profile in profiles:
    features = featurizer(profile)
    arrays = {n: [a.dtype.str, a.shape, a.tobytes().hex()] for n, a in collate([features]).items()}
    raw.append([arrays, features.status])
vocabulary.save(folder / f"saved-{sys.argv[2]}.json")
made_here = Vocabulary(["w=a"], [1], 1, uninformative=frozenset({"b", "a", "d", "c", "f"}))
made_here.save(folder / f"made-{sys.argv[2]}.json")
print(json.dumps({
    "raw": raw,
    "fingerprint": fingerprint(featurizer, profiles),
    "hash of a string": hash("the seed shows here"),
}))
"""


def in_a_fresh_process(folder: Path, seed: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(folder), seed],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=HANGS_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_two_processes_make_the_same_bytes(tmp_path: Path) -> None:
    profiles = golden_profiles(vocabulary())
    vocabulary().save(tmp_path / "vocabulary.json")
    lines = [json.dumps(p.dump(), ensure_ascii=False).encode() for p in profiles]
    (tmp_path / "profiles.jsonl").write_bytes(b"\n".join(lines))
    one, two = (in_a_fresh_process(tmp_path, seed) for seed in ("1", "2"))
    assert one.pop("hash of a string") != two.pop("hash of a string")
    assert one == two
    featurizer = Featurizer(vocabulary())
    assert one["fingerprint"] == fingerprint(featurizer, profiles)
    here = [featurizer(profile) for profile in profiles]
    raw = [
        [
            {
                name: [a.dtype.str, list(a.shape), a.tobytes().hex()]
                for name, a in collate([features]).items()
            },
            features.status,
        ]
        for features in here
    ]
    assert one["raw"] == raw
    saved = [(tmp_path / f"saved-{seed}.json").read_bytes() for seed in ("1", "2")]
    assert saved == [(tmp_path / "vocabulary.json").read_bytes()] * 2
    made = [(tmp_path / f"made-{seed}.json").read_bytes() for seed in ("1", "2")]
    assert made[0] == made[1]


Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


def in_form(form: Form, value: object) -> Any:
    """The same JSON value with every string in a normalisation form."""
    if isinstance(value, str):
        return unicodedata.normalize(form, value)
    if isinstance(value, list):
        return [in_form(form, part) for part in value]
    if isinstance(value, dict):
        return {key: in_form(form, part) for key, part in value.items()}
    return value


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_normalisation_forms_make_no_difference(form: Form) -> None:
    featurizer = Featurizer(vocabulary())
    changed = 0
    for profile in golden_profiles(vocabulary()):
        rewritten = in_form(form, profile.dump())
        changed += rewritten != profile.dump()
        other = StreamerProfile.model_validate(rewritten)
        assert fingerprint(featurizer, [other]) == fingerprint(featurizer, [profile])
    assert changed


BIO = Piece("bio", "text", "bio", text="night owl")
PROFILE = {
    "streamer_id": "s",
    "bio": BIO.text,
    "tags": ["电影"],
    "avatar": {"vector": [1.0, 2.0, 3.0], "space": "cover"},
}


@pytest.mark.parametrize(
    "change",
    [
        {"bio": "night night"},  # a count
        {"bio": "night bird"},  # an unknown token
        {"bio": "owl"},  # a known token
        {"bio": None, "name": "night owl"},  # a modality
        {"avatar": {"vector": [1.0, 2.0, 3.0000002], "space": "cover"}},  # the last bit
        {"avatar": {"vector": [1.0, 3.0, 2.0], "space": "cover"}},  # the order
        {"avatar": {"url": "https://a.b"}},
        {"avatar": None},
        {"videos": [{"video_id": "v", "title": "?"}]},  # the status alone
    ],
    ids=repr,
)
def test_another_content_has_another_fingerprint(change: dict[str, object]) -> None:
    featurizer = Featurizer(vocabulary())
    before = StreamerProfile.model_validate(PROFILE)
    after = StreamerProfile.model_validate({**PROFILE, **change})
    assert fingerprint(featurizer, [before]) != fingerprint(featurizer, [after])
    assert fingerprint(featurizer, [before]) == fingerprint(featurizer, [before])


@pytest.mark.parametrize(
    "same", [{"bio": "Night, OWL!"}, {"attributes": {"a": 1}}, {"streamer_id": "t"}]
)
def test_what_is_not_encoded_leaves_the_fingerprint_alone(same: dict[str, object]) -> None:
    featurizer = Featurizer(vocabulary())
    before = StreamerProfile.model_validate(PROFILE)
    after = StreamerProfile.model_validate({**PROFILE, **same})
    assert fingerprint(featurizer, [before]) == fingerprint(featurizer, [after])


def shifted(tokens: Sequence[str]) -> list[str]:
    return ["a", *tokens[:-1]]


@pytest.mark.parametrize(
    "change",
    [
        lambda v: {"tokens": shifted(v.tokens)},
        lambda v: {"buckets": v.buckets + 1},
        lambda v: {"spaces": (Space("another", 1), SPACE)},
        lambda _: {"uninformative": frozenset({BIO.content_hash})},
    ],
    ids=["tokens", "buckets", "spaces", "uninformative"],
)
def test_another_vocabulary_has_another_fingerprint(
    change: Callable[[Vocabulary], dict[str, object]],
) -> None:
    profile = StreamerProfile.model_validate(PROFILE)
    other = dataclasses.replace(vocabulary(), **change(vocabulary()))  # pyright: ignore[reportArgumentType]
    found = {fingerprint(Featurizer(v), [profile]) for v in (vocabulary(), other)}
    assert len(found) == 2
