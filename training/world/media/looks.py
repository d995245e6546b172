"""Hierarchical parameters of generated pictures: domain, topic, interest, person.

Each level varies the look of its parent, and each picture adds random content. No single feature
identifies a topic: hues of a domain are similar, shapes recur in other domains, and people deviate.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.world.media.motifs import LAYOUTS, SHAPES, TEXTURES

SIZES = ((128, 128), (144, 96), (144, 112), (104, 136))
"""Sizes of covers in pixels, one per person."""


@dataclass(frozen=True)
class Look:
    """Picture parameters of a domain, topic, interest or person.

    Attributes:
        hue, accent: of the ground and of the shapes, in turns.
        saturation, value: of the ground, 0 to 1.
        texture: place in `TEXTURES`.
        waves: of the texture, across the picture.
        angle: of the texture, radians.
        contrast: of the texture, 0 to 1.
        shape: place in `SHAPES`.
        layout: place in `LAYOUTS`.
        count: of shapes.
        size: of shapes, a share of the smaller side.
        bars: lines that look like text.
        bars_top: whether they stand above.
        noise: standard deviation, grey levels.
        pixels: width and height.
    """

    hue: float
    accent: float
    saturation: float
    value: float
    texture: int
    waves: float
    angle: float
    contrast: float
    shape: int
    layout: int
    count: int
    size: float
    bars: int
    bars_top: bool
    noise: float
    pixels: tuple[int, int]


def topic_looks(rng: random.Random, topics: list[str]) -> list[Look]:
    """Look per topic (`domain/topic`); topics of a domain are contiguous."""
    domains = list(dict.fromkeys(topic.split("/")[0] for topic in topics))
    turn = rng.random()
    hues = [turn + i / len(domains) for i in range(len(domains))]
    rng.shuffle(hues)
    found = []
    for domain, hue in zip(domains, hues, strict=True):
        members = [topic for topic in topics if topic.split("/")[0] == domain]
        value, saturation = rng.uniform(0.35, 0.85), rng.uniform(0.35, 0.75)
        textures, shapes = _dealt(rng, TEXTURES, members), _dealt(rng, SHAPES, members)
        for texture, shape in zip(textures, shapes, strict=True):
            look = Look(
                hue=hue + rng.gauss(0, 0.035),
                accent=rng.random(),
                saturation=saturation + rng.gauss(0, 0.08),
                value=value + rng.gauss(0, 0.08),
                texture=texture,
                waves=rng.uniform(3, 9),
                angle=rng.uniform(0, np.pi),
                contrast=rng.uniform(0.2, 0.45),
                shape=shape,
                layout=rng.randrange(len(LAYOUTS)),
                count=rng.randint(2, 7),
                size=rng.uniform(0.16, 0.26),
                bars=0,
                bars_top=False,
                noise=6.0,
                pixels=SIZES[0],
            )
            found.append(look)
    return found


def interest_look(rng: random.Random, topic: Look) -> Look:
    """Look of an interest within a topic."""
    return replace(
        topic,
        accent=topic.accent + rng.gauss(0, 0.05),
        saturation=topic.saturation + rng.gauss(0, 0.05),
        waves=topic.waves * rng.lognormvariate(0, 0.15),
        angle=topic.angle + rng.gauss(0, 0.3),
        count=max(1, topic.count + rng.choice((-1, 0, 1))),
        layout=rng.randrange(len(LAYOUTS)) if rng.random() < 0.4 else topic.layout,
    )


def personal_look(rng: random.Random, interest: Look) -> Look:
    """Look of a person; some people deviate strongly."""
    own = replace(
        interest,
        hue=interest.hue + rng.gauss(0, 0.03),
        accent=interest.accent + rng.gauss(0, 0.05),
        saturation=interest.saturation + rng.gauss(0, 0.12),
        value=interest.value + rng.gauss(0, 0.12),
        waves=interest.waves * rng.lognormvariate(0, 0.2),
        angle=interest.angle + rng.gauss(0, 0.3),
        contrast=interest.contrast * rng.uniform(0.6, 1.3),
        count=max(1, interest.count + rng.choice((-1, 0, 0, 1))),
        size=interest.size * rng.lognormvariate(0, 0.15),
        bars=rng.choice((0, 1, 2, 2, 3, 4)),
        bars_top=rng.random() < 0.3,
        noise=rng.uniform(3, 14),
        pixels=rng.choice(SIZES),
    )
    if rng.random() < 0.2:
        own = replace(own, texture=rng.randrange(len(TEXTURES)))
    if rng.random() < 0.2:
        own = replace(own, shape=rng.randrange(len(SHAPES)))
    if rng.random() < 0.15:
        own = replace(own, hue=rng.random())
    return own


def _dealt(rng: random.Random, what: Sequence[object], among: Sequence[object]) -> list[int]:
    """Random places in `what`, distinct as far as possible."""
    order = rng.sample(range(len(what)), len(what))
    return [order[i % len(order)] for i in range(len(among))]
