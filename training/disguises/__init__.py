"""Disguises of copied profiles, as cheats use them: a person still reads the text."""

from training.disguises.copies import copy_of, fits, with_handle
from training.disguises.kinds import KINDS, MEDIA_KINDS, TEXT_KINDS, Kind, disguise

__all__ = [
    "KINDS",
    "MEDIA_KINDS",
    "TEXT_KINDS",
    "Kind",
    "copy_of",
    "disguise",
    "fits",
    "with_handle",
]
