"""What looks like a contact and tells nobody: dates, prices, sizes, products, usual numbers."""

import re
from collections.abc import Sequence

_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
_HOUR = r"(?:[01]?\d|2[0-4])[.:][0-5]\d"
_CALENDAR = re.compile(
    rf"(?:{_YEAR}[ ./\-年]{_MONTH}[ ./\-月]{_DAY}"
    rf"|{_MONTH}[./]{_DAY}[ ]?[\-~—–][ ]?{_MONTH}[./]{_DAY}"
    rf"|{_HOUR}[ ]?[\-~—–][ ]?{_HOUR})(?!\d)"
)
_DATE = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_TITLE = re.compile(r"[a-z]+(?:_[a-z]+)*(?:[1-9]|(?:19|20)\d\d)")
_VERSION = re.compile(r"\d{1,2}(?:\.\d{1,2}){1,3}(?![\w.])")
_PRODUCT = re.compile(
    r"(?:(?:iphone|ipad|macbook|airpods|ios|android|windows|ubuntu|python|java|rtx|gtx|ryzen|boeing"
    r"|airbus)[\-_.]?\d{1,4}|win(?:7|8|10|11|95|98)|ps[1-5]|rx\d{3,4}|gta[4-6]|ddr[3-5]"
    r"|top(?:[1-9]|[1-5]0{1,3}))(?:\.\d{1,2}){0,2}"
    r"(?:gb|tb|ti|super|xt|pro|max|plus|ultra|mini|slim|neo|air|se|s|x|e|c){0,3}\d?(?![a-z0-9_])"
)
_LONGEST_SIZE = 6
_WORDS_OF_V = frozenset((
    "vans", "vegas", "vega", "version", "video", "videos", "viking", "villa", "vintage", "vip",
    "vips", "viper", "virtual", "virus", "vision", "vitality", "vitamin", "vitamins", "violin",
    "vivo", "vlog", "vlogger", "vlogs", "vmware", "vocal", "vocaloid", "voice", "vol", "volvo",
    "volume", "valorant", "vanilla", "venom", "vpn", "vps", "vscode", "vtuber", "vtubers", "vue",
    "vulkan", "vxworks", "wxpython", "wxwidgets", "lineage", "linear", "linen", "liner", "lines",
    "lineup", "linux",
))  # fmt: skip
"""Words that begin like one that announces a handle."""
_EVERYDAY_SOUNDS = frozenset(("唯心", "违心", "维新"))
_ENDS_LIKE_ONE = frozenset((
    "参加", "增加", "附加", "追加", "叠加", "施加", "倍加", "更加", "愈加", "累加",
    "蔷薇", "紫薇", "采薇", "依赖", "信赖", "无赖", "耍赖", "抵赖", "온라",
))  # fmt: skip
"""Words that end like one that announces a handle, and what they are about stands behind them."""
_OF_LOVE = re.compile("(?:1314|520|521)+")
_COUNT = re.compile(r"[1-9]\d*0|(?:19|20)\d\d")
_ONE_DIGIT = re.compile(r"(\d)\1{4,}|\d{0,4}(\d)\2{7,}")
_SAMPLES = frozenset(("13800138000", "13888888888"))
_RUNS = "01234567890", "09876543210"
_SERVICE = re.compile(r"(?:1[0-2]|9[56])\d{3}")
"""Services of China have such numbers of five digits: carriers, banks, railways."""
_COUNTED = (
    "量", "价格", "价", "数", "¥", "$", "€", "£", "涨粉", "经验", "攻击", "防御", "血量", "伤害",
    "金币", "exp", "atk", "hp", "mp",
)  # fmt: skip
"""A number behind one of these is a count or a price."""
_PRICED = re.compile(r"\s?(?:[元块万亿次%€$£¥]|[wk](?![a-z]))")
_LETTERS_BEFORE = re.compile("[a-z]*")


