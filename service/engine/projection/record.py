"""What the store knows of a model's collection: its name, and up to where it has the log."""

from dataclasses import dataclass

from pydantic import TypeAdapter

from service.store.documents import DocumentStore, Put

COLLECTION = "projections"
"""Of documents; one for each model, by its version."""


@dataclass(frozen=True)
class Projection:
    """The collection of a model.

    Attributes:
        owner: the process that writes it, as long as it gives signs of life; empty for none.
        collection: the name that serves; empty while none does.
        number: by which Milvus knows it.
        epoch, sequence, mark: place in the store's log up to which it was written.
        settled: place up to which everyone sees it.
        building: the name of one that is being built; empty for none.
        retired: names that do not serve any more and are to be dropped.
        beats: signs of life of the owner.
        refused: versions that Milvus did not take, the latest thousand.
        established: digest of the ids of established streamers by which all rows of `collection`
            were written; empty where there were several.
    """

    owner: str = ""
    collection: str = ""
    number: int = 0
    epoch: str = ""
    sequence: int = 0
    mark: str = ""
    settled: int = 0
    building: str = ""
    retired: tuple[str, ...] = ()
    beats: int = 0
    refused: tuple[int, ...] = ()
    established: str = ""


_FORM = TypeAdapter(Projection)


class Projections:
    """The record of one model's collection; each change names the revision that it is of."""

    def __init__(self, documents: DocumentStore, model_version: str) -> None:
        """Nothing is read yet."""
        self._documents = documents
        self._model_version = model_version

    async def get(self) -> tuple[int, Projection]:
        """The record with its revision; an empty one at 0 where there is none.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        (found,) = await self._documents.get(COLLECTION, [self._model_version])
        if found is None:
            return 0, Projection()
        return found.revision, _FORM.validate_json(found.body)

    async def put(self, record: Projection, expected: int) -> int:
        """Change the record; its new revision.

        Raises:
            RevisionConflict: another process changed it.
            StoreFull, StoreUnavailable: it may not have been changed.
        """
        body = _FORM.dump_json(record)
        put = Put(COLLECTION, self._model_version, body, expected)
        (revision,) = await self._documents.change([put])
        return revision
