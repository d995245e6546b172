"""`ptum`: masked and next behaviour prediction with videos and lives as behaviours (PTUM, Wu 2020).

Masked behaviour prediction (MBP): a random behaviour is retrieved by the embedding of the rest.
Next behaviours prediction (NBP): each of the last K is retrieved by the embedding of the earlier
ones. The candidates include behaviours of other streamers, and both losses are added. Behaviours
are embedded by the encoder itself, as profiles of their own. Names are left out.

In time order, undated behaviours come first, in listed order, videos before lives.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from model_export.contract.pieces import Piece
from training.config import PtumConfig
from training.data.passes import subset
from training.errors import DataError
from training.features.bags import Bags
from training.losses.multi_negative import multi_negative_softmax
from training.models.grad_cache import embed_in_chunks
from training.preparation.stage import Stage, sample
from training.tasks.atom_views import MOST_CUT, Parts, SelfSupervised
from training.tasks.base import step_generator

_BEHAVIOUR = re.compile(r"(videos|lives)\[(\d+)\]")


class Ptum(SelfSupervised[PtumConfig]):
    """Masked and next behaviour prediction over videos and lives."""

    def __init__(
        self, stage: Stage, config: PtumConfig, held_out: NDArray[np.int64] | None
    ) -> None:
        """Collect streamers with more than K behaviours; arguments like `SelfSupervised`.

        Raises:
            DataError: fewer than two streamers have more than K videos or lives.
        """
        super().__init__(stage, config, held_out)
        some = sample(stage.known, MOST_CUT, stage.seed)
        self._parts = Parts(map(time_order, subset(stage.pieces, some)), stage.vocabulary)
        # Places of the behaviours with content; place 0 is everything else.
        self._behaviours = [1 + np.flatnonzero(usable[1:]) for usable in self._parts.usable]
        enough = [len(each) > config.next for each in self._behaviours]
        self._streamers = np.flatnonzero(enough)
        if len(self._streamers) < 2:
            raise DataError(
                f"{stage.dataset.folder} has {len(self._streamers)} training streamers with "
                f"{config.next + 1} or more videos and lives with content, ptum needs two; "
                "use another recipe, or --set next=1"
            )

    def losses(self, step: int) -> dict[str, Tensor]:
        """`masked_loss` and `next_loss`."""
        config, rng = self._config, step_generator(self._stage.seed, step)
        count = min(config.batch_size // 2, len(self._streamers))
        drawn = rng.choice(self._streamers, count, replace=False)
        masked = [[int(rng.choice(self._behaviours[s]))] for s in drawn]
        following = [self._behaviours[s][-config.next :].tolist() for s in drawn]
        return {
            "masked_loss": self._prediction(drawn, masked, rng),
            "next_loss": self._prediction(drawn, following, rng),
        }

    def _prediction(
        self, streamers: NDArray[np.int64], hidden: list[list[int]], rng: np.random.Generator
    ) -> Tensor:
        """Loss of retrieving the hidden behaviours (B, K) of each streamer by the rest."""
        rest = [
            [0, *np.setdiff1d(self._behaviours[s], places).tolist()]
            for s, places in zip(streamers, hidden, strict=True)
        ]
        context = self._embed(self._parts.together(streamers, rest))  # (B, D)
        each = np.array(hidden)  # (B, K)
        count, ahead = each.shape
        single = [[place] for place in each.T.ravel().tolist()]
        behaviours = self._embed(self._parts.together(np.tile(streamers, ahead), single))
        behaviours = behaviours.reshape(ahead, count, -1)  # (K, B, D)
        scores = context @ behaviours.transpose(1, 2)  # (K, B, B): streamer i, behaviour of j
        own = np.arange(count)
        wrong = others(count, self._config.negatives, (ahead, count), rng)  # (K, B, N)
        place = np.arange(ahead)[:, None]
        positive = scores[place, own, own]  # (K, B)
        negatives = scores[place[..., None], own[:, None], wrong]  # (K, B, N)
        return multi_negative_softmax(
            positive.flatten(), negatives.flatten(0, 1), self._config.temperature
        )

    def _embed(self, bags: Bags) -> Tensor:
        return embed_in_chunks(self.encoder.embed, bags, self._config.chunk_size)


def others(
    count: int, most: int, shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Random distinct others of each of `count` places (the last axis of the shape).

    Returns:
        int64 (*shape, N), N = `most`, or all others if there are fewer.
    """
    distance = 1 + rng.random((*shape, count - 1)).argsort(-1)[..., :most]
    return (np.arange(count)[:, None] + distance) % count


def time_order(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Pieces that are no behaviours, then the distinct behaviours from oldest to newest."""
    rest: list[Piece] = []
    found: dict[tuple[float, bool, int], list[Piece]] = {}
    for piece in pieces:
        match = _BEHAVIOUR.match(piece.source)
        if match:
            time_s = float("-inf") if piece.time_s is None else piece.time_s
            key = (time_s, match[1] == "lives", int(match[2]))
            found.setdefault(key, []).append(piece)
        elif piece.modality != "name":
            rest.append(piece)
    distinct = {
        tuple(sorted(piece.content_hash for piece in found[key])): found[key]
        for key in sorted(found)
    }
    return [rest, *distinct.values()]
