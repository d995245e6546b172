"""The contrasts of pairs, a batch for them, and their formula written out as a double loop."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize

from training.losses.debiased import debiased
from training.losses.decoupled import decoupled
from training.losses.entmax import entmax
from training.losses.info_nce import info_nce
from training.losses.siglip import siglip

Contrast = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Cosines, wanted, excluded -> loss."""

TAU = 0.2
SCALE, BIAS = torch.tensor(10.0), torch.tensor(-4.0)
CONTRASTS: dict[str, Contrast] = {
    "info_nce": lambda *pairs: info_nce(*pairs, TAU),
    "decoupled": lambda *pairs: decoupled(*pairs, TAU),
    "debiased": lambda *pairs: debiased(*pairs, TAU, 0.1),
    "entmax": lambda *pairs: entmax(*pairs, TAU),
    "siglip": lambda *pairs: siglip(*pairs, SCALE, BIAS),
}


def batch(rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random cosines, sparse weights and exclusions, (rows, columns) each, in double precision."""
    generator = torch.Generator().manual_seed(rows)
    one, other = (
        normalize(torch.randn(n, 5, generator=generator, dtype=torch.float64), dim=1)
        for n in (rows, columns)
    )
    wanted = torch.rand(rows, columns, generator=generator, dtype=torch.float64)
    wanted[wanted < 0.6] = 0
    excluded = torch.rand(rows, columns, generator=generator) < 0.2
    return one @ other.T, wanted, excluded


def double_loop(
    row: Callable[[list[float], list[float]], float | None],
    cosines: Tensor,
    wanted: Tensor,
    excluded: Tensor,
) -> float:
    """Mean of `row(cosines, weights)` over rows with a positive; None leaves a row out."""
    found = []
    for s, weights, out in zip(cosines, wanted, excluded, strict=True):
        allowed = [j for j in range(len(s)) if not out[j]]
        if any(weights[j] > 0 for j in allowed):
            found.append(row([float(s[j]) for j in allowed], [float(weights[j]) for j in allowed]))
    values = [value for value in found if value is not None]
    return sum(values) / len(values) if values else 0.0
