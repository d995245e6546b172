"""Small profiles and a small vocabulary for tests of the encoder."""

from typing import Any

from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.contract.vocabulary import Vocabulary
from training.features.vocabulary import build_vocabulary

TOPICS = {
    "cooking": ["noodles", "soup", "红烧肉", "家常菜"],
    "gaming": ["raid", "boss", "上分", "电竞"],
    "music": ["guitar", "vocal", "唱歌", "弹唱"],
}
SPACE = "covers"


def cover(*numbers: float) -> dict[str, Any]:
    """A picture as a ready-made vector."""
    return {"vector": list(numbers), "space": SPACE}


def streamers(each: int = 6) -> list[StreamerProfile]:
    """Per topic, some streamers with bios, tags, videos and covers of their own."""
    found = []
    for t, (topic, terms) in enumerate(TOPICS.items()):
        for i in range(each):
            videos = [
                {
                    "video_id": f"v{j}",
                    "title": f"{terms[j % 4]} and {terms[(i + j) % 4]} number {i}",
                    "cover": cover(*(float(t == k) + 0.1 * i + 0.01 * j for k in range(4))),
                }
                for j in range(i % 3)
            ]
            found.append(
                StreamerProfile.model_validate(
                    {
                        "streamer_id": f"{topic}-{i}",
                        "name": f"{topic} person {i}",
                        "bio": f"{terms[i % 4]} every day. Come for {terms[(i + 1) % 4]}! 欢迎{i}",
                        "tags": [topic, terms[i % 4]],
                        "language": "en",
                        "videos": videos,
                    }
                )
            )
    return found


def pieces(each: int = 6) -> list[list[Piece]]:
    """The pieces of `streamers`."""
    return [pieces_of(profile) for profile in streamers(each)]


def vocabulary(each: int = 6) -> Vocabulary:
    """Counted on `streamers`."""
    return build_vocabulary(pieces(each))
