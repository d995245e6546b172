"""Words that announce a handle, and what handles look like, by platform."""

from enum import Enum, auto
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
_HEARTS = r"\u2661\u2665\u2764\U0001f493-\U0001f49f\U0001f5a4\U0001f90d\U0001f90e\U0001f9e1"
_HEART = f"[{_HEARTS}]"
_GROUP = "(?:群|裙|qun|君羊)"


class Strength(Enum):
    """What may follow an announcing word."""

    SURE = auto()
    """Any handle."""
    USUAL = auto()
    """Any handle with a digit or underscore, and others behind a sign such as a colon."""
    WEAK = auto()
    """Likewise, and numbers that are long: a word of everyday language."""
    SIGNED = auto()
    """A handle behind a sign, or with an underscore: a topic is told by the word alone."""
    MIXED = auto()
    """A handle with letters and a digit or underscore, or a long number, whatever the sign.

    A title such as `batman2022` is one only where a mark of contact is near.
    """
    DOUBTFUL = auto()
    """`WEAK` where a mark of contact is near, else `MIXED`."""


class Platform(NamedTuple):
    """How a platform is announced.

    Attributes:
        kind: of its contacts.
        words: pattern of what a handle may follow at once; `Strength.SURE`.
        usual: likewise, `Strength.USUAL`.
        mixed: likewise, `Strength.MIXED`.
        begins: pattern of the character that a match of these begins with.
        sure: words that are no end of others, `Strength.SURE`. Of two that begin alike the longer
            one comes first.
        weak: likewise, words of everyday language, `Strength.WEAK`.
        topics: likewise, what content is about more often than a handle, `Strength.SIGNED`.
        doubtful: likewise, what means something else as often, `Strength.DOUBTFUL`.
        apart: short Latin words that are also written with a heart or dot between their letters; or
            with a blank, where a word or sign besides tells that a handle follows.
        spoken: Chinese words that are also found by their sound, `Strength.WEAK`.
        numeric: whether handles are numbers.
        shortest: characters of a handle.
        is_general: whether the words announce contacts of any kind, so that only what has digits
            is one.
    """

    kind: Kind
    words: str = ""
    usual: str = ""
    mixed: str = ""
    begins: str = ""
    sure: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    spoken: tuple[str, ...] = ()
    numeric: bool = False
    shortest: int = 5
    is_general: bool = False


_MOBILE = r"1[3-9]\d(?:\d{8}|[ \-]\d{4}[ \-]\d{4})(?!\d)"

