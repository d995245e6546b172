"""Start of a fit from the encoder of an earlier checkpoint, as in daily retraining.

The vocabulary changes from day to day. Tokens that both know keep their rows of the token table.
The start of a new token, its row of today's SVD, is mapped to the earlier table by the linear map
that fits the shared tokens best. Statistics of the data (document frequencies, means, the kernel
layer) are those of today; the axes of behaviour, which a decomposition turns arbitrarily, are
turned to the earlier ones (orthogonal Procrustes, Schönemann 1966).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_export.contract.vocabulary import Vocabulary
from training.config import RecipeConfig, as_dict
from training.data import Dataset
from training.data.passes import subset
from training.errors import LeakError, UsageError
from training.features.bags import corpus_bags
from training.inference.load import encoder_of
from training.models.checkpoint import MODEL, Checkpoint
from training.models.kernel_layer import KernelShape
from training.preparation.leaks import check_learned
from training.preparation.stage import Stage, all_rows, sample
from training.tasks.base import Task

_WIDTHS = ("dim", "table_dim", "hidden_dim")
_OF_TODAY = ("idf", "centre_", "content.", "kernel.layer.", "axes", "id_head.", "id_scale")
"""Beginnings of the names of tensors that are computed from the data, or fixed."""
_RIDGE = 0.1
"""Penalty of the map, relative to the mean square of a component of the shared rows."""
_ALIGNED = 20_000
"""Most streamers by which the axes of behaviour are turned."""


@dataclass(frozen=True, eq=False)
class Start:
    """An earlier checkpoint to start from.

    Attributes:
        folder: of the checkpoint.
        checkpoint: its content.
        digest: SHA-256 of its tensors.
    """

    folder: Path
    checkpoint: Checkpoint
    digest: str

    @classmethod
    def load(cls, folder: Path) -> "Start":
        """Load a checkpoint.

        Raises:
            CheckpointError: the folder is not a finished checkpoint.
        """
        checkpoint = Checkpoint.load(folder)
        return cls(folder, checkpoint, hashlib.sha256((folder / MODEL).read_bytes()).hexdigest())

    def description(self) -> dict[str, Any]:
        """Identity, for the description of a fit."""
        return {"recipe": self.checkpoint.config["recipe"], "model_digest": self.digest}

    def check(self, out: Path, config: RecipeConfig, dataset: Dataset) -> None:
        """Check that a fit may start from it.

        Args:
            out: checkpoint folder of the fit.
            config: of the fit.
            dataset: of the fit.

        Raises:
            LeakError: it has learned from streamers of val or test.
            UsageError: it would be overwritten, its encoder has other widths, or only one of both
                has a kernel branch.
        """
        folder, checkpoint = self.folder, self.checkpoint
        if out.resolve() == folder.resolve():
            raise UsageError(f"{folder}: is --out as well; choose another --out")
        given, wanted = checkpoint.config["config"], as_dict(config)
        for name in _WIDTHS:
            if given[name] != wanted[name]:
                raise UsageError(
                    f"{folder}: its {name} is {given[name]}, that of this fit is "
                    f"{wanted[name]}; fit with --set {name}={given[name]}"
                )
        has_kernel = KernelShape.of(checkpoint.tensors) is not None
        if has_kernel != bool(wanted.get("kernel_landmarks")):
            raise UsageError(
                f"{folder}: its recipe is {checkpoint.config['recipe']}, and only one of both "
                "fits has a kernel branch; choose the same --recipe and kernel_landmarks"
            )
        try:
            check_learned(checkpoint.learned_from, dataset, dataset.rows("val", "test"))
        except LeakError as error:
            raise LeakError(
                f"{folder}: {error}; fit that checkpoint with --set refit=false on the "
                "same splits, or hold out streamers that are new since then"
            ) from None

    @torch.no_grad()
    def carry_over(self, task: Task, stage: Stage) -> None:
        """Put the earlier weights into the encoder of a task.

        The ID head, whose space may be another one today, is solved for anew. Adam starts anew.

        Args:
            task: untrained; what it computed from the content, such as its positives, stays.
            stage: of the task.

        Raises:
            UsageError: the encoders differ in other tensors, or no token is shared.
        """
        old, new = self.checkpoint.tensors, stage.encoder.state_dict()
        carried = {n: old.get(n) for n in new if not n.startswith((*_OF_TODAY, "spaces."))}
        carried["table"] = torch.from_numpy(self._table(stage))
        carried |= self._spaces(stage.vocabulary)
        if stage.encoder.kernel is not None:
            turn = torch.from_numpy(self._turn(stage))  # (K, K'), today's axes -> the earlier ones
            first, width = old["kernel.mlp.0.weight"], stage.encoder.table.shape[1]
            behaviour = first[:, width:] @ turn.T
            carried["kernel.mlp.0.weight"] = torch.cat([first[:, :width], behaviour], 1)
            carried["kernel.projection"] = turn @ old["kernel.projection"]
        for name, value in carried.items():
            if value is None or value.shape != new[name].shape:
                raise UsageError(
                    f"{self.folder}: its encoder has another {name}; fit the earlier "
                    "checkpoint again with this release and these settings"
                )
        stage.encoder.load_state_dict(carried, strict=False)
        task.encoder_replaced()

    def _table(self, stage: Stage) -> NDArray[np.float32]:
        """Token table in the earlier space (1 + V, H)."""
        start = stage.encoder.table.detach().cpu().numpy()  # (1 + V, H), of today's SVD
        earlier = self.checkpoint.tensors["table"].numpy()
        then, now = shared_tokens(self.checkpoint.vocabulary, stage.vocabulary)
        if not len(now):
            raise UsageError(
                f"{self.folder}: no token of its vocabulary is known in "
                f"{stage.dataset.folder}; start without it"
            )
        table = start @ linear_map(start[now], earlier[then])
        table[now] = earlier[then]
        return table

    def _spaces(self, vocabulary: Vocabulary) -> dict[str, torch.Tensor]:
        """Projections of the vector spaces that both read; others start as usual."""
        place = {space: i for i, space in enumerate(self.checkpoint.vocabulary.spaces)}
        return {
            f"spaces.{i}": self.checkpoint.tensors[f"spaces.{place[space]}"]
            for i, space in enumerate(vocabulary.spaces)
            if space in place
        }

    def _turn(self, stage: Stage) -> NDArray[np.float32]:
        """Rotation of today's predicted behaviour (K) to the earlier one (K')."""
        encoder = encoder_of(self.checkpoint)
        rows = sample(stage.known[stage.usable[stage.known]], _ALIGNED, stage.seed)
        bags, usable = corpus_bags(subset(stage.pieces, rows), self.checkpoint.vocabulary)
        then = all_rows(encoder, encoder.behaviour, bags, usable)  # (R, K')
        now = all_rows(stage.encoder, stage.encoder.behaviour, stage.bags, stage.usable, rows)
        left, _, right = np.linalg.svd(now.T @ then, full_matrices=False)
        return np.ascontiguousarray(left @ right, np.float32)


def linear_map(start: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float32]:
    """Map (H, H') of rows (R, H) to rows (R, H') by ridge regression."""
    x = start.astype(np.float64)
    moments = x.T @ x
    penalty = _RIDGE * max(float(np.trace(moments)) / len(moments), 1e-12)
    moments.flat[:: len(moments) + 1] += penalty
    return np.linalg.solve(moments, x.T @ target.astype(np.float64)).astype(np.float32)


def shared_tokens(then: Vocabulary, now: Vocabulary) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids of the tokens that two vocabularies share, in each of them."""
    earlier = {token: i for i, token in enumerate(then.tokens, 1)}
    pairs = [(earlier[t], i) for i, t in enumerate(now.tokens, 1) if t in earlier]
    return tuple(np.array(pairs, np.int64).reshape(-1, 2).T)  # pyright: ignore[reportReturnType]
