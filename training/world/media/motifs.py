"""Building blocks of pictures: textures, shapes and layouts."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[Any]  # float32, as given
_Places = list[tuple[float, float]]


def _sharp(wave: _Array) -> _Array:
    """Map [-1, 1] to [0, 1] with steep, smooth edges."""
    return np.clip(wave * 3, -1, 1) * np.float32(0.5) + np.float32(0.5)


def _sine(u: _Array) -> _Array:
    return np.sin(u * np.float32(2 * np.pi))


def _triangle(u: _Array) -> _Array:
    return np.abs(u % 1 - np.float32(0.5)) * 4 - 1


def _bricks(u: _Array, v: _Array) -> _Array:
    row = np.floor(v)
    across = (u / 2 + row * np.float32(0.5)) % 1
    joint = (across < 0.1) | (v - row < 0.16)
    return np.where(joint, np.float32(0), np.float32(1))


def _scales(u: _Array, v: _Array) -> _Array:
    shifted = u + np.floor(v) * np.float32(0.5)
    return np.hypot(shifted % 1 - np.float32(0.5), v % 1)


TEXTURES: tuple[Callable[[_Array, _Array], _Array], ...] = (
    lambda u, v: _sharp(_sine(u)),  # stripes
    lambda u, v: _sharp(_sine(u / 2) * _sine(v / 2)),  # a chessboard
    lambda u, v: _sharp(_sine(u) + _sine(v) - 1),  # dots
    lambda u, v: _sharp(_sine(u + _sine(v / 2) / 3)),  # waves
    lambda u, v: _sharp(_sine(u + _triangle(v / 2) / 2)),  # zigzag
    _bricks,
    lambda u, v: _sharp(_sine(np.hypot(u - 2, v - 1))),  # rings
    lambda u, v: _sharp(np.maximum(_sine(u), _sine(v)) - np.float32(0.6)),  # a lattice
    lambda u, v: (_sine(u / 3 + _sine(v / 5)) + _sine(v / 3) + 2) / 4,  # clouds
    _scales,
    lambda u, v: _sharp(_sine(np.arctan2(v - 2, u - 2) * np.float32(1.9))),  # rays
    lambda u, v: np.full_like(u, 0.5),  # plain
)
"""Functions from coordinates, one unit per repeat, to values in [0, 1] of equal shape."""


def _round(radius: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float64]:
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return radius(turn)[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)


def _corners(*radii: float, count: int) -> NDArray[np.float64]:
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False) - np.pi / 2
    return np.resize(radii, count)[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)


def _points(*flat: float) -> NDArray[np.float64]:
    return np.array(flat, np.float64).reshape(-1, 2)


def _heart() -> NDArray[np.float64]:
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    down = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, -down], 1) / 16


def _crescent() -> NDArray[np.float64]:
    t = np.linspace(-2.2, 2.2, 24)
    outer = np.stack([np.cos(t), np.sin(t)], 1)
    return np.concatenate([outer, outer[::-1] * (0.45, 0.8) - (0.32, 0)])


SHAPES: tuple[NDArray[np.float64], ...] = (
    _round(np.ones_like),
    _corners(1.2, count=4),
    _corners(1.2, count=3),
    _corners(1.3, 0.55, count=10),  # a star
    _corners(1.15, 0.45, 1.15, count=12),  # a cross
    _corners(1.0, count=6),
    _heart(),
    _crescent(),
    _points(-1.1, -0.3, 0.1, -0.3, 0.1, -0.9, 1.1, 0, 0.1, 0.9, 0.1, 0.3, -1.1, 0.3),  # an arrow
    _points(-1.3, -0.35, 1.3, -0.35, 1.3, 0.35, -1.3, 0.35),  # a beam
    _round(lambda t: 0.75 + 0.35 * np.cos(5 * t)),  # a blossom
    _points(0.2, -1.3, -0.7, 0.2, -0.1, 0.2, -0.4, 1.3, 0.7, -0.3, 0.1, -0.3, 0.6, -1.3),  # a bolt
)
"""Outlines (P, 2) with a radius of about 1."""


def _row(rng: np.random.Generator, count: int) -> _Places:
    y = rng.uniform(0.35, 0.65)
    return [((i + 0.5) / count, y) for i in range(count)]


def _column(rng: np.random.Generator, count: int) -> _Places:
    x = rng.uniform(0.3, 0.7)
    return [(x, (i + 0.5) / count) for i in range(count)]


def _diagonal(rng: np.random.Generator, count: int) -> _Places:
    down = rng.random() < 0.5
    steps = [(i + 0.5) / count for i in range(count)]
    return [(s, s if down else 1 - s) for s in steps]


def _wheel(rng: np.random.Generator, count: int) -> _Places:
    turns = 2 * np.pi * (np.arange(count) / count + rng.random())
    return [(0.5 + 0.3 * np.cos(t), 0.5 + 0.3 * np.sin(t)) for t in turns.tolist()]


def _scatter(rng: np.random.Generator, count: int) -> _Places:
    return [(x, y) for x, y in rng.uniform(0.1, 0.9, (count, 2)).tolist()]


def _heap(rng: np.random.Generator, count: int) -> _Places:
    return [(x, y) for x, y in rng.normal(0.5, 0.12, (count, 2)).tolist()]


LAYOUTS: tuple[Callable[[np.random.Generator, int], _Places], ...] = (
    _heap,
    _row,
    _column,
    _diagonal,
    _wheel,
    _scatter,
)
"""Functions from a number of shapes to places in [0, 1] x [0, 1]."""
