"""Which records an index may take in: of its model, of its width, and readable."""

from dataclasses import dataclass
from itertools import islice

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from service.engine.replica.snapshots import Model
from service.store.base import IndexEntry

_SHOWN = 5


class _Facets(BaseModel):
    """The facets that an index reads; it keeps others as they are."""

    model_config = ConfigDict(strict=True)

    name: str | None = None
    language: str | None = None
    category: str | None = None
    tags: list[str] | None = None
    attributes: dict[str, bool | int | float | str] = {}


@dataclass(frozen=True)
class SkippedRecords:
    """Stored records that the index does not hold, since it can't.

    Of records of another model it may hold what was stored of its own model before.

    Attributes:
        count: of streamers whose newest record was skipped.
        examples: the first few: id, version, and what is wrong.
    """

    count: int = 0
    examples: tuple[str, ...] = ()


class RecordCheck:
    """Tells good records from bad ones, and remembers the streamers whose newest one is bad."""

    def __init__(self, model: Model) -> None:
        """Accept records of this model."""
        self._model = model
        self._skipped: dict[str, tuple[int, str]] = {}  # version and reason by id

    @property
    def skipped(self) -> SkippedRecords:
        """What was skipped, and was not replaced or deleted since."""
        # In one step of the interpreter: threads ask while the event loop notes more.
        first = list(islice(self._skipped.items(), _SHOWN))
        return SkippedRecords(
            len(self._skipped),
            tuple(f"{name!r} at version {version}: {why}" for name, (version, why) in first),
        )

    def accepts(self, entry: IndexEntry) -> bool:
        """Whether the index may take it in; nothing of the index was changed by then."""
        why = self._problem(entry)
        if why is None:
            self._skipped.pop(entry.streamer_id, None)
        else:
            self._skipped[entry.streamer_id] = entry.version, why
        return why is None

    def is_of_model(self, entry: IndexEntry) -> bool:
        """Whether a record was encoded by the index's model; old log entries do not tell."""
        return entry.model_version in ("", self._model.version)

    def forget(self, streamer_id: str) -> None:
        """Its record was deleted."""
        self._skipped.pop(streamer_id, None)

    def clear(self) -> None:
        """Everything is read anew."""
        self._skipped.clear()

    def _problem(self, entry: IndexEntry) -> str | None:
        model = self._model
        if not self.is_of_model(entry):
            return "it was encoded by another model"
        if entry.version <= 0:
            return "it has no version"
        if bool(entry.embedding) != bool(entry.content):
            return "it has an embedding without a content sketch, or the reverse"
        if entry.embedding:
            if len(entry.embedding) != 4 * model.dim:
                return "its embedding is of another width"
            if len(entry.content) != 2 * model.content_dim:
                return "its content sketch is of another width"
            vector = np.frombuffer(entry.embedding, "<f4")
            if not np.isfinite(vector @ vector):
                return "its embedding is not finite"
        try:
            _Facets.model_validate_json(entry.facets)
        except ValidationError:
            return "its facets can't be read"
        return None
