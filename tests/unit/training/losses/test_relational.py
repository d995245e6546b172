"""Both relational losses, which share what may go wrong."""

import math
from collections.abc import Callable
from itertools import permutations

import pytest
import torch

from training.losses.relational_angle import relational_angle
from training.losses.relational_distance import relational_distance

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
LOSSES: list[Loss] = [relational_distance, relational_angle]


def smooth_l1(difference: float) -> float:
    return difference**2 / 2 if abs(difference) < 1 else abs(difference) - 0.5


def naive_distance(student: torch.Tensor, teacher: torch.Tensor) -> float:
    pairs = list(permutations(range(len(student)), 2))
    relative = []
    for x in (student.tolist(), teacher.tolist()):
        distances = [math.dist(x[i], x[j]) for i, j in pairs]
        mean = sum(distances) / len(pairs)
        relative.append([d / mean for d in distances])
    return sum(smooth_l1(a - b) for a, b in zip(*relative, strict=True)) / len(pairs)


def naive_angle(student: torch.Tensor, teacher: torch.Tensor) -> float:
    triples = list(permutations(range(len(student)), 3))
    total = 0.0
    for i, j, k in triples:
        cosines = []
        for x in (student.tolist(), teacher.tolist()):
            a = [p - q for p, q in zip(x[i], x[j], strict=True)]
            b = [p - q for p, q in zip(x[k], x[j], strict=True)]
            dot = sum(p * q for p, q in zip(a, b, strict=True))
            cosines.append(dot / math.hypot(*a) / math.hypot(*b))
        total += smooth_l1(cosines[0] - cosines[1])
    return total / len(triples)


def batch(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    student = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return student, 5 * torch.randn(n, 3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("n", [2, 3, 7])
def test_distance_equals_the_double_loop(n: int):
    assert float(relational_distance(*batch(n))) == pytest.approx(naive_distance(*batch(n)))


@pytest.mark.parametrize("n", [3, 7])
def test_angle_equals_the_triple_loop(n: int):
    assert float(relational_angle(*batch(n))) == pytest.approx(naive_angle(*batch(n)))


@pytest.mark.parametrize("loss", LOSSES)
def test_only_the_relations_count(loss: Loss):
    """Moved, scaled and turned, the same constellation has no loss."""
    _, teacher = batch(6)
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))[0]
    assert float(loss(3 * teacher @ turn + 2, teacher)) == pytest.approx(0, abs=1e-9)
    assert loss(batch(6)[0], teacher) > 0.001


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n", [0, 1])
def test_too_few_rows_are_zero_with_a_gradient(loss: Loss, n: int):
    student = torch.ones(n, 4, requires_grad=True)
    value = loss(student, torch.ones(n, 3))
    value.backward()
    assert value.item() == 0


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("equal", ["two rows", "all rows"])
def test_equal_rows_have_a_finite_gradient(loss: Loss, equal: str):
    student, teacher = batch(5)
    student[: 2 if equal == "two rows" else 5] = student[0].clone()
    student.requires_grad_()
    loss(student, teacher).backward()
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_keeps_the_type(loss: Loss):
    student, teacher = batch(4)
    assert loss(student.float(), teacher.float()).dtype == torch.float32
