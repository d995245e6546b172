"""A contact of a folded text, before its place in the original is known."""

from typing import NamedTuple

from model_export.contract.folding.contacts.platforms import Kind
from model_export.contract.folding.letters import Disguise


class Found(NamedTuple):
    """A contact of a folded text.

    Attributes:
        kind: platform, or `phone`, `email`, `url`, or `handle` for a bare @name.
        value: canonical.
        start: place in the folded text.
        end: place after it.
        disguises: undone to read it.
        cased: last characters of the value, and before `end`, that have the original's case.
    """

    kind: Kind
    value: str
    start: int
    end: int
    disguises: tuple[Disguise, ...] = ()
    cased: int = 0
