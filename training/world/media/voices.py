"""Hierarchical parameters of generated sounds: domain, topic, interest, person.

The domain sets the timbre; the topic register, tempo, rhythm and scale; the interest the
brightness; the person key, tempo and background noise.
"""

import math
import random
from dataclasses import dataclass, replace

STEPS = 8
"""Steps of a rhythm."""
_SCALES = ((0, 2, 4, 7, 9), (0, 3, 5, 7, 10), (0, 4, 7, 12), (0, 2, 3, 7, 8), (0, 1, 5, 7, 8), (0,))
_MIN_HZ, _MAX_HZ = 90.0, 900.0


@dataclass(frozen=True)
class Voice:
    """Sound parameters of a domain, topic, interest or person.

    Attributes:
        tilt: loudness of the harmonic k is k ** -tilt.
        even: loudness of the even harmonics, 0 to 1.
        formant: the harmonic that stands out.
        decay: of a note, 1/s.
        base_hz: pitch of the scale's first note.
        scale: semitones above it.
        steps_per_s: tempo.
        rhythm: which of the `STEPS` steps have a note.
        beat: loudness of the noise that marks every other step.
        noise: loudness of the background.
        loudness: of the loudest sample, at most 1.
    """

    tilt: float
    even: float
    formant: float
    decay: float
    base_hz: float
    scale: tuple[int, ...]
    steps_per_s: float
    rhythm: tuple[bool, ...]
    beat: float
    noise: float
    loudness: float


def topic_voices(rng: random.Random, topics: list[str]) -> list[Voice]:
    """Voice per topic (`domain/topic`); topics of a domain are contiguous."""
    timbres = {}
    for domain in dict.fromkeys(topic.split("/")[0] for topic in topics):
        timbres[domain] = (
            rng.uniform(0.4, 2.2),
            rng.choice((0.05, 0.4, 1.0)),
            rng.uniform(1, 8),
            rng.choice((0.5, 4.0, 14.0)),
        )
    voices = []
    for topic in topics:
        tilt, even, formant, decay = timbres[topic.split("/")[0]]
        voices.append(
            Voice(
                tilt=tilt + rng.gauss(0, 0.1),
                even=even,
                formant=formant + rng.gauss(0, 0.3),
                decay=decay * rng.lognormvariate(0, 0.2),
                base_hz=_MIN_HZ * (_MAX_HZ / _MIN_HZ) ** rng.random(),
                scale=rng.choice(_SCALES),
                steps_per_s=4 * 4 ** rng.random(),
                rhythm=_rhythm(rng),
                beat=rng.choice((0.0, 0.0, 0.3, 0.8)),
                noise=0.03,
                loudness=0.7,
            )
        )
    return voices


def interest_voice(rng: random.Random, topic: Voice) -> Voice:
    """Voice of an interest within a topic."""
    return replace(
        topic,
        tilt=topic.tilt + rng.gauss(0, 0.1),
        formant=topic.formant + rng.gauss(0, 0.5),
        base_hz=topic.base_hz * rng.lognormvariate(0, 0.06),
        rhythm=_varied(rng, topic.rhythm),
    )


def personal_voice(rng: random.Random, interest: Voice) -> Voice:
    """Voice of a person; some people deviate strongly."""
    own = replace(
        interest,
        tilt=interest.tilt + rng.gauss(0, 0.15),
        formant=interest.formant + rng.gauss(0, 0.4),
        decay=interest.decay * rng.lognormvariate(0, 0.3),
        base_hz=interest.base_hz * rng.lognormvariate(0, 0.12),
        steps_per_s=interest.steps_per_s * rng.lognormvariate(0, 0.1),
        rhythm=_varied(rng, interest.rhythm) if rng.random() < 0.5 else interest.rhythm,
        noise=math.exp(rng.uniform(math.log(0.006), math.log(0.08))),
        loudness=rng.uniform(0.3, 0.95),
    )
    if rng.random() < 0.15:
        own = replace(own, base_hz=_MIN_HZ * (_MAX_HZ / _MIN_HZ) ** rng.random())
    return own


def _rhythm(rng: random.Random) -> tuple[bool, ...]:
    """Random rhythm whose first step has a note."""
    return (True, *(rng.random() < 0.6 for _ in range(STEPS - 1)))


def _varied(rng: random.Random, rhythm: tuple[bool, ...]) -> tuple[bool, ...]:
    changed = rng.randrange(1, STEPS)
    return (*rhythm[:changed], not rhythm[changed], *rhythm[changed + 1 :])
