"""The evidence of one model: its parameters, applied to profiles."""

from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from model_export.contract.bundle import Bundle
from model_export.contract.evidence import (
    CHANNELS,
    EVIDENCE_VERSION,
    MATCHING_VERSION,
    Comparison,
    Levels,
    Matcher,
    Matches,
    Side,
    evidence_of,
    packaged,
    side_of,
)
from model_export.contract.folding import FOLDING_VERSION
from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerContent, StreamerProfile
from model_export.contract.uninformative import is_listed, may_say_nothing

Places = NDArray[np.int64]
MOST_SIDES = 1200
"""Of a list that is made ready as a whole, some 10 ms of a core."""
PART_PAIRS = 4096
"""Of a longer list, whose pairs are compared in parts."""

_ESTIMATED_ELSEWHERE = (
    "the bundle has no evidence.json: weights are packaged ones, not estimated on its training "
    "data; train and export it again"
)


@dataclass(frozen=True, eq=False)
class Compared:
    """Pairs that were compared.

    Attributes:
        levels: (P, channels), see `contract.evidence.Comparison.levels`.
        matches: what they are worth.
    """

    levels: Levels
    matches: Matches


def _listed(places: Places) -> list[int]:
    return places.tolist()


class Evidence:
    """Compares profiles by the parameters of a bundle, or by packaged ones where it has none.

    Attributes:
        matcher: weighs levels.
        uninformative: boilerplate, which is no evidence.
        worth: bits of keys.
        rules: what profiles are folded and compared by, whatever the parameters.
        warning: why the parameters may not fit; None where they do.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Read the parameters.

        Raises:
            BundleError: the bundle's parameters can't be read.
        """
        vocabulary = bundle.featurizer.vocabulary
        parameters = evidence_of(bundle)
        self.warning = None
        if parameters is None:
            parameters, self.warning = packaged(vocabulary), _ESTIMATED_ELSEWHERE
        elif parameters.lacks_titles:
            self.warning = (
                f"evidence.json is of version {parameters.read_from}, which does not tell how many "
                "show a title: several titles in common are worth no more than one; train and "
                "export it again"
            )
        elif parameters.lacks_contacts:
            self.warning = (
                f"evidence.json is of version {parameters.read_from}, which does not tell how many "
                "show a contact; train and export it again"
            )
        elif parameters.folding_version != FOLDING_VERSION:
            self.warning = (
                f"evidence.json was estimated with folding {parameters.folding_version}, this "
                f"release folds by {FOLDING_VERSION}; train and export again"
            )
        self.matcher = Matcher(parameters)
        self.uninformative = vocabulary.uninformative
        self.worth = parameters.frequencies.table()
        self.rules = (
            f"evidence {EVIDENCE_VERSION}, matching {MATCHING_VERSION}, folding {FOLDING_VERSION}"
        )

    def side(self, profile: StreamerContent, embedding: NDArray[np.float32] | None = None) -> Side:
        """What is compared of a profile; linear in its length, some 0.2 ms."""
        return side_of(profile, self.uninformative, embedding)

    def reads_alike(self, other: "Evidence", profile: bytes) -> bool:
        """Whether another model compares the same of a stored profile, but for the embedding.

        It does where nothing that the profile shows is boilerplate to one of the two alone.
        """
        listed_once = _listed_once(self.uninformative, other.uninformative)
        if not listed_once:
            return True
        pieces = pieces_of(StreamerProfile.model_validate_json(profile))
        return not any(may_say_nothing(each) and is_listed(each, listed_once) for each in pieces)

    def compare(
        self,
        sides: Sequence[Side],
        one: Places,
        other: Places,
        copies: Mapping[str, Places] | None = None,
        masked: Collection[str] = (),
        told: NDArray[np.bool_] | None = None,
    ) -> Generator[None, None, Compared]:
        """Compare pairs of a list; a generator that pauses every few milliseconds.

        Args:
            sides: of N profiles.
            one: places of one side of each pair (P,).
            other: places of the other side (P,).
            copies: `pictures` and `sounds`: see `Comparison.levels`.
            masked: channels that are left out.
            told: of which pairs the weight is wanted though they are not the same (P,), all by
                default. Of the others it is less than the whole where no content speaks for them.
        """
        parts: list[Compared] = []
        is_short = len(sides) <= MOST_SIDES
        size = len(one) if is_short else PART_PAIRS
        for start in range(0, len(one), max(size, 1)):
            part = slice(start, start + size)
            seen = {kind: counts[part] for kind, counts in (copies or {}).items()}
            ends = one[part], other[part]
            shown = sides
            if not is_short:
                # Only the sides of these pairs are made ready: a long array would be sorted at
                # once, and keep every other thread waiting.
                places = np.unique(np.concatenate(ends))
                shown = [sides[place] for place in _listed(places)]
                ends = np.searchsorted(places, ends[0]), np.searchsorted(places, ends[1])
            comparison = Comparison(shown, self.worth)
            yield
            goes_on = None if told is None else partial(self._goes_on, told[part], masked)
            levels = yield from comparison.levels(*ends, seen, goes_on)
            parts.append(Compared(levels, self.matcher.match(levels, masked)))
            yield
        if not parts:
            nothing = np.zeros((0, len(CHANNELS)), np.int8)
            parts.append(Compared(nothing, self.matcher.match(nothing, masked)))
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _goes_on(
        self, told: NDArray[np.bool_], masked: Collection[str], block: slice, levels: Levels
    ) -> NDArray[np.bool_]:
        """Pairs of a block that are told or may be the same: some content speaks for them."""
        contributions = self.matcher.contributions(levels, masked)
        return told[block] | self.matcher.has_direct(contributions)


@lru_cache(maxsize=4)
def _listed_once(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    return one ^ other


def _joined(parts: Sequence[Compared]) -> Compared:
    """All pairs of some parts."""
    matches = [part.matches for part in parts]
    return Compared(
        np.concatenate([part.levels for part in parts]),
        Matches(
            np.concatenate([each.contributions for each in matches]),
            np.concatenate([each.weights for each in matches]),
            np.concatenate([each.probabilities for each in matches]),
            np.concatenate([each.verdicts for each in matches]),
        ),
    )
