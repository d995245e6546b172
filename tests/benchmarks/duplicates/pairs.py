"""Pairs that evidence joins, in this process: without a service, or any closure over chains."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model_export.contract.bundle import Bundle
from model_export.contract.evidence import Side
from model_export.contract.streamer import StreamerProfile
from service.engine.evidence.engine import Evidence
from service.engine.evidence.list_candidates import list_candidates
from service.engine.work.lanes import run_to_end
from tests.benchmarks.duplicates.corpora import Corpus, Pair, pair_of
from tests.benchmarks.duplicates.grouping import records


class Pairs:
    """An `Adapter`: candidates of the whole corpus as a list, joined from a match weight on.

    Pictures are compared by ready-made vectors alone.
    """

    thresholds = tuple(0.5 * i for i in range(4, 41))

    def __init__(self, bundle: Path, corpus: Corpus) -> None:
        """Encode and compare."""
        read = Bundle(bundle)
        evidence = Evidence(read)
        sides: Sequence[Side] = [
            evidence.side(
                StreamerProfile.model_validate_json(record.profile),
                np.frombuffer(record.embedding, "<f4") if record.embedding else None,
            )
            for part in records(read, corpus.profiles)
            for record in part
        ]
        one, other = run_to_end(list_candidates(sides))
        matches = run_to_end(evidence.compare(sides, one, other)).matches
        direct = evidence.matcher.has_direct(matches.contributions)
        ids = [profile["streamer_id"] for profile in corpus.profiles]
        self.own_threshold = evidence.matcher.parameters.threshold
        self._weights = {
            pair_of(ids[a], ids[b]): weight
            for a, b, weight, counts in zip(
                one.tolist(), other.tolist(), matches.weights.tolist(), direct.tolist(), strict=True
            )
            if counts
        }

    def joined(self, threshold: float) -> set[Pair]:
        """Pairs that are duplicates at a threshold."""
        return {pair for pair, weight in self._weights.items() if weight >= threshold}

    def weight(self, pair: Pair) -> float:
        """No pair is sampled."""
        return 1.0
