"""Golden profiles: stored in each bundle, with features that every installation must reproduce."""

from collections.abc import Sequence

from model_export.contract.streamer import Media, StreamerProfile, Video
from model_export.contract.vocabulary import Vocabulary

_EDGE_CASES: Sequence[dict[str, object]] = (
    {"name": "night owl", "bio": "Chill lo-fi beats, every Friday. Don't miss it!"},
    {
        "name": "小鹿电台",
        "bio": "每天晚上八点直播,聊电影和音乐~",
        "tags": ["电影", "音乐"],
        "language": "zh",
    },
    {"name": "ＦＵＬＬ－ｗｉｄｔｈ　ﾊﾝｶｸ", "bio": "ﬁne ｶﾞｲﾄﾞ ① ㎏ Ǆ ẛ̣"},  # compatibility forms
    {"name": "cafe\u0301 caf\u00e9", "bio": "ZERO\u200bWIDTH so\u00adft \ufeffmark"},
    {"name": "🎮🕹️ game on 👩‍👩‍👧", "bio": "☕️ + 🎧 = ❤️", "tags": ["🎮", "🏳️‍🌈"]},
    {"name": "بث مباشر", "bio": "\u202bألعاب وموسيقى\u202c كل يوم", "language": "ar"},
    {"name": "שידור חי", "bio": "משחקים 24/7", "language": "he"},
    {"name": "สตรีมเมอร์", "bio": "เล่นเกมทุกวัน हिन्दी में भी", "language": "th"},
    {"name": "İstanbul STRASSE straße ΟΔΟΣ οδός", "bio": "I ı İ i"},
    {"name": "a_b-c.d@e #tag", "bio": "\tmany\n\n  blanks \u3000 here  "},
    {"bio": "!!!???。。。", "tags": ["   ", "#", "C++", "c++", "C＋＋"]},
    {"bio": "欢迎关注", "tags": ["C", "C#"]},
    {"name": "\u3164", "bio": "a\x01b\u200bc كيف؟ दिन। か・き"},
    {"bio": "".join(chr(0x4E00 + i) for i in range(1200))},  # more tokens than are encoded
    {
        "videos": [  # more than are encoded, in no order, some undated
            {
                "video_id": f"v{i}",
                "title": f"video {i % 66}",
                **(
                    {"published_at": f"2024-01-{1 + i * 7 % 30:02}T20:00:00+08:00"} if i % 3 else {}
                ),
            }
            for i in range(70)
        ],
        "lives": [
            {
                "live_id": "l1",
                "title": "live",
                "cover": {"data": "iVBORw0KGgo=", "content_type": "image/png"},
                "audio": {"url": "https://example.org/sound"},
            }
        ],
    },
    {"language": "en"},
    {},
)


def golden_profiles(vocabulary: Vocabulary) -> list[StreamerProfile]:
    """Golden profiles: text edge cases, known tokens, and a vector of each space."""
    profiles = [
        StreamerProfile.model_validate({"streamer_id": f"golden-{i}", **case})
        for i, case in enumerate(_EDGE_CASES)
    ]
    known, words, categories, languages = (
        [token.removeprefix(kind) for token in vocabulary.tokens if token.startswith(kind)]
        for kind in ("t=", "w=", "c=", "l=")
    )
    profiles.append(
        StreamerProfile(
            streamer_id="golden-known",
            tags=[tag for tag in known if len(tag) <= 200][:: max(1, len(known) // 64)][:64],
            category=next((name for name in categories if len(name) <= 100), None),
            language=next((name for name in languages if len(name) <= 35), None),
            bio=" ".join(words[:: max(1, len(words) // 256)][:256])[:5000] or None,
        )
    )
    for i, space in enumerate(vocabulary.spaces):
        vector = [((7 * j) % 11 - 5) / 8 for j in range(space.width)]
        profiles.append(
            StreamerProfile(
                streamer_id=f"golden-space-{i}",
                tags=known[:3],
                videos=[
                    Video(video_id="v1", title="one", cover=Media(vector=vector, space=space.name))
                ],
            )
        )
    return profiles
