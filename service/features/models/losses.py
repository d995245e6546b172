"""What a model loses against another one, by the same decisions, and its interval.

Of `decisions`, `lost` only the first model gets right, `gained` only the second; the loss is
(lost - gained) / decisions. Its 95 % interval has the losses d that a test of 2.5 % in each
direction does not refuse. A test takes the distribution of lost - gained itself, by its Fourier
transform, with the share that is gained set to what is likeliest if the loss is d (Tango 1998,
Statistics in Medicine 17). No normal distribution is assumed: kinds of decisions may be few.
"""

import math

import numpy as np

from service.features.models.comparing.records import Mean, Side

_EACH_WAY = 0.025
_HALVINGS = 30


def loss_of(side: Side) -> Mean:
    """Mean loss by the decisions of a side, and its 95 % interval.

    What the first model gets right in all cases can only be lost, and what it gets wrong in all of
    them only be gained; so it is with alerts, which that model raised.

    Args:
        side: at least one decision.
    """
    count, lost, gained = side.decisions, side.lost, side.gained
    only_lost, only_gained = side.agree_before == count, side.agree_before == 0
    low = _lowest(count, lost, gained, only_lost, only_gained)
    high = 0.0 - _lowest(count, gained, lost, only_gained, only_lost)
    return Mean((lost - gained) / count, low, high)


def _lowest(count: int, lost: int, gained: int, only_lost: bool, only_gained: bool) -> float:
    """The lowest loss by which so many or more may well be lost."""
    low, high = (0.0 if only_lost else -1.0), (0.0 if only_gained else 1.0)
    if _as_much(count, lost, gained, low, only_lost or only_gained) >= _EACH_WAY:
        return low
    for _ in range(_HALVINGS):
        loss = (low + high) / 2
        if _as_much(count, lost, gained, loss, only_lost or only_gained) < _EACH_WAY:
            low = loss
        else:
            high = loss
    return low


def _as_much(count: int, lost: int, gained: int, loss: float, is_one_way: bool) -> float:
    """Probability that lost - gained is as much or more if the loss is `loss`."""
    if is_one_way:
        shares = max(loss, 0.0), max(-loss, 0.0)
    elif loss < 0:
        more = _smaller_share(count, gained, lost, -loss)
        shares = more, more - loss
    else:
        more = _smaller_share(count, lost, gained, loss)
        shares = more + loss, more
    size = 1 << (2 * count).bit_length()  # all differences, and fast
    turns = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)  # (S / 2 + 1,)
    same = max(1 - sum(shares), 0.0)
    spectrum = (same + shares[0] * turns + shares[1] * turns.conj()) ** count
    chances = np.fft.irfft(spectrum, size)  # (S,)
    # Negative differences are at the end, as in a negative index.
    return float(chances[np.arange(lost - gained, count + 1)].sum())


def _smaller_share(count: int, more: int, less: int, difference: float) -> float:
    """Likeliest probability of what was seen `less` often, if that of `more` is larger by this."""
    a = 2 * count
    b = (a - more + less) * difference - more - less
    c = -less * difference * (1 - difference)
    return (math.sqrt(b * b - 4 * a * c) - b) / (2 * a)
