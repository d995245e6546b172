"""Each loss beside a plain loop, on degenerate batches, and with its gradient."""

import math
from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from training.losses.info_nce import info_nce
from training.losses.masked_token import masked_token_prediction
from training.losses.multi_negative import multi_negative_softmax
from training.losses.pseudo_label import pseudo_label
from training.losses.regression import regression
from training.losses.relational_angle import relational_angle
from training.losses.relational_distance import relational_distance
from training.losses.soft_label import soft_label

TAU = 0.2


class Draw:
    """Random tensors in double precision, from a seed."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._generator, dtype=torch.float64)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self._generator, dtype=torch.float64)

    def chosen(self, share: float, *shape: int) -> Tensor:
        return self.uniform(*shape) < share


def exp_sum(scores: Tensor) -> float:
    return sum(math.exp(float(score)) for score in scores)


def info_nce_batch(draw: Draw, n: int) -> tuple[Any, ...]:
    one, other = (normalize(draw.normal(rows, 5), dim=1) for rows in (n, n + 2))
    wanted = draw.uniform(n, n + 2)
    return one @ other.T, wanted * (wanted > 0.6), draw.chosen(0.2, n, n + 2), TAU


def naive_info_nce(cosines: Tensor, wanted: Tensor, excluded: Tensor, tau: float) -> float:
    found = []
    for scores, weights, out in zip(cosines, wanted, excluded, strict=True):
        s, w = scores[~out] / tau, weights[~out].tolist()
        if any(w):
            normaliser = math.log(exp_sum(s))
            found.append(
                -sum(y / sum(w) * (float(x) - normaliser) for x, y in zip(s, w, strict=True))
            )
    return float(np.mean(found)) if found else 0.0


def masked_token_batch(draw: Draw, n: int) -> tuple[Any, ...]:
    """Logits of what was masked and of a sample, how often each is expected in it, and chance."""
    true, sampled = draw.normal(n), draw.normal(n, 2 * n)
    expected = draw.uniform(n).log(), draw.uniform(2 * n).log()
    return true, sampled, *expected, draw.chosen(0.3, n, 2 * n)


def naive_masked_token(true: Tensor, sampled: Tensor, *rest: Tensor) -> float:
    expected_true, expected_sampled, accidental = rest
    total = 0.0
    for row in range(len(true)):
        right = math.exp(float(true[row] - expected_true[row]))
        wrong = exp_sum((sampled[row] - expected_sampled)[~accidental[row]])
        total -= math.log(right / (right + wrong))
    return total / len(true)


def multi_negative_batch(draw: Draw, n: int) -> tuple[Any, ...]:
    return draw.normal(n), draw.normal(n, n + 1), TAU


def naive_multi_negative(positive: Tensor, negatives: Tensor, tau: float) -> float:
    total = 0.0
    for one, others in zip(positive, negatives, strict=True):
        right = math.exp(float(one) / tau)
        total -= math.log(right / (right + exp_sum(others / tau)))
    return total / len(positive)


def pseudo_label_batch(draw: Draw, n: int) -> tuple[Any, ...]:
    return draw.normal(n, 4), (4 * draw.uniform(n)).long()


def naive_pseudo_label(logits: Tensor, labels: Tensor) -> float:
    rows = zip(logits, labels.tolist(), strict=True)
    return float(np.mean([math.log(exp_sum(row)) - float(row[label]) for row, label in rows]))


def regression_batch(draw: Draw, n: int) -> tuple[Any, ...]:
    return draw.normal(n, 3), draw.normal(n, 3), draw.uniform(n)


def naive_regression(predicted: Tensor, target: Tensor, trust: Tensor) -> float:
    total = 0.0
    for one, other, weight in zip(predicted.tolist(), target.tolist(), trust.tolist(), strict=True):
        total += weight * sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) / 3
    return total / len(trust)


def soft_label_batch(draw: Draw, n: int) -> tuple[Any, ...]:
    student, teacher = 3 * draw.normal(2, n, n)
    return student, teacher, draw.chosen(0.2, n, n).fill_diagonal_(True), 4.0


def naive_soft_label(student: Tensor, teacher: Tensor, excluded: Tensor, t: float) -> float:
    rows = []
    for s, y, out in zip(student, teacher, excluded, strict=True):
        a, b = ([math.exp(float(x) / t) / exp_sum(of[~out] / t) for x in of[~out]] for of in (y, s))
        if a:
            rows.append(t * t * sum(p * math.log(p / q) for p, q in zip(a, b, strict=True)))
    return float(np.mean(rows)) if rows else 0.0


def relational_batch(draw: Draw, n: int) -> tuple[Any, ...]:
    return draw.normal(n, 4), 5 * draw.normal(n, 3)


def smooth_l1(difference: float) -> float:
    return difference**2 / 2 if abs(difference) < 1 else abs(difference) - 0.5


def naive_distance(student: Tensor, teacher: Tensor) -> float:
    pairs, relative = list(permutations(range(len(student)), 2)), []
    for x in (student.tolist(), teacher.tolist()):
        distances = [math.dist(x[i], x[j]) for i, j in pairs]
        relative.append([d * len(pairs) / sum(distances) for d in distances])
    return sum(smooth_l1(a - b) for a, b in zip(*relative, strict=True)) / len(pairs)


def naive_angle(student: Tensor, teacher: Tensor) -> float:
    def cosine(x: Tensor, i: int, j: int, k: int) -> float:
        a, b = x[i] - x[j], x[k] - x[j]
        return float(a @ b / a.norm() / b.norm())

    triples = list(permutations(range(len(student)), 3))
    return sum(smooth_l1(cosine(student, *t) - cosine(teacher, *t)) for t in triples) / len(triples)


CASES: dict[str, tuple[Callable[..., Tensor], Callable[..., Any], Callable[..., float]]] = {
    "info_nce": (info_nce, info_nce_batch, naive_info_nce),
    "masked_token": (masked_token_prediction, masked_token_batch, naive_masked_token),
    "multi_negative": (multi_negative_softmax, multi_negative_batch, naive_multi_negative),
    "pseudo_label": (pseudo_label, pseudo_label_batch, naive_pseudo_label),
    "regression": (regression, regression_batch, naive_regression),
    "soft_label": (soft_label, soft_label_batch, naive_soft_label),
    "distance": (relational_distance, relational_batch, naive_distance),
    "angle": (relational_angle, relational_batch, naive_angle),
}
EXCLUDING = {"info_nce": 2, "masked_token": 4, "soft_label": 2}
"""Losses that leave pairs out, and the place of the argument that names them."""


def gradient(loss: Callable[..., Tensor], predicted: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    """The loss, and its gradient by what was predicted."""
    predicted = predicted.clone().requires_grad_()
    value = loss(predicted, *rest)
    value.backward()
    assert predicted.grad is not None
    return value.detach(), predicted.grad


@pytest.mark.parametrize("n", [3, 7])
@pytest.mark.parametrize("name", CASES)
def test_it_equals_a_plain_loop(name: str, n: int) -> None:
    loss, batch, naive = CASES[name]
    parts = batch(Draw(n), n)
    assert float(loss(*parts)) == pytest.approx(naive(*parts), rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_a_small_step_against_the_gradient_helps_and_the_type_is_kept(name: str) -> None:
    loss, batch, _ = CASES[name]
    parts = batch(Draw(5), 6)
    before, slope = gradient(loss, *parts)
    assert float(loss(parts[0] - 1e-3 * slope, *parts[1:])) < float(before)
    single = [p.float() if isinstance(p, Tensor) and p.is_floating_point() else p for p in parts]
    assert loss(*single).dtype == torch.float32


@pytest.mark.parametrize("name", CASES)
def test_of_an_empty_batch_it_is_zero_with_a_gradient(name: str) -> None:
    loss, batch, _ = CASES[name]
    empty = [p[:0] if isinstance(p, Tensor) and len(p) == 4 else p for p in batch(Draw(0), 4)]
    if name in ("info_nce", "soft_label"):
        empty[:3] = [torch.zeros(0, 0), torch.zeros(0, 0), torch.zeros(0, 0).bool()]
    value, _ = gradient(loss, *empty)
    assert value == 0


@pytest.mark.parametrize("name", EXCLUDING)
def test_what_is_excluded_has_no_influence(name: str) -> None:
    loss, batch, _ = CASES[name]
    parts = list(batch(Draw(8), 8))
    excluded, before = parts[EXCLUDING[name]], loss(*parts)
    place = 1 if name == "masked_token" else 0
    parts[place] = parts[place].masked_fill(excluded, 0.9)
    torch.testing.assert_close(loss(*parts), before)
    if name != "masked_token":
        parts[2] = torch.ones_like(excluded)
        value, slope = gradient(loss, *parts)
        assert value == 0
        assert not slope.any()


def test_info_nce_without_positives_or_negatives_is_finite() -> None:
    cosines = torch.linspace(-1, 1, 12).reshape(3, 4)
    for wanted in (torch.zeros(3, 4), torch.ones(3, 4)):
        value, slope = gradient(info_nce, cosines, wanted, torch.zeros(3, 4).bool(), TAU)
        assert torch.isfinite(value)
        assert torch.isfinite(slope).all()
        assert bool(value) == bool(wanted.any())


def test_masked_tokens_estimate_the_softmax_over_the_whole_vocabulary() -> None:
    logits, others = Draw(0).normal(5), torch.arange(5) != 2
    zero = torch.zeros(5).double()
    loss = masked_token_prediction(logits[2:3], logits[None], zero[:1], zero, ~others[None])
    assert float(loss) == pytest.approx(-float(logits.log_softmax(0)[2]))


def test_an_untrusted_target_has_no_gradient() -> None:
    trust = torch.tensor([1.0, 0.0])
    _, slope = gradient(regression, torch.zeros(2, 3), torch.ones(2, 3), trust)
    assert slope.any(1).tolist() == [True, False]


def test_the_gradient_of_soft_labels_keeps_its_size_when_the_temperature_is_high() -> None:
    parts = soft_label_batch(Draw(6), 6)[:3]
    one, other = (float(gradient(soft_label, *parts, t)[1].norm()) for t in (50.0, 100.0))
    assert one == pytest.approx(other, rel=0.1)


@pytest.mark.parametrize("loss", [relational_distance, relational_angle])
def test_only_relations_count_and_equal_rows_have_a_finite_gradient(loss: Callable[..., Tensor]):
    """Moved, scaled and turned, the same constellation has no loss."""
    student, teacher = relational_batch(Draw(6), 6)
    turn = torch.linalg.qr(Draw(0).normal(3, 3))[0]
    assert float(loss(3 * teacher @ turn + 2, teacher)) == pytest.approx(0, abs=1e-9)
    assert loss(student, teacher) > 0.001
    for equal in (2, 6):
        student[:equal] = student[0].clone()
        assert torch.isfinite(gradient(loss, student, teacher)[1]).all()
    assert gradient(loss, student[:1], teacher[:1])[0] == 0
