"""Errors of the bundle and of a profile's content.

ContractError
├── BundleError          a bundle that is missing, changed or of another version
├── UnreadableContent    profile content that this encoder cannot read, named by field
│   └── SilentContent    a silent sound or one-coloured picture; may count as absent
└── MissingExtra         a decoding library is not installed
"""

from pydantic import ValidationError


class ContractError(Exception):
    """Base of all errors of the contract."""


class BundleError(ContractError):
    """A bundle that is missing, changed or of another version."""


class UnreadableContent(ContractError):
    """Profile content that this encoder cannot read.

    Attributes:
        source: part of the profile, such as `videos[0].cover`.
        reason: what is wrong, and the remedy.
    """

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason


class SilentContent(UnreadableContent):
    """A silent sound or a one-coloured picture: well formed, may be treated as absent."""


class MissingExtra(ContractError):
    """A decoding library that is not installed.

    Attributes:
        extra: optional dependency that provides it.
    """

    def __init__(self, extra: str, error: ImportError) -> None:
        super().__init__(f"{error}: pip install 'similar-streamer[{extra}]'")
        self.extra = extra


def first_problem(error: ValidationError) -> str:
    """First problem of a pydantic validation error, as `field: message`."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