def is_calendar(text: str, start: int) -> bool:
    """Whether a day, days of a year, or hours stand at a place of a text."""
    return _CALENDAR.match(text, start) is not None


def is_date(digits: str) -> bool:
    """Whether a number may be a day."""
    return _DATE.fullmatch(digits) is not None


def is_product(text: str, start: int) -> bool:
    """Whether a version number or a product with a number stands at a place of a text."""
    return bool(_VERSION.match(text, start) or _PRODUCT.match(text, start))


def is_title(name: str) -> bool:
    """Whether a name is one of words with a year or a number behind, such as `starcraft2`."""
    return _TITLE.fullmatch(name) is not None


def is_series(groups: Sequence[str]) -> bool:
    """Whether digits that are written in groups are sizes or prices, such as `36-38-40-42`.

    Three groups in a row are as far apart from each other by a usual step, or double each time.
    """
    numbers = [_size(group) for group in groups]
    for one, two, three in zip(numbers, numbers[1:], numbers[2:], strict=False):
        step = two - one
        is_usual = 0 < step <= 10 or (step > 0 and step % 50 == 0)
        if one > 0 and ((three - two == step and is_usual) or (two == 2 * one == three / 2)):
            return True
    return False


def are_prices(groups: Sequence[str]) -> bool:
    """Whether the groups of a mobile number are three prices instead, such as `139 1399 1999`."""
    if len(groups) != 3 or any(group[-1] not in "089" or group[0] == "0" for group in groups):
        return False
    first, second, third = map(_size, groups)
    return 0 < first < second < third < 2 * second


def _size(group: str) -> int:
    """The number that a group of two digits or more may be; -1 where it is none."""
    is_size = group.isascii() and 1 < len(group) <= _LONGEST_SIZE and group[0] != "0"
    return int(group) if is_size else -1


def are_counts(groups: Sequence[str]) -> bool:
    """Whether two groups of digits are counts, sizes or years, such as `1920 1080`."""
    return len(groups) == 2 and all(map(_COUNT.fullmatch, groups))


def is_round(digits: str) -> bool:
    """Whether a number is a count of ten thousands, such as `5000000`."""
    return len(digits) >= 5 and len(digits.rstrip("0")) <= max(1, len(digits) - 5)


def is_counted(text: str, start: int, end: int) -> bool:
    """Whether what stands around a number tells that it is a count or a price."""
    before = text[max(0, start - 8) : start].rstrip(" :+")
    return before.endswith(_COUNTED) or _PRICED.match(text, end) is not None


def is_everyday_word(text: str, end: int) -> bool:
    """Whether a word goes on from an announcing one that ends there, as `vscode` does from `v`."""
    before = _LETTERS_BEFORE.match(text[max(0, end - 12) : end][::-1])
    after = _LETTERS_BEFORE.match(text, end, end + 20)
    return (before[0][::-1] if before else "") + (after[0] if after else "") in _WORDS_OF_V


def is_end_of_a_word(text: str, start: int) -> bool:
    """Whether an announcing word that begins there is the end of another one, as 加 of 参加."""
    return text[max(0, start - 1) : start + 1] in _ENDS_LIKE_ONE


def is_everyday_sound(word: str) -> bool:
    """Whether a word that sounds like 微信 is one of everyday language itself."""
    return word in _EVERYDAY_SOUNDS


def is_price_or_taste(word: str) -> bool:
    """Whether a word sounds like 加微 and is one of everyday language, such as 价位 and 家味."""
    return word[0] in "价架驾假" or word[1] in "位味为未围尾"


def is_everybodys(value: str) -> bool:
    """Whether a number is one that everybody writes.

    These are numbers of love, of one digit or of digits in a row, examples, and those of services.
    """
    return value.isdigit() and bool(
        value in _SAMPLES
        or any(value in run for run in _RUNS)
        or _SERVICE.fullmatch(value)
        or _OF_LOVE.fullmatch(value)
        or _ONE_DIGIT.fullmatch(value)
    )
