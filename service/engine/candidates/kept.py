"""The corpus of candidates that this process keeps up to date, for who looks for a few of them."""

from service.engine.candidates.corpus import Corpus, Entry, Ranked
from service.engine.candidates.look_ups import LookUps


class KeptCorpus:
    """The corpus of the process that evaluates duplicates.

    One process has it, and follows the log. The others would have to read every profile to have it
    too: they know no candidates but those of the index.

    Attributes:
        look_ups: that were made with it, and are not evaluated yet.
    """

    def __init__(self) -> None:
        """There is none yet."""
        self._corpus: Corpus | None = None
        self.look_ups = LookUps()

    @property
    def corpus(self) -> Corpus | None:
        """None in the other processes, and until it is complete."""
        return self._corpus

    def keep(self, corpus: Corpus | None) -> None:
        """Have this corpus, or none any more."""
        self._corpus = corpus
        self.look_ups.clear()

    def ranked(self, streamer_id: str, entry: Entry) -> Ranked | None:
        """Candidates; None without a corpus. See `Corpus.ranked`."""
        corpus = self._corpus
        return None if corpus is None else corpus.ranked(streamer_id, entry)
