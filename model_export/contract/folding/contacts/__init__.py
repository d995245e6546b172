"""Contacts that a text names: handles, phone numbers, mail addresses and links."""

from model_export.contract.folding.contacts.everyday import is_everybodys
from model_export.contract.folding.contacts.finding import Contact, find_contacts
from model_export.contract.folding.contacts.keys import identity_of, look_of

__all__ = ["Contact", "find_contacts", "identity_of", "is_everybodys", "look_of"]
