"""The encoder: a trainable token table with a residual MLP, and a fixed sketch of the content.

    h = norm(norm(sum_t (1 + log count) idf E[t]) + vector_weight * sum_spaces W v)
    embedding = norm(P h + MLP(h))

P is fixed and orthonormal, E starts from an SVD of TF-IDF and the MLP's last layer starts small, so
training starts at the frozen geometry. Training computes over flat bags, the exported graph over
padded batches; both give the same numbers.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from model_export.contract.bundle import DuplicateThreshold, IdSpace
from model_export.contract.calibration import Calibration
from model_export.contract.pieces import MODALITIES
from model_export.contract.vocabulary import Vocabulary
from model_export.source import ExportSource
from training.bags import Bags, inverse_document_frequency
from training.checkpoint import Checkpoint
from training.compute import Compute
from training.config import RecipeConfig, shared_config, shorter_widths
from training.towers import cache_folder, towers_again

LANGUAGE = 1 + MODALITIES.index("language")
FIXED_SEED = 1
"""Of the parts that are never trained; the same for every model."""
SAME_PIECE_DISTANCE = 0.2
"""Between unit vectors: pieces much nearer are the same to the sketch, much farther are unlike."""
VECTOR_SHARE = 0.5
"""Length of the vectors' part of the sketch beside the unit part of the tokens."""


def safe_normalise(x: Tensor) -> Tensor:
    """X / sqrt(sum x^2 + 1e-6) over the last axis: finite, also in gradient, for an empty row."""
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)


def pool(vectors: Tensor, modality: Tensor) -> Tensor:
    """Mean of the unit vectors of a space, (B, P, W) and (B, P) -> (B, W); zero for none."""
    present = (modality > 0).to(vectors.dtype).unsqueeze(-1)  # (B, P, 1)
    total = (safe_normalise(vectors) * present).sum(1)  # (B, W)
    return total / present.sum(1).clamp(min=1)


class ContentSketch(nn.Module):
    """A fixed, untrained sketch (B, C): near-duplicates have a high cosine, whatever was learned.

    Tokens: each id, the buckets of unknown ones too, has a random sign vector, so the dot product
    of two sketches is that of their weighted token vectors plus noise of about 1 / sqrt(C)
    (Achlioptas 2003). Ready-made vectors: random Fourier features (Rahimi & Recht 2007) of a
    narrow Gaussian kernel, summed over the pieces, so the dot product counts the pieces that both
    show, not how alike their styles are. A shared language is no shared content and is left out.
    """

    def __init__(self, vocabulary: Vocabulary, dim: int) -> None:
        super().__init__()
        rng = np.random.default_rng(FIXED_SEED)
        signs = rng.integers(0, 2, (vocabulary.size, dim), np.int8) * 2 - 1
        self.signs: Tensor
        self.register_buffer("signs", torch.from_numpy(signs.astype(np.int8)))
        for i, space in enumerate(vocabulary.spaces):
            frequency = rng.standard_normal((space.width, dim)) / SAME_PIECE_DISTANCE
            phase = rng.uniform(0, 2 * math.pi, dim)
            self.register_buffer(f"frequency_{i}", torch.from_numpy(frequency.astype(np.float32)))
            self.register_buffer(f"phase_{i}", torch.from_numpy(phase.astype(np.float32)))

    def forward(self, ids: Tensor, weights: Tensor, vectors: Sequence[Tensor]) -> Tensor:
        """The sketch of tokens (B, L), their weights (B, L), and (B, P, W), (B, P) per space."""
        signs = self.signs[ids].to(weights.dtype)  # (B, L, C)
        total = safe_normalise(torch.matmul(weights.unsqueeze(1), signs).squeeze(1))  # (B, C)
        for i, (v, modality) in enumerate(zip(vectors[::2], vectors[1::2], strict=True)):
            angle = safe_normalise(v) @ self.get_buffer(f"frequency_{i}")  # (B, P, C)
            waves = torch.cos(angle + self.get_buffer(f"phase_{i}"))
            present = (modality > 0).to(v.dtype).unsqueeze(-1)  # (B, P, 1)
            total = total + VECTOR_SHARE * safe_normalise((waves * present).sum(1))
        return safe_normalise(total)