PLATFORMS = (
    Platform(
        "wechat",
        rf"(?:[加+➕⊕＋]\s?)?(?:[微薇徽蔷溦威]|(?<![a-z])v)(?:{_APART}[信芯]|{_SIGNS}x(?![a-z]))|"
        rf"薇信|徽信|蔷信|溦信|v信|v芯|(?:[微薇徽蔷溦威]|(?<![a-z])v){_HEART}|wei信|we信"
        r"|(?<![a-z])vx|√(?:x|[ ]?[:：])|[微薇威维卫]x(?![a-z])|薇(?=\s?[:：号])"
        r"|(?:加|(?<![a-z])\+|➕|⊕|＋)\s?(?:个|我的?|下)?\s?(?:[vw]x|v|薇|微|威)信?(?![a-z]{1,2}(?![a-z0-9]))",
        usual="微信|(?<![a-z])(?:weixin|wx)",
        mixed=r"(?<![a-z0-9])v(?=\s?[:：号])|(?<![稍略细显卑轻权示])[微威](?=\s?[:：])"
        rf"|{_HEART}\s?v(?![a-z])|(?<![a-z0-9.])v(?=\s?{_MOBILE})",
        begins=rf"[{_HEARTS}加+➕⊕＋微薇徽蔷溦威维卫vw√](?<!v(?=[a-wyz]))(?<!w(?![xe]))",
        weak=(
            *("薇", "蔷", "绿泡泡", "绿色软件", "🛰", "wechat", "we chat"),
            *("jia wei xin", "wei xin", "jia wei", "jia vx", "jia v"),
        ),
        doubtful=("卫星",),
        apart=("vx", "wx"),
        spoken=("加微信", "微信", "加微"),
    ),
    Platform(
        "qq",
        rf"(?<![a-z])qq(?!(?!id|no|qun)[a-z])(?:\s?{_GROUP})?|扣扣|叩叩|蔻蔻|球球|企鹅|(?<![a-z])q群"
        rf"|(?:粉丝|交流|水友|官方|车友|学习|福利){_GROUP}|群号|[加进]{_GROUP}"
        r"|(?<=[1-9一二三四五六七八九十])(?<![0-9]{3})群(?=\s?[:：]?\s?[0-9]{6})"
        r"|(?:加|\+|➕)\s?q(?![a-z])|(?<![a-z])q(?=\s?[:：号])|(?<![a-z])q(?=\s?[0-9]{5})"
        r"|群(?=\s?[:：号])|[q扣]裙|裙号|(?<![\u4e00-\u9fff])裙(?=\s?[:：])"
        r"|(?<![折回减克暗纽])扣(?=\s?[:：号])|君羊|🐧号?",
        begins="[q扣叩蔻球企粉交水官车学福群加进+➕裙君🐧]",
        apart=("qq",),
        spoken=("扣扣", "企鹅号"),
        numeric=True,
    ),
    Platform(
        "telegram",
        weak=(
            *("电报号", "电报", "纸飞机", "텔레그램", "телеграмм", "телеграм", "телега", "тг"),
            *("telegram", "tele", "tg"),
        ),
        topics=("飞机", "✈"),
    ),
    Platform(
        "whatsapp",
        r"(?<![a-z])(?:whatsapp|whats app|whatapp|wa(?=\s?:))|واتساب|واتس(?:[ ]?اب)?",
        begins="[wو]",
        sure=("ватсап", "вотсап", "вацап"),
        numeric=True,
    ),
    Platform(
        "line",
        r"(?:加|\+)\s?(?:line|赖)|赖(?=\s?[:：])",
        begins="[加+赖]",
        weak=("ไอดีไลน์", "ไลน์", "라인", "ライン", "line"),
        shortest=4,
    ),
    Platform(
        "instagram",
        weak=(
            *("инстаграмм", "инстаграм", "инста"),
            *("インスタグラム", "インスタ", "인스타그램", "인스타"),
            *("instagram", "insta", "ins", "ig"),
        ),
        shortest=3,
    ),
    Platform("discord", weak=("дискорд", "디스코드", "discord"), doubtful=("dc",), shortest=3),
    Platform("snapchat", weak=("snapchat", "snap"), doubtful=("sc",), shortest=3),
    Platform("skype", weak=("skype",), shortest=5),
    Platform("signal", weak=("signal",), shortest=4),
    Platform(
        "kakaotalk",
        usual=r"카카오톡|카톡",
        begins="[카]",
        weak=("kakaotalk", "kakao"),
        shortest=4,
    ),
    Platform("weibo", topics=("微博", "围脖", "weibo", "wb"), shortest=4),
    Platform("douyin", topics=("抖音", "抖yin", "douyin", "dy"), shortest=4),
    Platform("kuaishou", topics=("快手", "kuaishou", "ks"), shortest=4),
    Platform("xiaohongshu", topics=("小红书", "红薯", "xhs", "xiaohongshu"), shortest=4),
    Platform("bilibili", topics=("bilibili", "b站"), shortest=4),
    Platform("twitter", topics=("推特", "twitter"), shortest=3),
    Platform("youtube", topics=("油管", "youtube", "yt"), shortest=3),
    Platform("tiktok", topics=("tiktok",), shortest=3),
    Platform("facebook", topics=("脸书", "facebook", "fb"), shortest=4),
    Platform("twitch", topics=("twitch",), shortest=4),
    Platform("phone", sure=("zalo", "viber", "вайбер"), numeric=True, shortest=8),
    Platform(
        "handle",
        mixed=r"蝙蝠号?|(?<![a-z])potato(?=\s?(?:[:：@]|id|号))",
        begins="[蝙p]",
    ),
    Platform(
        "handle",
        r"(?<![a-z0-9])(?:加|➕)(?=\s?[a-z0-9])",
        begins="[加➕]",
        sure=(
            *("联系方式", "联系方", "联络", "连络", "商务", "合作", "私信", "加我"),
            *("お問い合わせ", "連絡", "연락처", "연락", "문의"),
            *("контакты", "контакт", "связь", "писать"),
            *("contacto", "contact", "kontakt", "reach me", "inquiry", "inquiries", "business"),
            *("booking", "dm", "add me", "liên hệ", "threema", "vk"),
        ),
        is_general=True,
    ),
)
