"""What is kept of a registered model."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

from pydantic import TypeAdapter
from pydantic_core import to_json

from service.store.documents import Document, DocumentStore, Put, RevisionConflict
from service.store.models.base import ModelPointer

COLLECTION = "models"
_MOST = 1000


@dataclass(frozen=True)
class Live:
    """What a model that is ready has to do with live questions, beside the active one.

    Attributes:
        model_version: of the model.
        compared_with: the model that was active when it was set.
        revision: of the pointer at that time; once that is another one, it counts no more.
        canary_share: of the callers, those that it answers.
        shadow_sample: of the questions, those that it is asked too.
        run: names the report of its shadow.
    """

    model_version: str
    compared_with: str
    revision: int
    canary_share: float = 0.0
    shadow_sample: float = 0.0
    run: str = ""


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
        live: what it last had to do with live questions; see `live_of`.
        streamers_per_s: pace of its last backfill, whose job may not be kept any more; None: it had
            no limit.
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
    live: Live | None = None
    streamers_per_s: float | None = None


_MODEL = TypeAdapter(RegisteredModel)


def live_of(pointer: ModelPointer, registered: RegisteredModel | None) -> Live | None:
    """What the pointer's target has to do with live questions; None if nothing.

    A promotion, a roll-back or a retirement moves the pointer, and ends it on every replica.
    """
    live = None if registered is None else registered.live
    if live is None or pointer.state != "ready" or pointer.target != live.model_version:
        return None
    return live if live.revision == pointer.revision else None


class Registry:
    """The registered models, in the store."""

    def __init__(self, documents: DocumentStore) -> None:
        """Keep them in `documents`."""
        self._documents = documents

    async def all(self) -> Mapping[str, RegisteredModel]:
        """By model version."""
        found = await self._documents.page(COLLECTION, None, _MOST)
        return {each.document_id: _MODEL.validate_json(each.body) for each in found}

    async def get(self, model_version: str) -> RegisteredModel | None:
        """A model; None if it is not registered."""
        document = await self._get(model_version)
        return None if document is None else _MODEL.validate_json(document.body)

    async def put(
        self, model_version: str, make: Callable[[RegisteredModel | None], RegisteredModel]
    ) -> None:
        """Register a model, or again: what is made of its record; `make` may be called again."""
        while True:
            document = await self._get(model_version)
            before = None if document is None else _MODEL.validate_json(document.body)
            expected = 0 if document is None else document.revision
            put = Put(COLLECTION, model_version, to_json(asdict(make(before))), expected)
            try:
                await self._documents.change([put])
            except RevisionConflict:
                continue
            return

    async def update(self, model_version: str, **changes: object) -> None:
        """Change fields of a registered model; of one that is not, nothing."""
        await self.change(model_version, lambda before: replace(before, **changes))

    async def change(
        self, model_version: str, make: Callable[[RegisteredModel], RegisteredModel]
    ) -> RegisteredModel | None:
        """Change a registered model to what is made of it; `make` may be called again.

        Returns:
            The model as it is then; None if it is not registered.
        """
        while (document := await self._get(model_version)) is not None:
            made = make(_MODEL.validate_json(document.body))
            try:
                put = Put(COLLECTION, model_version, to_json(asdict(made)), document.revision)
                await self._documents.change([put])
            except RevisionConflict:
                continue
            return made
        return None

    async def _get(self, model_version: str) -> Document | None:
        return (await self._documents.get(COLLECTION, [model_version]))[0]
