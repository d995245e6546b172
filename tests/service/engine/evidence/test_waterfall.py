"""What a waterfall quotes of two streamers."""

import numpy as np
import pytest

from model_export.contract.evidence import Comparison, Matcher, packaged, side_of
from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerContent
from service.engine.evidence.engine import Compared
from service.engine.evidence.media_copies import pictures_of, sounds_of
from service.engine.evidence.waterfall import ChannelEvidence, Shows, waterfall
from service.engine.work.lanes import run_to_end

PARAMETERS = packaged()


def channels_of(*titles: str) -> dict[str, ChannelEvidence]:
    profiles = [
        StreamerContent.model_validate({"videos": [{"video_id": "v", "title": title}]})
        for title in titles
    ]
    comparison = Comparison(list(map(side_of, profiles)), PARAMETERS.frequencies.table())
    levels = run_to_end(comparison.levels(np.array([0]), np.array([1])))
    compared = Compared(levels, Matcher(PARAMETERS).match(levels))
    one, other = (
        Shows(profile, pieces_of(profile), pictures_of({}), sounds_of({})) for profile in profiles
    )
    return {channel.channel: channel for channel in waterfall(compared, one, other)}


@pytest.mark.parametrize(
    ("hidden", "plain"),
    [
        ("wweellccoommee ttoo mmyy ssttrreeaamm", "welcome to my stream"),
        ("huan ying lai dao wo de zhi bo jian mei tian jian", "欢迎来到我的直播间每天见"),
        ("欢a迎b来c到d我e的f直g播h间i每j天k晚l上m八n点o", "欢迎来到我的直播间每天晚上八点"),
    ],
)
@pytest.mark.parametrize("name", ["text", "titles"])
def test_words_that_are_hidden_by_what_is_not_folded_are_quoted_whole(
    name: str, hidden: str, plain: str
) -> None:
    channel = channels_of(hidden, plain)[name]
    assert channel.state == "agrees"
    assert [(each.a, each.b) for each in channel.quotes] == [(hidden, plain)]
    assert {(q.a_source, q.b_source) for q in channel.quotes} == {("videos[0].title",) * 2}
