"""`ptum`: masked and next behaviour prediction with videos and lives as behaviours (PTUM, Wu 2020).

Masked behaviour prediction (MBP): a random behaviour is retrieved by the embedding of the rest.
Next behaviours prediction (NBP): each of the last K is retrieved by the embedding of those with an
earlier date, and of nothing else: what has no date, such as the bio, may be younger. The candidates
include behaviours of other streamers, and both losses are added. Without dates there is no NBP.

Deviations from the paper: the encoder has no positions, and embeds behaviours as profiles of their
own. MBP also reads the rest of the profile, without the name. Negatives are behaviours of the same
batch, at the same place of the sequence for NBP, and never those of a known near-duplicate. A
repeated behaviour counts once, at its first date.
"""

import re
from collections.abc import Iterator, Sequence

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
        self._groups = stage.dataset.groups[some]
        times: list[NDArray[np.float64]] = []  # of all parts, -inf without a date

        def parts() -> Iterator[list[list[Piece]]]:
            for pieces in subset(stage.pieces, some):
                found = time_order(pieces)
                times.append(np.array([-np.inf, *(_time_s(part[0]) for part in found[1:])]))
                yield found

        self._parts = Parts(parts(), stage.vocabulary)
        # Places of the behaviours with content; place 0 is everything else.
        self._behaviours = [1 + np.flatnonzero(usable[1:]) for usable in self._parts.usable]
        self._earlier = [
            _before_last(places, time[places], config.next)
            for places, time in zip(self._behaviours, times, strict=True)
        ]
        self._streamers = np.flatnonzero([len(each) > config.next for each in self._behaviours])
        self._dated = np.flatnonzero([len(each) > 0 for each in self._earlier])
        if len(self._streamers) < 2:
            raise DataError(
                f"{stage.dataset.folder} has {len(self._streamers)} training streamers with "
                f"{config.next + 1} or more videos and lives with content, ptum needs two; "
                "use another recipe, or --set next=1"
            )

    def losses(self, step: int) -> dict[str, Tensor]:
        """`masked_loss`, and `next_loss` if two or more streamers have dates."""
        rng = step_generator(self._stage.seed, step)
        drawn = self._draw(self._streamers, rng)
        masked = [[int(rng.choice(self._behaviours[s]))] for s in drawn]
        rest = [
            [0, *np.setdiff1d(self._behaviours[s], places).tolist()]
            for s, places in zip(drawn, masked, strict=True)
        ]
        losses = {"masked_loss": self._prediction(drawn, rest, masked, rng)}
        if len(self._dated) > 1:
            drawn = self._draw(self._dated, rng)
            earlier = [self._earlier[s].tolist() for s in drawn]
            following = [self._behaviours[s][-self._config.next :].tolist() for s in drawn]
            losses["next_loss"] = self._prediction(drawn, earlier, following, rng)
        return losses

    def _draw(self, streamers: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw streamers of a batch (B,), one of each group of known near-duplicates."""
        count = min(self._config.batch_size // 2, len(streamers))
        drawn = rng.choice(streamers, count, replace=False)
        _, first = np.unique(self._groups[drawn], return_index=True)
        return drawn[np.sort(first)]

    def _prediction(
        self,
        streamers: NDArray[np.int64],
        shown: list[list[int]],
        hidden: list[list[int]],
        rng: np.random.Generator,
    ) -> Tensor:
        """Loss of retrieving the hidden behaviours (B, K) of each streamer by the shown parts."""
        context = self._embed(self._parts.together(streamers, shown))  # (B, D)
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
    """Pieces that are no behaviours, then the distinct behaviours from oldest to newest.

    Undated ones come first, in listed order, videos before lives.
    """
    rest: list[Piece] = []
    found: dict[tuple[float, bool, int], list[Piece]] = {}
    for piece in pieces:
        match = _BEHAVIOUR.match(piece.source)
        if match:
            key = (_time_s(piece), match[1] == "lives", int(match[2]))
            found.setdefault(key, []).append(piece)
        elif piece.modality != "name":
            rest.append(piece)
    distinct: dict[tuple[str, ...], list[Piece]] = {}
    for key in sorted(found):
        content = tuple(sorted(piece.content_hash for piece in found[key]))
        distinct.setdefault(content, found[key])
    return [rest, *distinct.values()]


def _time_s(piece: Piece) -> float:
    return float("-inf") if piece.time_s is None else piece.time_s


def _before_last(
    places: NDArray[np.int64], times: NDArray[np.float64], last: int
) -> NDArray[np.int64]:
    """Dated places before the first of the last ones; empty if these have no dates.

    Args:
        places: of behaviours (P,), by time.
        times: of these (P,), -inf without a date.
        last: number of the last ones.
    """
    if len(places) <= last:
        return places[:0]
    return places[np.isfinite(times) & (times < times[-last])]
