"""Vocabulary of an encoder: tokens, vector spaces and uninformative pieces."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from model_export.contract.errors import BundleError, first_problem


@dataclass(frozen=True)
class Space:
    """Named vector space of ready-made vectors."""

    name: str
    width: int


@dataclass(frozen=True)
class Vocabulary:
    """Token ids: 1..V for known tokens, V+1..V+buckets for hashed unknown ones, 0 for padding.

    Attributes:
        tokens: known tokens; `tokens[i]` has id `i + 1`.
        document_frequency: number of `documents` with each token.
        documents: number of profiles that were counted.
        buckets: number of ids for unknown tokens. They have no learned weight, but two accounts
            that share an unseen word share a bucket.
        spaces: vector spaces that the encoder reads.
        uninformative: cluster hashes of boilerplate pieces that many streamers share, such as
            欢迎关注, `video 12` or placeholder covers.
    """

    tokens: Sequence[str]
    document_frequency: Sequence[int]
    documents: int
    buckets: int = 1 << 14
    spaces: Sequence[Space] = ()
    uninformative: frozenset[str] = frozenset()

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: i + 1 for i, token in enumerate(self.tokens)}

    @cached_property
    def inverse_document_frequency(self) -> NDArray[np.float32]:
        """Smoothed idf, log((1 + N) / (1 + df)) + 1, per token id (size,); 0 for padding.

        Unknown tokens have df = 0.
        """
        df = np.zeros(self.size)
        df[1 : 1 + len(self.tokens)] = self.document_frequency
        idf = np.log((1 + self.documents) / (1 + df)) + 1
        idf[0] = 0
        return idf.astype(np.float32)

    @property
    def size(self) -> int:
        """Number of token ids, padding included."""
        return 1 + len(self.tokens) + self.buckets

    def token_id(self, token: str) -> int:
        """Id of a known token, or the hash bucket of an unknown one (BLAKE2b)."""
        known = self._ids.get(token)
        if known is not None:
            return known
        digest = hashlib.blake2b(token.encode(), digest_size=8).digest()
        return 1 + len(self.tokens) + int.from_bytes(digest, "little") % self.buckets

    def is_known(self, token_id: int) -> bool:
        """Whether the id is that of a known token."""
        return 0 < token_id <= len(self.tokens)

    def save(self, path: Path) -> None:
        """Write as JSON; equal vocabularies give equal bytes."""
        content: dict[str, Any] = {
            "documents": self.documents,
            "buckets": self.buckets,
            "spaces": [{"name": s.name, "width": s.width} for s in self.spaces],
            "uninformative": sorted(self.uninformative),
            "tokens": list(self.tokens),
            "document_frequency": list(self.document_frequency),
        }
        path.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Read a file written by `save`.

        Raises:
            BundleError: the file is not a vocabulary.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BundleError(f"{path} can't be read: {error.strerror}") from error
        return cls.parse(content, str(path))

    @classmethod
    def parse(cls, content: bytes, source: str) -> "Vocabulary":
        """Parse the content of a file written by `save`; `source` names it in errors.

        Raises:
            BundleError: the content is not a vocabulary.
        """
        try:
            stored = _Stored.model_validate_json(content)
        except ValidationError as error:
            raise BundleError(f"{source} is not a vocabulary: {first_problem(error)}") from error
        return cls(
            tokens=stored.tokens,
            document_frequency=stored.document_frequency,
            documents=stored.documents,
            buckets=stored.buckets,
            spaces=tuple(Space(s.name, s.width) for s in stored.spaces),
            uninformative=stored.uninformative,
        )


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _StoredSpace(_Part):
    name: str
    width: Annotated[int, Field(gt=0)]


class _Stored(_Part):
    """Schema of the file."""

    documents: Annotated[int, Field(ge=0)]
    buckets: Annotated[int, Field(gt=0)]
    spaces: list[_StoredSpace]
    uninformative: frozenset[str]
    tokens: list[str]
    document_frequency: list[Annotated[int, Field(ge=0)]]
    pieces_apart: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.pieces_apart:
            raise ValueError(
                "pieces_apart: `fusion` was removed after 0.1.0; train and export again"
            )
        if len(self.document_frequency) != len(self.tokens):
            raise ValueError(
                f"{len(self.tokens)} tokens have {len(self.document_frequency)} frequencies"
            )
        if len(set(self.tokens)) != len(self.tokens):
            raise ValueError("a token is listed twice")
        if len({space.name for space in self.spaces}) != len(self.spaces):
            raise ValueError("a space is listed twice")
        return self
