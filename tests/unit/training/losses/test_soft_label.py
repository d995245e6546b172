import math

import pytest
import torch

from training.losses.soft_label import soft_label


def naive(student: torch.Tensor, teacher: torch.Tensor, excluded: torch.Tensor, t: float) -> float:
    rows = []
    for i in range(len(student)):
        allowed = [j for j in range(len(student)) if not excluded[i, j]]
        if not allowed:
            continue
        p, q = (
            [
                math.exp(float(s[i, j]) / t) / sum(math.exp(float(s[i, k]) / t) for k in allowed)
                for j in allowed
            ]
            for s in (teacher, student)
        )
        rows.append(t * t * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))
    return sum(rows) / len(rows) if rows else 0.0


def batch(n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    student, teacher = 3 * torch.randn(2, n, n, generator=generator, dtype=torch.float64)
    excluded = torch.rand(n, n, generator=generator) < 0.2
    excluded.fill_diagonal_(True)
    return student, teacher, excluded


@pytest.mark.parametrize("n", [2, 3, 9])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_equals_the_double_loop(n: int, temperature: float):
    expected = naive(*batch(n), temperature)
    assert float(soft_label(*batch(n), temperature)) == pytest.approx(expected)


def test_is_zero_for_equal_distributions_and_positive_else():
    student, teacher, excluded = batch(6)
    assert float(soft_label(teacher + 7, teacher, excluded, 4.0)) == pytest.approx(0, abs=1e-9)
    assert soft_label(student, teacher, excluded, 4.0) > 0


def test_the_gradient_keeps_its_size_when_the_temperature_is_high():
    sizes = []
    for temperature in (50.0, 100.0):
        student, teacher, excluded = batch(6)
        student.requires_grad_()
        soft_label(student, teacher, excluded, temperature).backward()
        assert student.grad is not None
        sizes.append(float(student.grad.norm()))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


def test_a_batch_without_pairs_is_zero_with_a_finite_gradient():
    student, teacher, excluded = batch(3)
    student.requires_grad_()
    loss = soft_label(student, teacher, torch.ones_like(excluded), 4.0)
    loss.backward()
    assert loss.item() == 0
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_excluded_pairs_have_no_influence():
    student, teacher, excluded = batch(5)
    excluded[0, 4] = True
    changed = student.clone()
    changed[0, 4] = 100
    one = soft_label(student, teacher, excluded, 4.0)
    assert float(soft_label(changed, teacher, excluded, 4.0)) == pytest.approx(float(one))


def test_keeps_the_type():
    student, teacher, excluded = batch(4)
    assert soft_label(student.float(), teacher.float(), excluded, 4.0).dtype == torch.float32
