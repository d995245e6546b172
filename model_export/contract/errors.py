"""What can go wrong with the exported artefact and with a profile's content.

ContractError
├── BundleError          a bundle that cannot be trusted: missing, changed or of another version
├── UnreadableContent    a profile that this encoder cannot read, named by field
│   └── SilentContent    nothing is heard in a sound, or seen in a picture; it may count as absent
└── MissingExtra         a library that reads pictures or sound is not installed
"""

from pydantic import ValidationError


class ContractError(Exception):
    """Base of all errors of the contract."""


class BundleError(ContractError):
    """A bundle that cannot be trusted: missing, changed or of another version."""


class UnreadableContent(ContractError):
    """A profile that this encoder cannot read.

    Attributes:
        source: the part of the profile, as `videos[0].cover`.
        reason: what is wrong with it and what would be right.
    """

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason


class SilentContent(UnreadableContent):
    """A sound in which nothing is heard, or a picture of one colour.

    It is well formed, and a caller may take it for absent.
    """


class MissingExtra(ContractError):
    """A library that reads pictures or sound is not installed.

    Attributes:
        extra: the optional dependency that brings it.
    """

    def __init__(self, extra: str, error: ImportError) -> None:
        super().__init__(f"{error}: pip install 'similar-streamer[{extra}]'")
        self.extra = extra


def first_problem(error: ValidationError) -> str:
    """The first problem of a file that a model of pydantic refused, as `where: what`."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
