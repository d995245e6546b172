"""The text of a key: random, with its id and a checksum that finds every single mistyped letter."""

import re

import pytest

from service.features.keys.key_text import digest_of, id_in, new_id, new_key


def test_a_key_has_256_random_bits_between_its_id_and_its_checksum() -> None:
    key_id = new_id()
    keys = [new_key(key_id) for _ in range(100)]
    secrets = {re.fullmatch(rf"ssk_{key_id}_([0-9a-f]{{64}})[0-9a-f]{{8}}", key)[1] for key in keys}  # pyright: ignore[reportOptionalSubscript]
    assert len(secrets) == len({digest_of(key) for key in keys}) == 100
    assert {id_in(key) for key in keys} == {key_id}


def test_every_mistyped_letter_is_noticed() -> None:
    key = new_key("0123456789ab")
    for place, letter in enumerate(key):
        other = "1" if letter == "0" else "0"
        assert id_in(key[:place] + other + key[place + 1 :]) is None
        assert id_in(key[:place] + key[place + 1 :]) is None
        if place and key[place - 1] != letter:
            swapped = key[: place - 1] + letter + key[place - 1] + key[place + 1 :]
            assert id_in(swapped) is None


@pytest.mark.parametrize("key", ["", "ssk_", "a-secret", "ssk_0123456789ab_", "sk_live_1", "é"])
def test_what_is_no_key(key: str) -> None:
    assert id_in(key) is None


def test_nothing_around_a_key_is_passed_over() -> None:
    key = new_key("0123456789ab")
    for text in (key.upper(), f" {key}", f"{key} ", f"{key}\n", key + key[-1]):
        assert id_in(text) is None
