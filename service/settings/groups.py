"""What all groups of settings share."""

from pydantic import BaseModel, ConfigDict

MIB = 1 << 20


class Group(BaseModel):
    """Base of the nested settings.

    A string below a field is its description in docs/configuration.md (`make docs` writes it).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
