"""The encoder: a trainable token table with a residual MLP, and a fixed sketch of the content.

    h = norm(norm(sum_t (1 + log count) idf E[t]) + vector_weight * sum_spaces W v)
    embedding = norm(P h + MLP(h))

E is initialised by an SVD of TF-IDF, W and P by principal axes of what they project; P stays fixed.
The MLP's last layer starts small, so training starts at the geometry of the SVD and the vectors.
With a kernel branch v (see `training.models.kernel_layer`), this u is one of two branches, and a
fixed A weighs both and turns them to their principal axes:

    embedding = norm([u, v] A)

Training computes on flat bags, the exported graph on padded batches, with equal results.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from model_export.contract.pieces import MODALITIES
from model_export.contract.vocabulary import Vocabulary
from training.config import RecipeConfig
from training.features.bags import Bags, inverse_document_frequency
from training.models.content_sketch import FIXED_SEED, ContentSketch, safe_normalise
from training.models.distributed import Compute
from training.models.kernel_layer import (
    KernelBranch,
    KernelLayer,
    KernelShape,
    principal_axes,
    residual_mlp,
)

LANGUAGE = 1 + MODALITIES.index("language")


def pool(vectors: Tensor, modality: Tensor) -> Tensor:
    """Mean of the unit vectors of a space, (B, P, W) and (B, P) -> (B, W); zero without any."""
    present = (modality > 0).to(vectors.dtype).unsqueeze(-1)  # (B, P, 1)
    total = (safe_normalise(vectors) * present).sum(1)  # (B, W)
    return total / present.sum(1).clamp(min=1)


class StreamerEncoder(nn.Module):
    """Features to embedding, content sketch, modality weights and, with a teacher, ID-embedding."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        config: RecipeConfig,
        id_dim: int | None,
        kernel: KernelShape | None = None,
    ) -> None:
        """Create an encoder with an empty token table; `start_from` initialises it.

        Args:
            vocabulary: token ids and vector spaces.
            config: widths and dropout.
            id_dim: width E of the predicted ID-embedding; None for no such output.
            kernel: shape of the kernel layer; None = none.
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
        self.mlp = residual_mlp(config.table_dim, config.hidden_dim, config.dim, config.dropout)
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
        self.kernel: KernelBranch | None = None
        if kernel is not None:
            spaces = [space.width for space in vocabulary.spaces]
            leading = min(config.table_dim, kernel.table_dim)
            layer = KernelLayer(len(self.table), leading, spaces, kernel)
            self.kernel = KernelBranch(
                layer, config.table_dim, config.dim, kernel.hidden_dim, kernel.dropout
            )
            self.register_buffer("axes", torch.cat([torch.eye(config.dim)] * 2) / math.sqrt(2))
        self.axes: Tensor

    def move_to(self, compute: Compute) -> None:
        """Move the encoder to the device of `compute`."""
        self.compute = compute
        self.to(compute.device)

    @torch.no_grad()
    def start_from(
        self, components: NDArray[np.float32], centres: Sequence[NDArray[np.float32]]
    ) -> None:
        """Initialise the token tables and the mean vector of each space.

        Args:
            components: leading right singular vectors of TF-IDF (1 + V, at most as many as the
                wider table has).
            centres: mean vector of each space.
        """
        tables = [self.table.data]
        if self.kernel is not None:
            tables.append(self.kernel.layer.table)
        for table in tables:
            width = min(table.shape[1], components.shape[1])
            table[:, :width] = torch.from_numpy(components[:, :width])
            table[0] = 0
        for i, centre in enumerate(centres):
            self.get_buffer(f"centre_{i}").copy_(torch.from_numpy(centre))

    @torch.no_grad()
    def align_spaces(self, pooled: Sequence[NDArray[np.float32]]) -> None:
        """Project each space to the principal axes of its vectors (R, W), turned at random.

        Random directions alone would lose more of a space wider than the token table; the turn
        keeps the longest axes of a space apart from those of tokens and other spaces.
        """
        for i, vectors in enumerate(self._centred([self.place(each) for each in pooled])):
            width = min(self.spaces[i].shape)
            turn = _orthonormal(
                np.random.default_rng([FIXED_SEED, i]), width, self.spaces[i].shape[1]
            )
            axes = principal_axes(vectors.cpu().numpy())[:, :width]
            self.spaces[i].copy_(torch.from_numpy(axes @ turn))

    @torch.no_grad()
    def align_output(self, fused: NDArray[np.float32]) -> None:
        """Project sums (R, H), see `fused`, to their principal axes, the longest first.

        A shorter width, a prefix of the axes, starts from principal components too.
        """
        leading = principal_axes(fused)[:, : self.fixed_projection.shape[1]]
        self.fixed_projection.zero_()
        self.fixed_projection[:, : leading.shape[1]] = self.place(leading)

    @torch.no_grad()
    def scale_spaces(self, factor: float) -> None:
        """Multiply the weight of all ready-made vectors beside the tokens."""
        for project in self.spaces:
            project.mul_(factor)

    def forward(
        self, token_ids: Tensor, token_counts: Tensor, token_modality: Tensor, *vectors: Tensor
    ) -> tuple[Tensor, ...]:
        """Outputs of the exported graph for a padded batch; shapes as in `FeatureBatch`.

        Returns:
            embedding (B, D), content (B, C), modality weights (B, M), and with a teacher the
            ID-embedding (B, E) in the units of its space.
        """
        weights = self._weights(token_ids, token_counts)  # (B, L)
        is_known = (token_ids <= self.known).to(weights.dtype)
        known_ids = torch.where(token_ids <= self.known, token_ids, 0)
        known_weights = (weights * is_known).unsqueeze(-1)  # (B, L, 1)
        rows = self.table[known_ids] * known_weights  # (B, L, H)
        centred = self._centred(
            [pool(v, m) for v, m in zip(vectors[::2], vectors[1::2], strict=True)]
        )
        h, evidence = self._forward_sum(rows, token_modality, centred, vectors[1::2])
        raw = h @ self.fixed_projection + self.mlp(h)
        if self.kernel is not None:
            layer = self.kernel.layer
            token_sum = (layer.table[known_ids].float() * known_weights).sum(1)
            v = self.kernel(h, layer(layer.content(token_sum, centred)))
            raw = torch.cat([safe_normalise(raw), v], 1) @ self.axes
        z = safe_normalise(raw)
        content = self._sketched(weights, token_ids, token_modality, vectors)
        outputs = (z, content, _to_weights(evidence))
        return outputs if self.id_head is None else (*outputs, self.id_head(z) * self.id_scale)

    def sketch(
        self, token_ids: Tensor, token_counts: Tensor, token_modality: Tensor, *vectors: Tensor
    ) -> Tensor:
        """Content sketch (B, C) of a padded batch, equal to that of `forward`."""
        weights = self._weights(token_ids, token_counts)  # (B, L)
        return self._sketched(weights, token_ids, token_modality, vectors)

    def _sketched(
        self,
        weights: Tensor,
        token_ids: Tensor,
        token_modality: Tensor,
        vectors: Sequence[Tensor],
    ) -> Tensor:
        shown = (token_modality != LANGUAGE).to(weights.dtype)
        return self.content(token_ids, weights * shown, vectors)

    def _forward_sum(
        self,
        rows: Tensor,
        token_modality: Tensor,
        centred: Sequence[Tensor],
        modalities: Sequence[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Sum h (B, H) of table rows (B, L, H) and vectors, and each modality's share (B, M)."""
        token_sum = rows.sum(1)  # (B, H)
        h, parts = self._fuse(token_sum, centred)
        token_norm = torch.rsqrt((token_sum * token_sum).sum(-1, keepdim=True) + 1e-6)
        evidence = _share(
            torch.matmul(rows, h.unsqueeze(-1)).squeeze(-1) * token_norm, token_modality
        )
        for part, modality in zip(parts, modalities, strict=True):
            count = (modality > 0).sum(1, keepdim=True).clamp(min=1)
            each = (part * h).sum(-1, keepdim=True) / count  # (B, 1)
            evidence = evidence + _share(each.expand(modality.shape), modality)
        return h, evidence

    def fused(self, bags: Bags) -> Tensor:
        """Sum h (R, H) of flat bags, equal to that of `forward` on the padded batch."""
        return self._fuse(self._token_sum(self.table, bags), self._centred_of(bags))[0]

    def kernel_content(self, bags: Bags) -> Tensor:
        """Content (R, G) of flat bags for the kernel layer."""
        assert self.kernel is not None
        layer = self.kernel.layer
        return layer.content(self._token_sum(layer.table.float(), bags), self._centred_of(bags))

    def behaviour(self, bags: Bags) -> Tensor:
        """Behaviour (R, K) of flat bags, as given or predicted by the kernel layer."""
        assert self.kernel is not None
        if bags.behaviour is not None:
            return self.place(bags.behaviour.astype(np.float32))
        return self.kernel.layer(self.kernel_content(bags))

    def _token_sum(self, table: Tensor, bags: Bags) -> Tensor:
        known = bags.keep(bags.ids <= self.known)
        ids, counts = (self.place(array.astype(np.int64)) for array in (known.ids, known.counts))
        return functional.embedding_bag(
            ids,
            table,
            self.place(known.indptr),
            mode="sum",
            per_sample_weights=self._weights(ids, counts),
            include_last_offset=True,
        )  # (R, H)

    def _centred_of(self, bags: Bags) -> list[Tensor]:
        return self._centred([self.place(pooled) for pooled in bags.pooled])

    def embed(self, bags: Bags) -> Tensor:
        """Embeddings (R, D) of flat bags."""
        return safe_normalise(self.raw(bags))

    def raw(self, bags: Bags) -> Tensor:
        """Embeddings (R, D) of flat bags before they are normalised."""
        if self.kernel is not None:
            return self.branches(bags) @ self.axes
        return self.compute.by_shares(self._raw_share, bags)

    def branches(self, bags: Bags) -> Tensor:
        """Unit embeddings of flat bags by the token table and by the kernel (R, 2 D)."""
        return self.compute.by_shares(self._branches_share, bags)

    def _raw_share(self, bags: Bags) -> Tensor:
        """`raw` of this process's share, in the configured precision while training."""
        with self._precision():
            h = self.fused(bags)
            return (h @ self.fixed_projection + self.mlp(h)).float()

    def _branches_share(self, bags: Bags) -> Tensor:
        assert self.kernel is not None
        with self._precision():
            h = self.fused(bags)
            u = safe_normalise(h @ self.fixed_projection + self.mlp(h))
            # What suits the kernel's branch is not what suits the table: it makes both more alike.
            v = self.kernel(h.detach(), self.behaviour(bags))
            return torch.cat([u, v], 1).float()

    def _precision(self) -> AbstractContextManager[object]:
        return self.compute.autocast() if self.training else nullcontext()

    def place(self, array: NDArray[Any]) -> Tensor:
        """An array as a tensor on the device."""
        return torch.from_numpy(array).to(self.compute.device)

    def _weights(self, ids: Tensor, counts: Tensor) -> Tensor:
        return (1 + torch.log(counts.clamp(min=1).to(self.idf.dtype))) * self.idf[ids]

    def _centred(self, pooled: Sequence[Tensor]) -> list[Tensor]:
        """Unit vectors (B, W) around the mean of each space, zero where a streamer has none."""
        found: list[Tensor] = []
        for i, v in enumerate(pooled):
            present = ((v * v).sum(-1, keepdim=True) > 0).to(v.dtype)  # (B, 1)
            found.append(safe_normalise(v - self.get_buffer(f"centre_{i}")) * present)
        return found

    def _fuse(self, token_sum: Tensor, centred: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Sum h (B, H), and the part of each space in it (B, H)."""
        h = safe_normalise(token_sum)
        parts: list[Tensor] = []
        for project, v in zip(self.spaces, centred, strict=True):
            parts.append(self.vector_weight * (v @ project))
            h = h + parts[-1]
        return safe_normalise(h), parts


def _orthonormal(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.float32]:
    """A random matrix with orthonormal columns, or rows when it is wide."""
    q, _ = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    return np.ascontiguousarray(q if rows >= columns else q.T, np.float32)


def _share(amounts: Tensor, modality: Tensor) -> Tensor:
    """Sum amounts (B, L) by modality (B, M)."""
    axis = torch.arange(1, 1 + len(MODALITIES), device=modality.device)
    member = (modality.unsqueeze(-1) == axis).to(amounts.dtype)  # (B, L, M)
    return torch.matmul(amounts.unsqueeze(1), member).squeeze(1)


def _to_weights(evidence: Tensor) -> Tensor:
    """Normalise evidence (B, M) to shares that sum to 1; uniform without evidence."""
    positive = evidence.clamp(min=0)
    total = positive.sum(-1, keepdim=True)
    uniform = torch.full_like(positive, 1 / len(MODALITIES))
    return torch.where(total > 1e-6, positive / total.clamp(min=1e-6), uniform)
