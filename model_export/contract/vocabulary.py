"""What a trained encoder knows: its tokens, its vector spaces and the pieces that mean nothing."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from model_export.contract.errors import BundleError

PADDING = 0


@dataclass(frozen=True)
class Space:
    """A named vector space in which pieces may come ready-made."""

    name: str
    width: int


@dataclass(frozen=True)
class Vocabulary:
    """Token ids 1..V for known tokens, V+1..V+buckets for all others, 0 for padding.

    Attributes:
        tokens: the known tokens; `tokens[i]` has id `i + 1`.
        document_frequency: in how many of the `documents` each token was seen.
        documents: number of profiles that were counted.
        buckets: unknown tokens are hashed into so many ids. They carry no learned meaning; they
            let two accounts that share a never-seen word be told apart from two that do not.
        spaces: the vector spaces that the encoder reads.
        uninformative: content hashes of pieces that so many streamers share that they say nothing
            (boilerplate such as 欢迎关注, placeholder covers).
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

    @property
    def size(self) -> int:
        """Number of token ids, padding included."""
        return 1 + len(self.tokens) + self.buckets

    def token_id(self, token: str) -> int:
        """The id of a known token, or the bucket of an unknown one (BLAKE2b, never `hash()`)."""
        known = self._ids.get(token)
        if known is not None:
            return known
        digest = hashlib.blake2b(token.encode(), digest_size=8).digest()
        return 1 + len(self.tokens) + int.from_bytes(digest, "little") % self.buckets

    def is_known(self, token_id: int) -> bool:
        """Whether the encoder learned something about this token."""
        return 0 < token_id <= len(self.tokens)

    def save(self, path: Path) -> None:
        """Write as JSON, the same bytes for the same vocabulary."""
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
        """Read what `save` wrote.

        Raises:
            BundleError: when the file is not a vocabulary.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                tokens=content["tokens"],
                document_frequency=content["document_frequency"],
                documents=content["documents"],
                buckets=content["buckets"],
                spaces=tuple(Space(s["name"], s["width"]) for s in content["spaces"]),
                uninformative=frozenset(content["uninformative"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{path} is not a readable vocabulary: {error!r}") from error
