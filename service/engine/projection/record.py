"""What the store knows of a model's collection: its name, and up to where it has the log."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pydantic import TypeAdapter

from service.store.documents import PROJECTIONS, DocumentStore, Put

_MOST_MODELS = 100
MOST_REFUSED = 1000
"""The latest of them: the others are in no answer."""


@dataclass(frozen=True)
class Building:
    """A collection that is being built, and does not serve yet.

    Attributes:
        name: of the collection; empty for none.
        number: by which Milvus knows it; 0: it is of no use.
        epoch: of the store's history that it is of.
        established: digest of the ids of established streamers by which its rows are written.
    """

    name: str = ""
    number: int = 0
    epoch: str = ""
    established: str = ""


@dataclass(frozen=True)
class Projection:
    """The collection of a model.

    Attributes:
        owner: the process that writes it, as long as it gives signs of life; empty for none.
        collection: the name that serves; empty while none does.
        number: by which Milvus knows it.
        epoch, sequence, mark: place in the store's log up to which it was written.
        settled: place up to which everyone sees it.
        building: the one that is to take its place, if any.
        retired: names that do not serve any more and are to be dropped.
        reached: sequence and mark of the place in the log up to which a build, or a collection that
            catches up, may have rows of this history; a mark is empty where there is none.
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
    building: Building = Building()
    retired: tuple[str, ...] = ()
    reached: tuple[int, str] = (0, "")
    beats: int = 0
    refused: tuple[int, ...] = ()
    established: str = ""


def refusing(versions: Sequence[int], record: Projection) -> Projection:
    """The record once Milvus did not take these versions either."""
    refused = tuple(dict.fromkeys((*record.refused, *versions)))
    return replace(record, refused=refused[-MOST_REFUSED:])


_FORM = TypeAdapter(Projection)


class OtherRecord(NamedTuple):
    """The record of another model.

    Attributes:
        model_version: the model.
        revision: of the record.
        projection: it.
    """

    model_version: str
    revision: int
    projection: Projection

    @property
    def collections(self) -> tuple[str, ...]:
        """All that it has in the cluster."""
        known = self.projection
        names = (known.collection, known.building.name, *known.retired)
        return tuple(name for name in names if name)


class Projections:
    """The record of one model's collection in a cluster; changes name the revision they are of."""

    def __init__(self, documents: DocumentStore, cluster: str, model_version: str) -> None:
        """Nothing is read yet; arguments are the names of both."""
        self._documents = documents
        self._collection = f"{PROJECTIONS}:{cluster}"
        self._model_version = model_version

    async def get(self) -> tuple[int, Projection]:
        """The record with its revision; an empty one at 0 where there is none.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        (found,) = await self._documents.get(self._collection, [self._model_version])
        if found is None:
            return 0, Projection()
        return found.revision, _FORM.validate_json(found.body)

    async def put(
        self, record: Projection, expected: int, instead_of: Sequence["OtherRecord"] = ()
    ) -> int:
        """Change the record; its new revision.

        Args:
            record: as it is from now on.
            expected: the revision that it is a change of.
            instead_of: records of other models, which are deleted in the same step.

        Raises:
            RevisionConflict: another process changed it, or one of the others.
            StoreFull, StoreUnavailable: it may not have been changed.
        """
        body = _FORM.dump_json(record)
        put = Put(self._collection, self._model_version, body, expected)
        others = [Put(self._collection, o.model_version, None, o.revision) for o in instead_of]
        revision, *_ = await self._documents.change([put, *others])
        return revision

    async def others(self) -> list["OtherRecord"]:
        """The first hundred records of other models.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        found = await self._documents.page(self._collection, None, _MOST_MODELS)
        return [
            OtherRecord(each.document_id, each.revision, _FORM.validate_json(each.body))
            for each in found
            if each.document_id != self._model_version
        ]
