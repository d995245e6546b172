"""The corpus of candidates that this process keeps up to date, for who looks for a few of them."""

from collections.abc import Sequence
from typing import Protocol

from service.engine.candidates.corpus import Corpus, Entry


class Candidates(Protocol):
    """Knows who may be a duplicate of whom, among all."""

    def nearest(self, streamer_id: str, entry: Entry, most: int) -> list[str] | None:
        """Ids, the likeliest first; None where nobody knows. See `Corpus.nearest`."""
        ...

    def parts(
        self, streamer_ids: Sequence[str], versions: Sequence[int]
    ) -> list[str | None] | None:
        """Connected components, see `Evaluated.parts`; None as well where nobody knows."""
        ...


class Evaluated(Protocol):
    """Knows who was compared with all others, and whom that led to whom."""

    def parts(
        self, streamer_ids: Sequence[str], versions: Sequence[int]
    ) -> list[str | None] | None:
        """The connected component of each of some streamers, by edges that evidence found.

        Args:
            streamer_ids: of stored streamers.
            versions: of each, at least.

        Returns:
            None of a streamer without an edge; None of all where one of them was not compared with
            all others yet, as of its version.
        """
        ...


class KeptCorpus:
    """The corpus of the process that evaluates duplicates.

    One process has it, and follows the log. The others would have to read every profile to have it
    too: they know no candidates but those of the index.

    Attributes:
        corpus: None in the other processes, and until it is complete.
        evaluated: likewise, and while all are compared anew.
    """

    def __init__(self) -> None:
        """There is none yet."""
        self.corpus: Corpus | None = None
        self.evaluated: Evaluated | None = None

    def nearest(self, streamer_id: str, entry: Entry, most: int) -> list[str] | None:
        """Ids of candidates; None without a corpus."""
        corpus = self.corpus
        return None if corpus is None else corpus.nearest(streamer_id, entry, most)

    def parts(
        self, streamer_ids: Sequence[str], versions: Sequence[int]
    ) -> list[str | None] | None:
        """Connected components, see `Candidates.parts`."""
        evaluated = self.evaluated
        return None if evaluated is None else evaluated.parts(streamer_ids, versions)
