"""What is kept of a registered model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Self

from pydantic import TypeAdapter
from pydantic_core import to_json

from service.store.documents import Document, DocumentStore, Put, RevisionConflict

COLLECTION = "models"
_MOST = 1000


@dataclass(frozen=True)
class RegisteredModel:
    """A bundle that may serve.

    Attributes:
        model_version: of its manifest, at the width and in the variant that are served.
        folder: of the bundle, below the folder of models.
        sha256: of its manifest, which has the digests of all its files.
        recipe, created_by: of its manifest.
        dim, content_dim: widths of its vectors.
        registered_at: seconds since 1970.
        key_id: who registered it.
        job_id: of its last backfill; empty before.
        served: whether it has been the active model since it was kept.
        retired: whether it served or was about to, and is not kept any more.
    """

    model_version: str
    folder: str
    sha256: str
    recipe: str
    created_by: str
    dim: int
    content_dim: int
    registered_at: float
    key_id: str
    job_id: str = ""
    served: bool = False
    retired: bool = False

    @classmethod
    def of_json(cls, body: bytes) -> Self:
        """What `to_json` wrote.

        Raises:
            ValueError: it can't be read.
        """
        return TypeAdapter(cls).validate_json(body)


class Registry:
    """The registered models, in the store."""

    def __init__(self, documents: DocumentStore) -> None:
        """Keep them in `documents`."""
        self._documents = documents

    async def all(self) -> Mapping[str, RegisteredModel]:
        """By model version."""
        found = await self._documents.page(COLLECTION, None, _MOST)
        return {each.document_id: RegisteredModel.of_json(each.body) for each in found}

    async def get(self, model_version: str) -> RegisteredModel | None:
        """A model; None if it is not registered."""
        document = await self._get(model_version)
        return None if document is None else RegisteredModel.of_json(document.body)

    async def put(self, model: RegisteredModel) -> None:
        """Register a model, or again."""
        await self._documents.change([Put(COLLECTION, model.model_version, to_json(asdict(model)))])

    async def update(self, model_version: str, **changes: object) -> None:
        """Change fields of a registered model; of one that is not, nothing."""
        while (document := await self._get(model_version)) is not None:
            body = to_json(asdict(replace(RegisteredModel.of_json(document.body), **changes)))
            try:
                put = Put(COLLECTION, model_version, body, document.revision)
                await self._documents.change([put])
            except RevisionConflict:
                continue
            return

    async def _get(self, model_version: str) -> Document | None:
        return (await self._documents.get(COLLECTION, [model_version]))[0]
