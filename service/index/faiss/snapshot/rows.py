"""Rows that can be written down as they are, and taken over from what was written."""

import contextlib
from collections import deque
from collections.abc import Generator

import numpy as np
from pyroaring import BitMap

from service.files.checksummed import Broken
from service.index.faiss.rows.attributes import Attributes
from service.index.faiss.rows.columns import packed
from service.index.faiss.rows.numeric import slots_of
from service.index.faiss.rows.table import Rows
from service.index.faiss.snapshot.format import Image


class SavedRows(Rows):
    """See the module."""

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return self._embeddings.shape[1]

    @property
    def stride(self) -> int:
        """Bytes of a slot in the file of sketches and facets."""
        return self._cold.stride

    @contextlib.contextmanager
    def imaging(self) -> Generator[Image, None, None]:
        """Everyone, to be written down beside searches and writes, until the context ends.

        Streamers that change before it is given may be left out of it.
        """
        with self._lock:
            used, ids = len(self._ids), self._ids.copy()
            embeddings, versions = self._embeddings[:used], self._versions[:used]
            modalities, kept = self._modalities[:used], self._cold.kept()
            taken, live = self._taken(), self._live.copy()
            base, covered = self._base, self._covered.copy()
            columns = self._attributes.columns()
            began = self._begin()
        try:
            parts: list[Attributes] = []
            for name in columns:
                with self._lock:
                    parts.append(self._attributes.copy(name))
                parts[-1].settle()
            with self._lock:  # who is the same still was in each of the copies
                gone = BitMap(slot for since, slot in self._left if since > began)
            taken, live, covered = taken - gone, live - gone, covered - gone
            for slot in {*gone, *(BitMap(range(used)) - taken)}:
                ids[slot] = ""
            yield Image(
                *(embeddings, versions, modalities, ids, taken, live, covered, base, parts),
                *(self._cold.blocks, kept),
            )
        finally:
            self._end(began)

    def restore(self, image: Image) -> None:
        """Take over an image, arrays included; nobody may be here yet.

        Raises:
            Broken: it is not as it was written; all stays empty.
            OSError: there is no room for it.
        """
        used, kept = len(image.ids), image.kept
        self._cold.load(image.cold(np.ones(used, np.bool_)), kept)
        slots: list[int] = slots_of(image.taken).tolist()
        slot_of = {image.ids[slot]: slot for slot in slots}
        if len(slot_of) != len(slots):
            raise Broken("the snapshot has a streamer twice")
        free = BitMap(range(used)) - image.taken
        with self._lock:
            self._embeddings, self._versions = image.embeddings, image.versions
            self._modalities, self._ids = image.modalities, list(image.ids)
            self._slot_of, self._live = slot_of, image.live
            self._bits = packed(image.live, len(image.embeddings))
            self._search_by(image.base, image.covered)
            (self._attributes,) = image.attributes
            self._established = BitMap(self._slots_of(self._are_established)) & image.live
            self._left = deque((next(self._clock), slot) for slot in free)

    def _taken(self) -> BitMap:
        """The slots that somebody has."""
        return BitMap(range(len(self._ids))) - BitMap(slot for _, slot in self._left)
