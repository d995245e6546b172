"""Words that announce a handle, and what handles look like, by platform."""

from typing import Literal, NamedTuple

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


_SIGNS = r"[._·•*~|/\-\u2190-\u2bff\U0001f000-\U0001faff]{1,2}"
_APART = rf"(?:\s?{_SIGNS}\s?|\s)"
"""Between two characters of a short word: without it, `微 信` and `V❤X` would announce nothing."""


class Platform(NamedTuple):
    """How a platform is announced.

    Attributes:
        kind: of its contacts.
        words: pattern of what a handle may follow at once.
        needles: a text that `words` match has one of these.
        weak: words of everyday language: a colon, an `@` or `id` must follow, or a digit or
            underscore be in the handle. Of two that begin alike the longer one comes first.
        latin: more of them, which no Latin letter stands before, and none and no digit behind.
        apart: short Latin words that are also written with a heart or dot between their letters; or
            with a blank, where a word or sign besides tells that a handle follows.
        spoken: Chinese words that are also found by their sound.
        numeric: whether handles are numbers.
        shortest: characters of a handle.
        is_general: whether the words announce contacts of any kind, so that only what has digits
            is one.
    """

    kind: Kind
    words: str = ""
    needles: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()
    latin: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    spoken: tuple[str, ...] = ()
    numeric: bool = False
    shortest: int = 5
    is_general: bool = False


PLATFORMS = (
    Platform(
        "wechat",
        rf"(?:[加+➕⊕＋]\s?)?(?:[微薇徽蔷溦威]|(?<![a-z])v)(?:{_APART}[信芯]|{_SIGNS}x(?![a-z]))|"
        r"微信|薇信|徽信|蔷信|溦信|v信|v芯|威❤|蔷❤|微❤|v❤|wei信|we信|(?<![a-z])(?:vx|wx|weixin)"
        r"|√(?:x|[ ]?[:：])|[微薇威维卫]x(?![a-z])"
        r"|(?:加|\+|➕|⊕|＋)\s?(?:v|薇|微|威)信?(?![a-z]{1,2}(?![a-z0-9]))|薇(?=\s?[:：号])|(?<![a-z])v(?=\s?[:：号])",
        needles=("v", "微", "薇", "威", "蔷", "徽", "溦", "wx", "wei", "we信", "√", "维x", "卫x"),
        weak=("薇", "蔷", "卫星", "绿泡泡", "绿色软件", "🛰"),
        latin=("wechat", "we chat", "jia wei xin", "wei xin", "jia wei", "jia vx", "jia v"),
        apart=("vx", "wx"),
        spoken=("加微信", "微信", "加微"),
        shortest=5,
    ),
    Platform(
        "qq",
        r"(?<![a-z])qq(?!(?!id|no)[a-z])|扣扣|叩叩|蔻蔻|球球|企鹅|(?<![a-z])q群|(?:粉丝|交流|水友|官方|车友|学习)群"
        r"|群号|加群|进群|(?:加|\+|➕)\s?q(?![a-z])|(?<![a-z])q(?=\s?[:：号\d])|群(?=\s?[:：号])"
        r"|[q扣]裙|裙号|裙(?=\s?[:：])|君羊|🐧号?",
        needles=("q", "群", "裙", "君羊", "🐧", "扣扣", "叩叩", "蔻蔻", "球球", "企鹅"),
        apart=("qq",),
        spoken=("扣扣", "企鹅号"),
        numeric=True,
    ),
    Platform(
        "telegram",
        weak=("电报号", "电报", "纸飞机", "飞机", "✈"),
        latin=("telegram", "tele", "tg"),
    ),
    Platform(
        "whatsapp",
        r"(?<![a-z])(?:whatsapp|whats app|whatapp|wa(?=\s?:))",
        needles=("wa", "what"),
        numeric=True,
    ),
    Platform(
        "line",
        r"(?:加|\+)\s?(?:line|赖)|赖(?=\s?[:：])",
        needles=("line", "赖"),
        latin=("line",),
        shortest=4,
    ),
    Platform("instagram", latin=("instagram", "insta", "ins", "ig"), shortest=3),
    Platform("discord", latin=("discord", "dc"), shortest=3),
    Platform("snapchat", latin=("snapchat", "snap", "sc"), shortest=3),
    Platform("skype", latin=("skype",), shortest=5),
    Platform("signal", latin=("signal",), shortest=4),
    Platform(
        "kakaotalk",
        r"카톡|카카오톡",
        needles=("카톡", "카카오톡"),
        latin=("kakaotalk", "kakao"),
        shortest=4,
    ),
    Platform("weibo", weak=("微博", "围脖"), latin=("weibo", "wb"), shortest=4),
    Platform("douyin", weak=("抖音", "抖yin"), latin=("douyin", "dy"), shortest=4),
    Platform("kuaishou", weak=("快手",), latin=("kuaishou", "ks"), shortest=4),
    Platform("xiaohongshu", weak=("小红书", "红薯"), latin=("xhs", "xiaohongshu"), shortest=4),
    Platform("bilibili", latin=("bilibili", "b站"), shortest=4),
    Platform("twitter", weak=("推特",), latin=("twitter",), shortest=3),
    Platform("youtube", weak=("油管",), latin=("youtube", "yt"), shortest=3),
    Platform("tiktok", latin=("tiktok",), shortest=3),
    Platform("facebook", weak=("脸书",), latin=("facebook", "fb"), shortest=4),
    Platform("twitch", latin=("twitch",), shortest=4),
    Platform(
        "handle",
        r"联系方式?|联络|连络|商务|合作|私信|加我|(?:加|➕)(?=\s?[a-z0-9])|お問い合わせ|連絡|聯繫"
        r"|연락처?|문의|контакты?|связь|писать"
        r"|(?<![a-z])(?:contact|reach me|inquir(?:y|ies)|business|booking|dm|add me|contacto"
        r"|kontakt|liên hệ|zalo|viber|threema|vk)(?![a-z])",
        needles=(
            *(
                "联",
                "连络",
                "商务",
                "合作",
                "私信",
                "加",
                "➕",
                "お問い合わせ",
                "連絡",
                "聯繫",
                "연락",
            ),
            *("문의", "контакт", "связь", "писать", "contact", "reach me", "inquir", "business"),
            *("booking", "dm", "add me", "kontakt", "liên hệ", "zalo", "viber", "threema", "vk"),
        ),
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
