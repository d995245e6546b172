"""Configuration: one frozen dataclass per recipe, saved in the checkpoint as it was resolved.

Every value can be given on the command line as `--set name=value`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from training.errors import UsageError


@dataclass(frozen=True)
class RecipeConfig:
    """What every recipe has.

    Attributes:
        dim: width D of the embedding.
        table_dim: width of the token table; its start is an SVD of this rank.
        hidden_dim: hidden width of the MLP beside the fixed projection.
        content_dim: width C of the fixed content sketch.
        max_tokens: the vocabulary keeps so many of the most frequent tokens.
        min_document_frequency: tokens in fewer profiles are unknown.
        vector_weight: length of a projected ready-made vector beside the unit token part.
        dropout: of the MLP's hidden units.
        token_dropout: probability that a token is hidden from a training view.
        modality_dropout: probability that all ready-made vectors, or all tokens of a modality,
            are hidden from a training view (never everything).
        learning_rate, weight_decay, clip_norm: AdamW on a cosine schedule, gradient norm clipped.
        steps: at most so many; the best one on validation is kept.
        evaluate_every: steps between validations.
        patience: validations without a better value before training stops.
        batch_size: rows per step (two per anchor).
        temperature: of the contrast.
        refit: train once more on train + val for the number of steps that validation chose.
    """

    dim: int = 128
    table_dim: int = 256
    hidden_dim: int = 512
    content_dim: int = 256
    max_tokens: int = 65536
    min_document_frequency: int = 2
    vector_weight: float = 0.7
    dropout: float = 0.2
    token_dropout: float = 0.2
    modality_dropout: float = 0.1
    learning_rate: float = 7e-4
    weight_decay: float = 1e-3
    clip_norm: float = 1.0
    steps: int = 500
    evaluate_every: int = 50
    patience: int = 4
    batch_size: int = 512
    temperature: float = 0.07
    refit: bool = True


@dataclass(frozen=True)
class MaskedViewsConfig(RecipeConfig):
    """Two masked views of a streamer find each other; needs no behaviour.

    Attributes:
        overlap: rho, the bound of the views' overlap (see `training.views`).
        group_modality: probability that a draw moves whole modalities together.
    """

    overlap: float = 0.1
    group_modality: float = 0.3


@dataclass(frozen=True)
class TeacherConfig(RecipeConfig):
    """What every recipe has that learns from behaviour.

    Attributes:
        teacher_dim, teacher_regularization, teacher_confidence, teacher_iterations: implicit ALS,
            used when no ID-embeddings are given.
    """

    teacher_dim: int = 64
    teacher_regularization: float = 20.0
    teacher_confidence: float = 20.0
    teacher_iterations: int = 12


@dataclass(frozen=True)
class TransferPlusConfig(TeacherConfig):
    """Weighted positives from the ID space, filtered by content, plus regression to it.

    Attributes:
        neighbours: positives per streamer, its nearest by behaviour.
        audience_power: how fast a neighbour's weight falls with its share of the best audience
            cosine.
        id_temperature: how fast it falls with the ID cosine, where no audiences are known.
        content_floor: what is left of the weight of a positive of quite other content.
        negative_id_cosine, negative_content_cosine: pairs that are no positives but nearer than
            this are left out of the contrast, as likely false negatives; so are pairs that share
            an audience, where audiences are known.
        regression_weight: of the mean squared error to the ID-embedding.
    """

    token_dropout: float = 0.3
    temperature: float = 0.03
    neighbours: int = 50
    audience_power: float = 1.0
    id_temperature: float = 0.1
    content_floor: float = 0.5
    negative_id_cosine: float = 0.7
    negative_content_cosine: float = 0.9
    regression_weight: float = 0.5


def override(config: RecipeConfig, assignments: Sequence[str]) -> RecipeConfig:
    """The configuration with `name=value` assignments applied, each value read as the field's type.

    Raises:
        UsageError: no `=`, an unknown name (the valid ones are listed), or a value of another type.
    """
    types = get_type_hints(type(config))
    changes: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"--set {assignment}: write it as name=value")
        if name not in types:
            raise UsageError(f"--set {name}: unknown; the valid names are {', '.join(types)}")
        changes[name] = _parse(name, types[name], text)
    return dataclasses.replace(config, **changes)


def _parse(name: str, wanted: type, text: str) -> bool | int | float | str:
    if wanted is bool:
        if text.lower() not in ("true", "false"):
            raise UsageError(f"--set {name}={text}: needs true or false")
        return text.lower() == "true"
    try:
        return wanted(text)
    except ValueError:
        raise UsageError(f"--set {name}={text}: needs {wanted.__name__}") from None


def as_dict(config: RecipeConfig) -> Mapping[str, Any]:
    """The resolved values, JSON-serialisable."""
    return dataclasses.asdict(config)


def shared_config(values: Mapping[str, Any]) -> RecipeConfig:
    """The part of a saved configuration that every recipe has."""
    names = {field.name for field in dataclasses.fields(RecipeConfig)}
    return RecipeConfig(**{name: value for name, value in values.items() if name in names})
