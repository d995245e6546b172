"""Encoded profiles as rows of files, and back: what an import of them takes as it is."""

from collections.abc import Generator, Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, Json, ValidationError
from pydantic_core import from_json

from model_export.contract.bundle import Manifest
from model_export.contract.features import Features, ModalityStatus
from model_export.contract.pieces import MODALITIES
from service.engine.encoding.onnx_encoder import Encoded
from service.engine.encoding.pipeline import EncodedProfile
from service.engine.work.lanes import Lane, Lanes
from service.errors import BodyTooLarge, InvalidRequest, ServiceError
from service.features.streamers.lines import profile_of
from service.features.streamers.records import record_of
from service.files.encoded import About
from service.files.parquet_rows import ENCODED
from service.http.problems import invalid
from service.settings import Limits

LINE_FACTOR = 2
"""How much longer than a profile may be is a line with it, its vectors and quotation marks."""
_NO_TOKENS = np.zeros(0, np.int64)
_LENGTH_ERROR = 0.01
"""Of a unit vector, as float16 too."""


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    streamer_id: str
    profile: str
    embedding: Base64Bytes = b""
    content: Base64Bytes = b""
    id_embedding: Base64Bytes = b""
    tower_vectors: Base64Bytes = b""
    modalities: Json[dict[str, ModalityStatus]]
    coverage: Annotated[float, Field(ge=0, le=1)]


def row_of(item: EncodedProfile) -> tuple[dict[str, Any], int]:
    """An encoded profile as a row of `service.files.encoded`, and about how many bytes it has."""
    record = record_of(item, "", keep_bytes=True)
    vectors = (record.embedding, record.content, record.id_embedding, record.tower_vectors)
    names = ("embedding", "content", "id_embedding", "tower_vectors")
    row = {
        "streamer_id": record.streamer_id,
        "profile": record.profile.decode(),
        **{name: found or None for name, found in zip(names, vectors, strict=True)},
        "modalities": record.modalities.decode(),
        "coverage": item.features.coverage,
    }
    return row, len(record.profile) + sum(map(len, vectors))


def about_model(manifest: Manifest, part: str = "", input_sha256: str = "") -> About:
    """What files say that were encoded by a model."""
    return About(
        model_version=manifest.model_version,
        features_fingerprint=manifest.features_fingerprint,
        dim=manifest.dim,
        content_dim=manifest.content_dim,
        id_dim=0 if manifest.id_space is None else manifest.id_space.dim,
        part=part,
        input_sha256=input_sha256,
    )


def is_header(line: bytes) -> bool:
    """Whether the first line of a file says that encoded profiles follow."""
    return line.startswith(b'{"%b":' % ENCODED.encode())


def check_header(line: bytes, manifest: Manifest) -> None:
    """Refuse encoded profiles of another model.

    Raises:
        InvalidRequest: it is no such file, or of another model; says what to do.
    """
    try:
        found = About.model_validate(from_json(line)[ENCODED]) if is_header(line) else None
    except ValidationError:
        raise InvalidRequest.of(
            "/encoded", "another release wrote the file: encode it again with this one"
        ) from None
    except ValueError as error:
        raise InvalidRequest.of(
            "/encoded",
            f"the first line of the file is damaged, or was cut off ({error}): send the file that "
            "`python -m service encode` wrote, or encode it again",
        ) from None
    if found is None:
        raise InvalidRequest.of(
            "/encoded",
            "the file was not written by `python -m service encode`: import it without `encoded`",
        )
    check_model(found, manifest)


def check_model(found: About, manifest: Manifest) -> None:
    """Refuse what another model encoded.

    Raises:
        InvalidRequest: it did; says what to do.
    """
    served = about_model(manifest)
    names = ("model_version", "features_fingerprint", "dim", "content_dim", "id_dim")
    if any(getattr(found, name) != getattr(served, name) for name in names):
        raise InvalidRequest.of(
            "/encoded",
            f"the file was encoded by model {found.model_version}, this service serves "
            f"{served.model_version}: encode it again with that model's bundle, or import the "
            "profiles themselves without `encoded`",
        )


class EncodedReader:
    """Reads lines with encoded profiles, in threads."""

    def __init__(self, manifest: Manifest, limits: Limits, lanes: Lanes) -> None:
        """Read what the model of `manifest` encoded, profiles within `limits`."""
        self._about = about_model(manifest)
        self._limits = limits
        self._lanes = lanes

    async def read(
        self, chunk: Sequence[tuple[int, bytes]]
    ) -> tuple[dict[int, EncodedProfile], dict[int, ServiceError]]:
        """Encoded profiles, and what is wrong with other lines, by number."""

        def read() -> Generator[
            None, None, tuple[dict[int, EncodedProfile], dict[int, ServiceError]]
        ]:
            items: dict[int, EncodedProfile] = {}
            refused: dict[int, ServiceError] = {}
            for number, line in chunk:
                try:
                    items[number] = self._item_of(line)
                except ValidationError as error:
                    refused[number] = invalid(error)
                except ServiceError as error:
                    refused[number] = error
                yield
            return items, refused

        return await self._lanes.run_in_slices(read(), Lane.BULK)

    def _item_of(self, line: bytes) -> EncodedProfile:
        most = LINE_FACTOR * self._limits.body_limit_bytes
        if len(line) > most:
            raise BodyTooLarge(f"a line with an encoded profile may have {most} bytes")
        row = _Row.model_validate_json(line)
        profile = profile_of(row.profile.encode(), self._limits)
        if profile.streamer_id != row.streamer_id:
            raise InvalidRequest.of("/streamer_id", "is not that of the profile")
        if row.modalities.keys() != set(MODALITIES):
            raise InvalidRequest.of("/modalities", "are not those of this release")
        nothing: tuple[NDArray[np.float32], ...] = ()
        features = Features(
            _NO_TOKENS, _NO_TOKENS, _NO_TOKENS, nothing, (), row.modalities, row.coverage
        )
        if features.usable != bool(row.embedding):
            raise InvalidRequest.of(
                "/embedding", "is there if and only if a modality but the language is used"
            )
        encoded = self._vectors_of(row) if row.embedding else None
        return EncodedProfile(profile, features, encoded, row.tower_vectors)

    def _vectors_of(self, row: _Row) -> Encoded:
        about = self._about
        embedding = _unit("embedding", row.embedding, "<f4", about.dim)
        content = _unit("content", row.content, "<f2", about.content_dim)
        ids = _numbers("id_embedding", row.id_embedding, "<f4", about.id_dim)
        return Encoded(embedding, content, ids if about.id_dim else None)


def _numbers(name: str, given: bytes, kind: str, dim: int) -> NDArray[Any]:
    width = np.dtype(kind).itemsize * dim
    if len(given) != width:
        raise InvalidRequest.of(f"/{name}", f"has {len(given)} bytes, the model's has {width}")
    numbers = np.frombuffer(given, kind)
    if not np.isfinite(numbers).all():
        raise InvalidRequest.of(f"/{name}", "has numbers that are not finite")
    return numbers


def _unit(name: str, given: bytes, kind: str, dim: int) -> NDArray[Any]:
    numbers = _numbers(name, given, kind, dim)
    if abs(float(np.linalg.norm(numbers.astype(np.float32))) - 1) > _LENGTH_ERROR:
        raise InvalidRequest.of(f"/{name}", "is not of unit length")
    return numbers
