"""Contacts of many: who shares nothing else is not joined by them."""

import numpy as np

from model_export.contract.evidence import Side, side_of
from model_export.contract.streamer import StreamerProfile
from service.engine.evidence.crowds import MOST_HOLDERS, only_in_crowds

AGENCY, OWN = "agency_2020", "two_of_us_88"


def sides_of(*bios: str) -> list[Side]:
    return [side_of(StreamerProfile(streamer_id=f"s{i}", bio=bio)) for i, bio in enumerate(bios)]


def test_a_contact_of_many_is_no_contact_of_a_pair() -> None:
    agency = [f"微信：{AGENCY}"] * (MOST_HOLDERS - 1)
    pair = [f"微信：{AGENCY} QQ：7355691 wx: {OWN}", f"wx: {OWN}，商务微信：{AGENCY}"]
    few = ["telegram: few_5512", "tg: few_5512", "no contact at all"]
    sides = sides_of(*agency, *pair, *few)
    size = len(sides)
    one = np.array([0, 0, size - 5, size - 3, 1])
    other = np.array([1, size - 5, size - 4, size - 2, size - 1])
    # Of the crowd; one of whom has others too; two with one of their own; two of few; nothing.
    assert only_in_crowds(sides, one, other).tolist() == [True, True, False, False, False]
    assert not only_in_crowds(sides, one, other, most=MOST_HOLDERS + 1).any()
    assert not only_in_crowds(sides[:MOST_HOLDERS], one[:1], other[:1]).any()
