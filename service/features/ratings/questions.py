"""Questions that streamers are rated for, and their names."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

_DIGITS = 16


@dataclass(frozen=True)
class Question:
    """Who is searched for: like some streamers, unlike others, of those that a filter lets through.

    How they are searched for is no part of it, so that several ways can be compared by the same
    ratings.

    Attributes:
        positive: ids of streamers that wanted ones are like.
        negative: ids of streamers that they are unlike.
        filter: who may be in the answer, as JSON has it; empty for all.
    """

    positive: Sequence[str]
    negative: Sequence[str]
    filter: dict[str, Any]

    @property
    def question_id(self) -> str:
        """A name that the same question has everywhere, whatever the order of its seeds."""
        sides = [sorted(set(self.positive)), sorted(set(self.negative))]
        text = json.dumps([*sides, self.filter], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]

    def fields(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)
