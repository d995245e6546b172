"""Everyday texts: no honest word, number or link is a contact, and no usual spelling is missed."""

from collections.abc import Set

import pytest

from model_export.contract.evidence import contact_key, telling_contacts
from model_export.contract.folding import find_contacts
from tests.unit.contract.folding.contacts.everyday_cases import (
    DIFFERENT,
    EVERYBODYS,
    FOUND,
    NOT_FOUND,
    SAME,
)


def keys(text: str) -> Set[int]:
    return {contact_key(each.value) for each in telling_contacts(text)}


@pytest.mark.parametrize("text", NOT_FOUND)
def test_everyday_text_names_no_contact(text: str) -> None:
    assert find_contacts(text) == []


@pytest.mark.parametrize(("text", "named"), FOUND)
def test_usual_spellings_are_found(text: str, named: list[tuple[str, str]]) -> None:
    assert [(each.kind, each.value) for each in find_contacts(text)] == named


@pytest.mark.parametrize("texts", SAME, ids=lambda texts: texts[0])
def test_one_contact_has_one_key(texts: tuple[str, ...]) -> None:
    found = [keys(text) for text in texts]
    assert all(len(each) == 1 for each in found)
    assert len(set().union(*found)) == 1


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_two_contacts_share_no_key(one: str, other: str) -> None:
    assert keys(one).isdisjoint(keys(other))


@pytest.mark.parametrize("text", EVERYBODYS)
def test_numbers_that_everybody_writes_tell_nobody(text: str) -> None:
    assert find_contacts(text)
    assert not keys(text)