class StreamerEncoder(nn.Module):
    """Features to embedding, content sketch, modality weights and, with a teacher, ID-embedding."""

    def __init__(self, vocabulary: Vocabulary, config: RecipeConfig, id_dim: int | None) -> None:
        """An encoder with an empty table; see `start_from`.

        Args:
            vocabulary: what the token ids mean.
            config: its widths.
            id_dim: width E of the ID-embedding to be predicted; None for no such output.
        """
        super().__init__()
        rng = np.random.default_rng(FIXED_SEED)
        self.known = len(vocabulary.tokens)
        self.vector_weight = config.vector_weight
        self.compute = Compute()
        self.register_buffer("idf", torch.from_numpy(inverse_document_frequency(vocabulary)))
        self.idf: Tensor
        self.table = nn.Parameter(torch.zeros(1 + self.known, config.table_dim))
        fixed = _orthonormal(rng, config.table_dim, config.dim)
        fixed *= math.sqrt(config.table_dim / config.dim)
        self.register_buffer("fixed_projection", torch.from_numpy(fixed))
        self.fixed_projection: Tensor
        last = nn.Linear(config.hidden_dim, config.dim)
        with torch.no_grad():
            last.weight.mul_(0.1)
            last.bias.zero_()
        self.mlp = nn.Sequential(
            nn.Linear(config.table_dim, config.hidden_dim),
            nn.GELU(),
            nn.Dropout(config.dropout),
            last,
        )
        self.spaces = nn.ParameterList()
        for i, space in enumerate(vocabulary.spaces):
            start = _orthonormal(rng, space.width, config.table_dim)
            start *= math.sqrt(max(1, space.width / config.table_dim))
            self.spaces.append(nn.Parameter(torch.from_numpy(start)))
            self.register_buffer(f"centre_{i}", torch.zeros(space.width))
        self.content = ContentSketch(vocabulary, config.content_dim)
        self.id_head = None if id_dim is None else nn.Linear(config.dim, id_dim)
        self.register_buffer("id_scale", torch.ones(()))
        self.id_scale: Tensor

    def move_to(self, compute: Compute) -> None:
        """Compute there from now on."""
        self.compute = compute
        self.to(compute.device)

    @torch.no_grad()
    def start_from(
        self, components: NDArray[np.float32], centres: Sequence[NDArray[np.float32]]
    ) -> None:
        """Set the start of the table, (1 + V, <= table_dim), and the mean vector of each space."""
        self.table[:, : components.shape[1]] = torch.from_numpy(components)
        self.table[0] = 0
        for i, centre in enumerate(centres):
            self.get_buffer(f"centre_{i}").copy_(torch.from_numpy(centre))

    @torch.no_grad()
    def order_axes(self, embeddings: NDArray[np.float32]) -> None:
        """Turn the output so that the first axes carry the most of these embeddings (R, D).

        Their cosines stay as they are. A shorter width, the first of the axes, then starts with
        principal components in place of as many random directions.
        """
        moments = embeddings.T.astype(np.float64) @ embeddings.astype(np.float64)  # (D, D)
        axes = np.linalg.eigh(moments)[1][:, ::-1]  # by falling eigenvalue
        turn = self.place(np.ascontiguousarray(axes, np.float32))
        last = self.mlp[-1]
        assert isinstance(last, nn.Linear)
        self.fixed_projection.copy_(self.fixed_projection @ turn)
        last.weight.copy_(turn.T @ last.weight)
        last.bias.copy_(last.bias @ turn)

    def forward(
        self, token_ids: Tensor, token_counts: Tensor, token_modality: Tensor, *vectors: Tensor
    ) -> tuple[Tensor, ...]:
        """The outputs of the exported graph for a padded batch; shapes as in `FeatureBatch`.

        Returns:
            embedding (B, D), content (B, C), modality weights (B, M), and with a teacher the
            ID-embedding (B, E) in the units of its space.
        """
        weights = self._weights(token_ids, token_counts)  # (B, L)
        is_known = (token_ids <= self.known).to(weights.dtype)
        known_ids = torch.where(token_ids <= self.known, token_ids, 0)
        rows = self.table[known_ids] * (weights * is_known).unsqueeze(-1)  # (B, L, H)
        token_sum = rows.sum(1)  # (B, H)
        pooled = [pool(v, m) for v, m in zip(vectors[::2], vectors[1::2], strict=True)]
        h, parts = self._fuse(token_sum, pooled)
        z = self._embed(h)
        sketch_weights = weights * (token_modality != LANGUAGE).to(weights.dtype)
        content = self.content(token_ids, sketch_weights, vectors)
        token_norm = torch.rsqrt((token_sum * token_sum).sum(-1, keepdim=True) + 1e-6)
        evidence = _share(
            torch.matmul(rows, h.unsqueeze(-1)).squeeze(-1) * token_norm, token_modality
        )
        for part, modality in zip(parts, vectors[1::2], strict=True):
            count = (modality > 0).sum(1, keepdim=True).clamp(min=1)
            each = (part * h).sum(-1, keepdim=True) / count  # (B, 1)
            evidence = evidence + _share(each.expand(modality.shape), modality)
        outputs = (z, content, _to_weights(evidence))
        return outputs if self.id_head is None else (*outputs, self.id_head(z) * self.id_scale)

    def fused(self, bags: Bags) -> Tensor:
        """The sum h (R, H) of flat bags; equal to what `forward` computes of their padded form."""
        known = bags.keep(bags.ids <= self.known)
        ids, counts = (self.place(array.astype(np.int64)) for array in (known.ids, known.counts))
        token_sum = functional.embedding_bag(
            ids,
            self.table,
            self.place(known.indptr),
            mode="sum",
            per_sample_weights=self._weights(ids, counts),
            include_last_offset=True,
        )  # (R, H)
        return self._fuse(token_sum, [self.place(pooled) for pooled in bags.pooled])[0]

    def embed(self, bags: Bags) -> Tensor:
        """Embeddings (R, D) of flat bags."""
        return safe_normalise(self.raw(bags))

    def raw(self, bags: Bags) -> Tensor:
        """Embeddings (R, D) of flat bags before they are normalised."""
        return self.compute.by_shares(self._raw_share, bags)

    def _raw_share(self, bags: Bags) -> Tensor:
        """What `raw` is, of this process's share; in the precision asked for while training."""
        with self.compute.autocast() if self.training else nullcontext():
            return self._raw(self.fused(bags)).float()

    def place(self, array: NDArray[Any]) -> Tensor:
        """An array as a tensor on the device."""
        return torch.from_numpy(array).to(self.compute.device)

    def _weights(self, ids: Tensor, counts: Tensor) -> Tensor:
        return (1 + torch.log(counts.clamp(min=1).to(self.idf.dtype))) * self.idf[ids]

    def _fuse(self, token_sum: Tensor, pooled: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The sum h (B, H), and what each space adds to it (B, H)."""
        h = safe_normalise(token_sum)
        parts: list[Tensor] = []
        for i, (project, v) in enumerate(zip(self.spaces, pooled, strict=True)):
            present = ((v * v).sum(-1, keepdim=True) > 0).to(v.dtype)  # (B, 1)
            centred = safe_normalise(v - self.get_buffer(f"centre_{i}")) * present
            parts.append(self.vector_weight * (centred @ project))
            h = h + parts[-1]
        return safe_normalise(h), parts

    def _embed(self, h: Tensor) -> Tensor:
        return safe_normalise(self._raw(h))

    def _raw(self, h: Tensor) -> Tensor:
        return h @ self.fixed_projection + self.mlp(h)  # (B, D)


def _orthonormal(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.float32]:
    """A random matrix with orthonormal columns, or rows when it is wide."""
    q, _ = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    return np.ascontiguousarray(q if rows >= columns else q.T, np.float32)


def _share(amounts: Tensor, modality: Tensor) -> Tensor:
    """Sum of the amounts (B, L) per modality (B, M)."""
    axis = torch.arange(1, 1 + len(MODALITIES), device=modality.device)
    member = (modality.unsqueeze(-1) == axis).to(amounts.dtype)  # (B, L, M)
    return torch.matmul(amounts.unsqueeze(1), member).squeeze(1)


def _to_weights(evidence: Tensor) -> Tensor:
    """Evidence (B, M) to shares that sum to 1; uniform when there is none."""
    positive = evidence.clamp(min=0)
    total = positive.sum(-1, keepdim=True)
    uniform = torch.full_like(positive, 1 / len(MODALITIES))
    return torch.where(total > 1e-6, positive / total.clamp(min=1e-6), uniform)


def _calibration(stored: Mapping[str, Any]) -> Calibration | None:
    """None in checkpoints of the time before scores were calibrated."""
    found = stored.get("calibration")
    return None if found is None else Calibration.model_validate(found)


def load_checkpoint(path: Path, tower_cache: Path | None = None) -> ExportSource:
    """What the exporter needs of a finished checkpoint, the module in eval mode.

    Args:
        path: the checkpoint folder.
        tower_cache: folder into which the weights of towers are unpacked.

    Raises:
        CheckpointError: not a checkpoint, not finished, damaged, or with a tower that is missing
            or another by now.
    """
    checkpoint = Checkpoint.load(path)
    stored = checkpoint.config
    config = shared_config(stored["config"])
    space = stored["id_space"]
    encoder = StreamerEncoder(checkpoint.vocabulary, config, space and space["dim"])
    encoder.load_state_dict(checkpoint.tensors)
    return ExportSource(
        module=encoder.eval(),
        vocabulary=checkpoint.vocabulary,
        recipe=stored["recipe"],
        dim=config.dim,
        content_dim=config.content_dim,
        data_digest=stored["data_digest"],
        duplicate_threshold=DuplicateThreshold(**stored["duplicate_threshold"]),
        calibration=_calibration(stored),
        config={name: value for name, value in stored.items() if name != "calibration"},
        metrics=checkpoint.metrics,
        id_space=None if space is None else IdSpace(**space),
        established=checkpoint.established,
        towers=towers_again(stored.get("towers", ()), tower_cache or cache_folder()),
        dims=shorter_widths(stored["config"].get("matryoshka", ""), config.dim),
    )
