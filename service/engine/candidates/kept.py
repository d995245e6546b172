"""The corpus of candidates that this process keeps up to date, for who looks for a few of them."""

from typing import Protocol

from service.engine.candidates.corpus import Corpus, Entry


class Candidates(Protocol):
    """Finds the likeliest duplicates of a streamer among all."""

    def nearest(self, streamer_id: str, entry: Entry, most: int) -> list[str] | None:
        """Ids, the likeliest first; None where nobody knows. See `Corpus.nearest`."""
        ...


class KeptCorpus:
    """The corpus of the process that evaluates duplicates.

    One process has it, and follows the log. The others would have to read every profile to have it
    too: they know no candidates but those of the index.

    Attributes:
        corpus: None in the other processes, and until it is complete.
    """

    def __init__(self) -> None:
        """There is none yet."""
        self.corpus: Corpus | None = None

    def nearest(self, streamer_id: str, entry: Entry, most: int) -> list[str] | None:
        """Ids of candidates; None without a corpus."""
        corpus = self.corpus
        return None if corpus is None else corpus.nearest(streamer_id, entry, most)
