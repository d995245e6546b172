"""What the exporter needs from whoever trained a model: it never imports the trainer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from model_export.contract.bundle import DuplicateThreshold, IdSpace
from model_export.contract.calibration import Calibration
from model_export.contract.established import Established
from model_export.contract.towers import TowerSpec
from model_export.contract.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class TowerSource:
    """A tower: a frozen encoder of single pieces.

    Attributes:
        spec: what it reads and gives.
        module: `forward(*inputs)` -> vectors float32 (B, width); inputs in the order of the batches
            that `contract.towers.inputs_of(spec, tokenizer)` makes.
        tokenizer: a file of the library `tokenizers`, for a text tower.
    """

    spec: TowerSpec
    module: nn.Module
    tokenizer: bytes | None = None


@dataclass(frozen=True)
class ExportSource:
    """A trained encoder and where it comes from.

    Attributes:
        module: `forward(token_ids, token_counts, token_modality, vectors_0, ...)`, the arrays of a
            `FeatureBatch` in their order, ->
            `(embedding (B, D), content (B, C), modality_weights (B, M)[, id_embedding (B, E)])`,
            shapes and types as in `contract.features`.
        vocabulary: what its inputs are made with.
        recipe: the name of the method that trained it.
        dim: D.
        content_dim: C.
        data_digest: digest of the data set it was trained on.
        config: the resolved configuration, JSON-serialisable.
        metrics: measured on held-out streamers, name -> value.
        duplicate_threshold: from which content cosine on two streamers are near-duplicates.
        calibration: what scores promise; None when the trainer can't say.
        id_space: name and width E of the space of `id_embedding`; None without that output.
        established: the streamers that the teacher knows.
        towers: whose vectors the encoder reads; the space of each is in the vocabulary.
        dims: shorter widths than D, rising; the first so many numbers of an embedding are one of
            their own once they have unit length.
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
    towers: Sequence[TowerSource] = ()
    dims: Sequence[int] = ()
