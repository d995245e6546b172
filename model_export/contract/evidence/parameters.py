"""Parameters of evidence: `evidence.json` of a bundle, estimated by the trainer."""

from typing import Annotated, Any, Final, Self, cast

from pydantic import Field, ValidationError, model_validator

from model_export.contract.bundle import Bundle
from model_export.contract.calibration import Part
from model_export.contract.errors import BundleError, first_problem
from model_export.contract.evidence.channels import CHANNELS, TEXT, TITLES
from model_export.contract.evidence.keys import Frequencies

EVIDENCE = "evidence.json"
EVIDENCE_VERSION: Final = 6
"""Version of the channels, their levels and their keys. Older parameters are read too: those of
1 and 2 lack levels of texts and keys of numbers, have other keys of titles, and do not tell which
keys of a text are words. Those of 3 take every shingle of a phrase for a word. By 4 and 5 some
texts name other contacts, and contacts have other keys."""
UNSEEN: Final = {"many_names": (0.04, 0.00001), "names": (0.008, 0.0001)}
"""Chances of levels of texts where they were not counted: m of copies in another language, which
nobody translates a data set to simulate, and u."""
_LACKING: Final = {1: ("many_names", "names"), 2: ("many_names",)}
"""Levels of texts that older versions lack, in their order."""

Chance = Annotated[float, Field(gt=0, lt=1)]


def _with_level(chances: list[float], level: str, chance: float) -> list[float]:
    """Chances of the levels of a text, and that of another level among them."""
    place = TEXT.levels.index(level)
    others = [other * (1 - chance) for other in chances]
    return [*others[:place], chance, *others[place:]]


def _all_worth_one(titles: dict[str, list[float]]) -> dict[str, list[float]]:
    """Chances of the levels of titles, none of which is worth more than one title in common."""
    m, u = titles["m"], titles["u"]
    one = TITLES.levels.index("one")
    bounded = [min(chance, other * m[one] / u[one]) for chance, other in zip(m, u, strict=True)]
    agreeing = bounded[: one + 1]
    return {"m": [*agreeing, 1 - sum(agreeing)], "u": u}


class ChannelParameters(Part):
    """How often pairs are at each level of a channel, among those that both show it.

    Attributes:
        m: of pairs that are the same, per level.
        u: of other pairs, per level.
    """

    m: list[Chance]
    u: list[Chance]


class EvidenceParameters(Part):
    """All parameters of evidence.

    Attributes:
        version: of the channels and levels that they were estimated for.
        folding_version: of the folding whose texts were counted.
        prior: share of candidate pairs that are the same.
        slope: bits of log-odds per bit of match weight. Channels are not independent given what a
            pair is, so that the sum of their weights says too much; 1 where that was not measured.
        threshold: match weight from which two are joined.
        channels: by name.
        frequencies: how many bits keys are worth.
        source: which pairs were counted, in words.
        read_from: the version that they were written in; None if it is this one.
    """

    version: int
    folding_version: int
    prior: Chance
    slope: Annotated[float, Field(gt=0)]
    threshold: Annotated[float, Field(allow_inf_nan=False)]
    channels: dict[str, ChannelParameters]
    frequencies: Frequencies
    source: str
    read_from: Annotated[int | None, Field(exclude=True)] = None

    @property
    def lacks_titles(self) -> bool:
        """Whether they tell of no title how many show it, since they have other keys of them."""
        return self.read_from in _LACKING

    @property
    def lacks_contacts(self) -> bool:
        """Whether they tell of no contact how many show it, since they have other keys of them."""
        return self.read_from is not None

    @model_validator(mode="before")
    @classmethod
    def _upgraded(cls, content: Any) -> Any:
        """Parameters of older versions with what they lack."""
        if not isinstance(content, dict):
            return content  # refused
        given = cast("dict[str, Any]", content)
        version = given.get("version")
        if version not in (*_LACKING, 3, 4, 5):
            return given
        newer = given | {"version": EVIDENCE_VERSION, "read_from": version}
        if version in (4, 5):
            return newer
        try:
            newer["frequencies"] = Frequencies.model_validate(given["frequencies"]).of_any_words()
            if version not in _LACKING:
                return newer
            text: dict[str, list[float]] = given["channels"]["text"]
            for level in _LACKING[version]:
                more = zip(("m", "u"), UNSEEN[level], strict=True)
                text = text | {name: _with_level(text[name], level, c) for name, c in more}
            titles = _all_worth_one(given["channels"][TITLES.name])
            newer["channels"] = given["channels"] | {"text": text, TITLES.name: titles}
        except (ArithmeticError, LookupError, TypeError, ValueError):
            return newer  # refused field by field
        return newer

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.version != EVIDENCE_VERSION:
            raise ValueError(
                f"version is {self.version}, this release reads {EVIDENCE_VERSION}; export again"
            )
        known = {channel.name: len(channel.levels) for channel in CHANNELS}
        if self.channels.keys() != known.keys():
            raise ValueError(f"channels must be {', '.join(known)}")
        for name, each in self.channels.items():
            for chances in (each.m, each.u):
                if len(chances) != known[name]:
                    raise ValueError(f"{name} has {known[name]} levels, not {len(chances)}")
                if abs(sum(chances) - 1) > 1e-6:
                    raise ValueError(f"{name}: the chances of the levels must sum to 1")
        return self

    @classmethod
    def parse(cls, content: bytes, source: str) -> Self:
        """Parse `evidence.json`; `source` names it in errors.

        Raises:
            BundleError: the content is not that of such a file, or of another version.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise BundleError(f"{source}: {first_problem(error)}; export again") from error


def evidence_of(bundle: Bundle) -> EvidenceParameters | None:
    """Parameters of evidence of a bundle; None if it has none.

    Raises:
        BundleError: the file is missing or changed, or this release can't read it.
    """
    content = bundle.read(EVIDENCE)
    if content is None:
        return None
    return EvidenceParameters.parse(content, str(bundle.path / EVIDENCE))
