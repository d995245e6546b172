"""What all groups of settings share."""

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_settings import NoDecode

MIB = 1 << 20


def _by_comma(value: Any) -> Any:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


ByComma = (NoDecode, BeforeValidator(_by_comma))
"""A list in one environment variable: `a,b`."""


class Group(BaseModel):
    """Base of the nested settings.

    A string below a field is its description in docs/configuration.md (`make docs` writes it).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
