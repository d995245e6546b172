"""Input of the exporter, provided by a trainer that the exporter never imports."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from model_export.contract.bundle import DuplicateThreshold, IdSpace
from model_export.contract.calibration import Calibration
from model_export.contract.established import Established
from model_export.contract.evidence import EvidenceParameters
from model_export.contract.folding import FOLDING_VERSION
from model_export.contract.towers import TowerSpec
from model_export.contract.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class TowerSource:
    """A tower: a frozen encoder of single pieces.

    Attributes:
        spec: preprocessing and output of the tower.
        module: `forward(*inputs)` -> vectors float32 (B, width), inputs in the order of the batches
            of `contract.towers.inputs_of(spec, tokenizer)`.
        tokenizer: file content of the library `tokenizers`, for a text tower.
    """

    spec: TowerSpec
    module: nn.Module
    tokenizer: bytes | None = None


@dataclass(frozen=True)
class ExportSource:
    """A trained encoder with its metadata.

    Attributes:
        module: `forward(token_ids, token_counts, token_modality, vectors_0, ...)`, the arrays of a
            `FeatureBatch` in their order, ->
            `(embedding (B, D), content (B, C), modality_weights (B, M)[, id_embedding (B, E)])`,
            float32; embedding and content have unit length, modality weights sum to 1.
        vocabulary: vocabulary of its inputs.
        recipe: name of the training method.
        dim: D.
        content_dim: C.
        data_digest: digest of the training data set.
        config: resolved configuration, JSON-serialisable.
        metrics: name -> value on held-out streamers.
        duplicate_threshold: content cosine from which two streamers are near-duplicates.
        calibration: precision of scores; None if not measured.
        id_space: name and width E of the ID-embedding space; None without that output.
        established: streamers that the teacher knows.
        evidence: parameters of evidence; None if not estimated.
        towers: towers whose vectors the encoder reads; the vocabulary has a space for each.
        folding_version: of the release that exports, whichever one trained it; see
            `contract.folding`.
        dims: ascending widths below D whose prefixes of an embedding, scaled to unit length, are
            embeddings as well.
    """

    module: nn.Module
    vocabulary: Vocabulary
    recipe: str
    dim: int
    content_dim: int
    data_digest: str
    duplicate_threshold: DuplicateThreshold
    config: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    calibration: Calibration | None = None
    id_space: IdSpace | None = None
    established: Established | None = None
    evidence: EvidenceParameters | None = None
    towers: Sequence[TowerSource] = ()
    dims: Sequence[int] = ()
    folding_version: int = FOLDING_VERSION
