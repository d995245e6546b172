"""Words that announce a handle, and what handles look like, by platform."""

import re
from typing import Literal, NamedTuple

from model_export.contract.folding.scripts import phonetic

Kind = Literal[
    "wechat",
    "qq",
    "telegram",
    "whatsapp",
    "line",
    "phone",
    "email",
    "url",
    "handle",
    "instagram",
    "discord",
    "snapchat",
    "skype",
    "signal",
    "kakaotalk",
    "weibo",
    "douyin",
    "kuaishou",
    "xiaohongshu",
    "bilibili",
    "twitter",
    "youtube",
    "tiktok",
    "facebook",
    "twitch",
]
"""What a contact is on; `phone`, `email` and `url` are themselves, `handle` is a bare @name."""


class Platform(NamedTuple):
    """How a platform is announced.

    Attributes:
        kind: of its contacts.
        words: that a handle may follow at once.
        weak: words of everyday language: a colon, an `@` or `id` must follow, or a digit or
            underscore be in the handle.
        spoken: Chinese words that are also found by their sound.
        numeric: whether handles are numbers.
        shortest: characters of a handle.
        is_general: whether the words announce contacts of any kind, so that only what has digits
            is one.
    """

    kind: Kind
    words: str
    weak: str = ""
    spoken: tuple[str, ...] = ()
    numeric: bool = False
    shortest: int = 5
    is_general: bool = False


PLATFORMS = (
    Platform(
        "wechat",
        r"微信|薇信|徽信|蔷信|溦信|v信|v芯|威❤|蔷❤|微❤|v❤|wei信|微x|薇x|(?<![a-z])(?:vx|wx|weixin)"
        r"|(?:加|\+|➕|⊕|＋)\s?(?:v|薇|微|威)信?(?![a-z]{1,2}(?![a-z0-9]))|薇(?=\s?[:：号])|(?<![a-z])v(?=\s?[:：号])",
        weak=r"(?<![a-z])(?:wechat|we chat)(?![a-z0-9])|薇|蔷|卫星",
        spoken=("加微信", "微信", "加微"),
        shortest=5,
    ),
    Platform(
        "qq",
        r"(?<![a-z])qq|扣扣|叩叩|蔻蔻|球球|企鹅|(?<![a-z])q群|(?:粉丝|交流|水友|官方|车友|学习)群"
        r"|群号|加群|进群|(?:加|\+|➕)\s?q(?![a-z])|(?<![a-z])q(?=\s?[:：号\d])|群(?=\s?[:：号])",
        spoken=("扣扣", "企鹅号"),
        numeric=True,
    ),
    Platform(
        "telegram", "", weak=r"电报号?|纸飞机|(?<![a-z])(?:telegram|tele|tg)(?![a-z0-9])|飞机"
    ),
    Platform("whatsapp", r"(?<![a-z])(?:whatsapp|whats app|whatapp|wa(?=\s?:))", numeric=True),
    Platform(
        "line",
        r"(?:加|\+)\s?(?:line|赖)|赖(?=\s?[:：])",
        weak=r"(?<![a-z])line(?![a-z0-9])",
        shortest=4,
    ),
    Platform("instagram", "", weak=r"(?<![a-z])(?:instagram|insta|ins|ig)(?![a-z0-9])", shortest=3),
    Platform("discord", "", weak=r"(?<![a-z])(?:discord|dc)(?![a-z0-9])", shortest=3),
    Platform("snapchat", "", weak=r"(?<![a-z])(?:snapchat|snap|sc)(?![a-z0-9])", shortest=3),
    Platform("skype", "", weak=r"(?<![a-z])skype(?![a-z0-9])", shortest=5),
    Platform("signal", "", weak=r"(?<![a-z])signal(?![a-z0-9])", shortest=4),
    Platform(
        "kakaotalk", r"카톡|카카오톡", weak=r"(?<![a-z])(?:kakaotalk|kakao)(?![a-z0-9])", shortest=4
    ),
    Platform("weibo", "", weak=r"微博|围脖|(?<![a-z])(?:weibo|wb)(?![a-z0-9])", shortest=4),
    Platform("douyin", "", weak=r"抖音|抖yin|(?<![a-z])(?:douyin|dy)(?![a-z0-9])", shortest=4),
    Platform("kuaishou", "", weak=r"快手|(?<![a-z])(?:kuaishou|ks)(?![a-z0-9])", shortest=4),
    Platform(
        "xiaohongshu", "", weak=r"小红书|红薯|(?<![a-z])(?:xhs|xiaohongshu)(?![a-z0-9])", shortest=4
    ),
    Platform("bilibili", "", weak=r"(?<![a-z])(?:bilibili|b站)(?![a-z0-9])", shortest=4),
    Platform("twitter", "", weak=r"推特|(?<![a-z])twitter(?![a-z0-9])", shortest=3),
    Platform("youtube", "", weak=r"油管|(?<![a-z])(?:youtube|yt)(?![a-z0-9])", shortest=3),
    Platform("tiktok", "", weak=r"(?<![a-z])tiktok(?![a-z0-9])", shortest=3),
    Platform("facebook", "", weak=r"脸书|(?<![a-z])(?:facebook|fb)(?![a-z0-9])", shortest=4),
    Platform("twitch", "", weak=r"(?<![a-z])twitch(?![a-z0-9])", shortest=4),
    Platform(
        "handle",
        r"联系方式?|联络|连络|商务|合作|私信|加我|(?:加|➕)(?=\s?[a-z0-9])|お問い合わせ|連絡|聯繫"
        r"|연락처?|문의|контакты?|связь|писать"
        r"|(?<![a-z])(?:contact|reach me|inquir(?:y|ies)|business|booking|dm|add me|contacto"
        r"|kontakt|liên hệ|zalo|viber|threema|vk)(?![a-z])",
        is_general=True,
    ),
)

SITES: dict[str, Kind] = {
    "t.me": "telegram",
    "telegram.me": "telegram",
    "wa.me": "whatsapp",
    "instagram.com": "instagram",
    "twitter.com": "twitter",
    "x.com": "twitter",
    "youtube.com": "youtube",
    "tiktok.com": "tiktok",
    "facebook.com": "facebook",
    "fb.com": "facebook",
    "discord.gg": "discord",
    "discord.com": "discord",
    "twitch.tv": "twitch",
    "weibo.com": "weibo",
    "snapchat.com": "snapchat",
}
"""Hosts whose first path component is a handle of a platform."""

SECTIONS = frozenset(
    {
        "add",
        "c",
        "channel",
        "user",
        "users",
        "p",
        "reel",
        "s",
        "share",
        "watch",
        "video",
        "videos",
        "playlist",
        "invite",
        "shorts",
        "u",
        "n",
        "status",
        "hashtag",
        "groups",
        "pages",
        "explore",
        "directory",
        "search",
        "home",
        "i",
        "intent",
        "joinchat",
        "profile.php",
    }
)
"""First path components that are no handle."""


def spoken_words(platform: Platform) -> re.Pattern[str] | None:
    """Pattern of the words by sound, over `phonetic` text."""
    if not platform.spoken:
        return None
    return re.compile("|".join(map(phonetic, platform.spoken)))
