"""What look-ups for answers found of the streamers that are evaluated next."""

from collections.abc import Mapping, Sequence

from service.engine.candidates.corpus import Corpus, Entry
from service.engine.candidates.look_ups import LookUp, LookUps
from service.features.duplicates.groups.edges import Edge, Pair, kind_of, pair_of
from service.store.base import Record


class LookedUp:
    """Of the streamers of one evaluation, by id."""

    def __init__(self, corpus: Corpus) -> None:
        """Nothing yet; the look-ups will be those with this corpus."""
        self._corpus = corpus
        self._found: dict[str, LookUp] = {}

    def take(self, records: Sequence[Record], look_ups: LookUps) -> None:
        """Take what was found of these versions of streamers."""
        for record in records:
            found = look_ups.take(record.streamer_id, record.version)
            if found is not None:
                self._found[record.streamer_id] = found

    def entry(self, streamer_id: str) -> Entry | None:
        """What is known of a streamer; None of one that was not looked up."""
        found = self._found.get(streamer_id)
        return None if found is None else found.entry

    def candidates(self, streamer_id: str) -> set[str] | None:
        """Candidates that were found, and who changed since; None where that is not known."""
        found = self._found.get(streamer_id)
        since = None if found is None else self._corpus.changed_since(found.changes)
        if found is None or since is None:
            return None
        return {*found.candidates, *(n for n in since if n in self._corpus)} - {streamer_id}

    def compared(self, streamer_id: str) -> Mapping[Pair, Edge | None]:
        """Pairs whose versions are still those that were compared, with the edges that they have.

        Versions are those that the corpus knows.
        """
        found = self._found.get(streamer_id)
        pairs: dict[Pair, Edge | None] = {}
        if found is None:
            return pairs
        for other, version in found.compared.items():
            newest = self._corpus.version(other)
            if newest is not None and version >= newest:
                pair, joined = pair_of(streamer_id, other), found.joined.get(other)
                pairs[pair] = joined and Edge(*pair, round(joined[0], 6), kind_of(joined[1]))
        return pairs
