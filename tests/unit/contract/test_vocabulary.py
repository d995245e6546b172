"""The vocabulary's file and its ids."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_export.contract.errors import BundleError
from model_export.contract.vocabulary import Space, Vocabulary

VOCABULARY = Vocabulary(
    tokens=["g=音乐", "t=c++", "w=\x7f\"\\'", "w=🎮"],
    document_frequency=[4, 3, 2, 1],
    documents=10,
    buckets=1 << 14,
    spaces=(Space("clip/v1", 512), Space("sound", 1)),
    uninformative=frozenset({"b" * 32, "a" * 32}),
)


def test_ids_count_from_one_in_the_order_of_the_tokens() -> None:
    assert [VOCABULARY.token_id(token) for token in VOCABULARY.tokens] == [1, 2, 3, 4]
    assert VOCABULARY.size == 1 + 4 + (1 << 14)
    assert [i for i in range(-5, VOCABULARY.size) if VOCABULARY.is_known(i)] == [1, 2, 3, 4]


def test_buckets_of_unknown_tokens_are_what_they_always_were() -> None:
    """By `printf 'w=owl' | b2sum -l 64` and so on: eight bytes, the first is the lowest."""
    digests = {"w=owl": "959066c7719c41b4", "w=未知": "89b676f1e4fd6186", "t=": "6671a300c5bb64b2"}
    for token, digest in digests.items():
        number = int.from_bytes(bytes.fromhex(digest), "little")
        assert VOCABULARY.token_id(token) == 5 + number % (1 << 14)


def test_save_and_load_give_the_same_vocabulary(tmp_path: Path) -> None:
    file = tmp_path / "vocabulary.json"
    VOCABULARY.save(file)
    loaded = Vocabulary.load(file)
    assert loaded == VOCABULARY
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == file.read_bytes()
    assert "音乐" in file.read_text(encoding="utf-8")


tokens = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(
    known=st.dictionaries(tokens, st.integers(0, 2**40), max_size=8),
    spaces=st.dictionaries(tokens, st.integers(1, 4096), max_size=3),
    uninformative=st.frozensets(tokens, max_size=4),
    buckets=st.integers(1, 2**20),
)
def test_any_vocabulary_survives_its_file(
    tmp_path_factory: pytest.TempPathFactory,
    known: dict[str, int],
    spaces: dict[str, int],
    uninformative: frozenset[str],
    buckets: int,
) -> None:
    vocabulary = Vocabulary(
        list(known),
        list(known.values()),
        documents=7,
        buckets=buckets,
        spaces=tuple(Space(name, width) for name, width in spaces.items()),
        uninformative=uninformative,
    )
    file = tmp_path_factory.getbasetemp() / "random-vocabulary.json"
    vocabulary.save(file)
    assert Vocabulary.load(file) == vocabulary


GOOD: dict[str, Any] = {
    "documents": 10,
    "buckets": 4,
    "spaces": [{"name": "s", "width": 2}],
    "uninformative": [],
    "tokens": ["a", "b"],
    "document_frequency": [1, 2],
}


def test_the_file_by_hand() -> None:
    vocabulary = Vocabulary.parse(json.dumps(GOOD).encode(), "here")
    assert vocabulary == Vocabulary(["a", "b"], [1, 2], 10, 4, (Space("s", 2),))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tokens": ["a"]}, "1 tokens have 2 frequencies"),
        ({"tokens": ["a", "a"]}, "a token is listed twice"),
        ({"tokens": "ab"}, "tokens: Input should be a valid"),
        ({"tokens": ["a", 1]}, "tokens.1: Input should be a valid string"),
        ({"document_frequency": [1, -1]}, "document_frequency.1: Input should be greater"),
        ({"document_frequency": [1, 1.5]}, "document_frequency.1: Input should be a valid integer"),
        ({"documents": "10"}, "documents: Input should be a valid integer"),
        ({"buckets": 0}, "buckets: Input should be greater than 0"),
        ({"buckets": None}, "buckets: Input should be a valid integer"),
        ({"spaces": [{"name": "s"}]}, "spaces.0.width: Field required"),
        ({"spaces": [{"name": "s", "width": 0}]}, "spaces.0.width: Input should be greater than 0"),
        ({"spaces": [{"name": "s", "width": 1}] * 2}, "a space is listed twice"),
        ({"uninformative": {"a": 1}}, "uninformative: Input should be a valid"),
        ({"more": 1}, "more: Extra inputs are not permitted"),
        ({"pieces_apart": True}, "was removed after 0.1.0; train and export again"),
    ],
    ids=repr,
)
def test_a_wrong_vocabulary_says_what_is_wrong(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(BundleError) as caught:
        Vocabulary.parse(json.dumps({**GOOD, **change}).encode(), "bundle/vocabulary.json")
    assert str(caught.value).startswith("bundle/vocabulary.json is not a vocabulary: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"\xff\xfe", b"{", b"[]", b"null", b"[" * 100_000, json.dumps(GOOD).encode()[:-1]],
    ids=lambda content: repr(content[:9]),
)
def test_a_file_that_is_no_vocabulary(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "vocabulary.json"
    file.write_bytes(content)
    with pytest.raises(BundleError, match=r"vocabulary\.json is not a vocabulary: "):
        Vocabulary.load(file)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"vocabulary\.json can't be read: No such file"):
        Vocabulary.load(tmp_path / "vocabulary.json")
    with pytest.raises(BundleError, match="can't be read: Is a directory"):
        Vocabulary.load(tmp_path)
