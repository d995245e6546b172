"""What is reckoned for one answer, in parts that threads do: the near, the vote, the users."""

from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from service.engine.prediction.fitted import Elected, FittedGeneration, Predicted
from service.engine.prediction.neighbours import Near
from service.engine.prediction.users import ScoredUser
from service.engine.spaces.active import ServedGeneration
from service.engine.spaces.established import OwnVector
from service.features.cold_start.answer import ColdStartQuestion
from service.features.cold_start.placing import Shown

_SHOWN_VOTERS = 3
_MORE = 22
"""So many more than asked for are looked up first: not all that are voted for are stored."""
_MS_PER_EXCLUDED = 4e-4


class Foretold(NamedTuple):
    """What content tells: the nearest and the prediction, each None where it can't."""

    near: Near | None
    predicted: Predicted | None


NOTHING = Foretold(None, None)


class Leading(NamedTuple):
    """Those with most votes.

    Attributes:
        places: int64 (R,), as in `Elected`, most votes first.
        via: (R,) rows of the voters that counted most for each.
    """

    places: NDArray[np.int64]
    via: list[list[int]]

    @classmethod
    def of(cls, elected: Elected, most: int) -> "Leading":
        """Up to `most` of the elected."""
        places = elected.best(most)
        return cls(places, elected.via(places, _SHOWN_VOTERS))


class Vote(NamedTuple):
    """The vote of the established, and the first of those who got votes."""

    elected: Elected
    leading: Leading


class Reckoning:
    """What is reckoned for one answer; a part is there as soon as it is ready.

    Attributes:
        fitted: of the generation.
        own: what that has of the streamer.
        foretold: None until it is known.
        vote: None until it is counted, or where there is nobody to vote.
        users: None until they are known, or where none are asked for.
    """

    def __init__(
        self,
        served: ServedGeneration,
        question: ColdStartQuestion,
        own: OwnVector | None,
        least: float,
    ) -> None:
        """Nothing is reckoned yet; `least` interactions make an established streamer."""
        self.fitted = cast(FittedGeneration, served.fitted)
        self.own = own
        self.foretold: Foretold | None = None
        self.vote: Vote | None = None
        self.users: list[ScoredUser] | None = None
        self._question = question
        self._erased = served.erased_users
        self._least = least
        gone = served.erased_rows
        self._without = gone if own is None else np.append(gone, own.row)

    @property
    def wants_users(self) -> bool:
        """Whether there are users, and they are asked for."""
        return self._question.users > 0 and self.fitted.users is not None

    @property
    def wants_votes(self) -> bool:
        """Whether the nearest are known, and may vote."""
        near = None if self.foretold is None else self.foretold.near
        return near is not None and self.fitted.fit.graph is not None

    def near_cost_ms(self, shown: Shown) -> float:
        """What `foretell` is expected to take of one core."""
        return 0.0 if shown.embedding is None else self.fitted.near_cost_ms

    @property
    def users_cost_ms(self) -> float:
        """What `find_users` is expected to take of one core."""
        users = self.fitted.users
        excluded = len(self._question.exclude_users) + len(self._erased)
        return 0.0 if users is None else users.cost_ms + excluded * _MS_PER_EXCLUDED

    def foretell(self, shown: Shown) -> None:
        """Find the nearest, and predict."""
        self.foretold = self._foretold(shown)

    def count_votes(self) -> None:
        """Let the nearest vote."""
        near = None if self.foretold is None else self.foretold.near
        elected = None if near is None else self.fitted.vote(near, self._least)
        if elected is not None:
            self.vote = Vote(elected, Leading.of(elected, self._question.neighbours + _MORE))

    def find_users(self, vector: NDArray[np.float32]) -> None:
        """Find the users with the largest inner products with a vector (E,)."""
        question, users = self._question, self.fitted.users
        if users is not None:
            self.users = users.search(
                vector,
                question.users,
                exclude=(question.exclude_users, self._erased),
                min_score=question.min_score,
                wanted=question.user_filter,
            )

    def _foretold(self, shown: Shown) -> Foretold:
        if shown.embedding is None:
            return NOTHING
        near = self.fitted.near(shown.embedding, self._least, self._without)
        if near is None:
            return NOTHING
        coverage, modalities = shown.coverage, shown.modalities_used
        return Foretold(near, self.fitted.predict(shown.embedding, near, coverage, modalities))
