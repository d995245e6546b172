"""Parts of profiles, encoded; those used last are kept."""

from collections import OrderedDict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from model_export.contract.features import Features
from model_export.contract.pieces import Piece
from service.engine.encoding.onnx_encoder import tokens_of
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.work.lanes import Lane, Lanes
from service.features.similar.contributions import Encoded, Part, part_of

MAX_BYTES = 32 << 20
"""Some 2,500 streamers of five modalities and 256 numbers."""
_ENTRY_BYTES = 600
_PART_BYTES = 250
"""What an entry, and a part of it, take besides their numbers, about."""
_ENCODED_AT_ONCE = 64
"""So that whoever is explained beside it has its turn at the encoder."""

Vectors = dict[Part, NDArray[np.float32] | None]
Known = tuple[str, int]
"""A streamer and its version."""


@dataclass(eq=False)
class Entry:
    """What was made of a version of a streamer, or of a profile in a request.

    No words of the profile are kept.

    Attributes:
        features: of the profile.
        boilerplate: sources of the pieces that tell nothing.
        vectors: embeddings (D,) of parts; None of parts that are nothing to go by.
    """

    features: Features
    boilerplate: frozenset[str]
    vectors: Vectors = field(default_factory=Vectors)

    @property
    def size_bytes(self) -> int:
        """Memory that it takes, about."""
        shown = self.features
        arrays = [shown.token_ids, shown.token_counts, shown.token_modality, *shown.vectors]
        encoded = sum(
            _PART_BYTES + (0 if v is None else v.nbytes) for v in list(self.vectors.values())
        )
        return _ENTRY_BYTES + encoded + sum(array.nbytes for array in arrays)


class EncodedParts:
    """Encodes parts of profiles, each once. For one event loop."""

    def __init__(
        self, pipeline: EncodingPipeline, lanes: Lanes, max_bytes: int = MAX_BYTES
    ) -> None:
        """Encode by `pipeline`, masked in `lanes`."""
        self._pipeline = pipeline
        self._lanes = lanes
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Known, tuple[Entry, int]] = OrderedDict()
        self.size_bytes = 0

    def known(self, streamer_id: str, version: int) -> Entry | None:
        """What is kept of a version of a streamer."""
        found = self._kept.get((streamer_id, version))
        if found is None:
            return None
        self._kept.move_to_end((streamer_id, version))
        return found[0]

    def keep(self, streamer_id: str, version: int, entry: Entry) -> None:
        """Keep an entry, as it is now, as the one used last; the oldest ones make room."""
        before = self._kept.pop((streamer_id, version), None)
        self.size_bytes -= 0 if before is None else before[1]
        size = entry.size_bytes
        self._kept[streamer_id, version] = entry, size
        self.size_bytes += size
        while self.size_bytes > self._max_bytes:
            _, (_, freed) = self._kept.popitem(last=False)
            self.size_bytes -= freed

    async def complete(
        self,
        entries: Mapping[str, Entry],
        wanted: Mapping[str, Sequence[Part]],
        pieces: Mapping[str, Mapping[str, Piece]] | None = None,
    ) -> None:
        """Encode the parts that entries lack.

        Args:
            entries: by label.
            wanted: parts, by label.
            pieces: by label and source, of those that are wanted alone.

        Raises:
            Overloaded: too much waits already.
        """
        masks = await self._lanes.run_in_slices(self._masks(entries, wanted, pieces or {}))
        # Those of a length together: a batch is padded to its longest.
        usable: list[tuple[tuple[str, Part], Features]] = []
        for (label, part), mask in masks.items():
            if mask is None:
                entries[label].vectors[part] = None
            else:
                usable.append(((label, part), mask))
        left = iter(sorted(usable, key=lambda mask: tokens_of(mask[1])))
        while together := dict(islice(left, _ENCODED_AT_ONCE)):
            encoded = await self._pipeline.encode_features(list(together.values()), Lane.HEAVY)
            for (label, part), one in zip(together, encoded, strict=True):
                # A view would keep the whole batch in memory.
                entries[label].vectors[part] = one.embedding.copy()

    def _masks(
        self,
        entries: Mapping[str, Entry],
        wanted: Mapping[str, Sequence[Part]],
        pieces: Mapping[str, Mapping[str, Piece]],
    ) -> Generator[None, None, dict[tuple[str, Part], Features | None]]:
        """What is to be encoded; None of what is nothing to go by."""
        masks: dict[tuple[str, Part], Features | None] = {}
        for label, parts in wanted.items():
            entry = entries[label]
            for part in dict.fromkeys(parts):
                if part in entry.vectors:
                    continue
                if part[0] == "piece":
                    alone = self._pipeline.features_of([pieces[label][part[1]]])
                    masks[label, part] = alone if alone.usable else None
                else:
                    masks[label, part] = part_of(entry.features, part)
            yield
        return masks


def encoded(entry: Entry, whole: NDArray[np.float32]) -> Encoded:
    """A profile with its embedding (D,) and the parts of it that were encoded."""
    return Encoded(entry.features, whole, entry.vectors)
