"""Folding: undoing the disguises of copied texts, and finding the contacts that they name."""

from model_export.contract.folding.contacts import (
    Contact,
    find_contacts,
    identity_of,
    is_everybodys,
    look_of,
)
from model_export.contract.folding.folded import FOLDING_VERSION, Folded, cut, fold, quote
from model_export.contract.folding.letters import Disguise, Undone
from model_export.contract.folding.scripts import phonetic, simplified, skeleton

__all__ = [
    "FOLDING_VERSION",
    "Contact",
    "Disguise",
    "Folded",
    "Undone",
    "cut",
    "find_contacts",
    "fold",
    "identity_of",
    "is_everybodys",
    "look_of",
    "phonetic",
    "quote",
    "simplified",
    "skeleton",
]
