"""Links of public sites: which part of them is an account, and which links tell nobody."""

import re
from typing import Final
from urllib.parse import unquote

from model_export.contract.folding.contacts.platforms import Kind

SITES: Final[dict[str, Kind]] = {
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
_BEFORE_AN_ACCOUNT: Final = {
    "t.me": {"s": 1, "joinchat": 1},
    "telegram.me": {"s": 1, "joinchat": 1},
    "instagram.com": {"stories": 1},
    "facebook.com": {"people": 2},
    "youtube.com": {"user": 1, "c": 1, "channel": 1},
    "weibo.com": {"u": 1, "n": 1},
    "snapchat.com": {"add": 1},
    "discord.com": {"invite": 1, "users": 1},
    "discord.gg": {"invite": 1},
}
"""First path components, and how many later the account is."""
_CODES: Final = {"wa.me": ("message", "qr"), "t.me": ("addlist",), "facebook.com": ("groups",)}
"""First path components behind which a code stands for who shows it."""
_SECTIONS: Final = frozenset((
    "about", "accounts", "add", "addlist", "bg", "c", "channel", "channels", "clip", "compose",
    "directory", "discover", "download", "embed", "events", "explore", "feed", "feeds", "following",
    "foryou", "gaming", "groups", "guild", "hashtag", "help", "home", "i", "intent", "invite",
    "joinchat", "legal", "live", "login", "lens", "messages", "message", "music", "n", "news",
    "notifications", "p", "pages", "people", "photo", "playlist", "playlists", "post", "posts",
    "premium", "privacy", "profile.php", "proxy", "qr", "redirect", "reel", "reels",
    "results", "s", "search", "settings", "share", "sharer", "shorts", "signup", "socks",
    "spotlight", "status", "store", "stories", "story", "story.php", "support", "t", "tag", "team",
    "terms", "trending", "ttarticle", "tv", "u", "user", "users", "v", "video", "videos", "watch",
))  # fmt: skip
"""First path components of sites that are no account."""
_ID: Final = re.compile(r"[?&]id=(\d+)")
_PUBLIC: Final = frozenset((
    "bilibili.com", "b23.tv", "taobao.com", "tmall.com", "jd.com", "pinduoduo.com", "qq.com",
    "weixin.qq.com", "y.qq.com", "v.qq.com", "music.qq.com", "163.com", "music.163.com", "126.com",
    "baidu.com", "tieba.baidu.com", "zhihu.com", "douban.com", "douyin.com", "kuaishou.com",
    "xiaohongshu.com", "huya.com", "douyu.com", "youku.com", "iqiyi.com", "sina.com", "sohu.com",
    "weibo.cn", "ximalaya.com", "acfun.cn", "csdn.net", "gitee.com", "google.com", "gmail.com",
    "facebook.net", "amazon.com", "ebay.com", "etsy.com", "spotify.com",
    "soundcloud.com", "patreon.com", "onlyfans.com", "reddit.com", "github.com", "github.io",
    "gitlab.com", "wikipedia.org", "steam.com", "steampowered.com", "steamcommunity.com",
    "epicgames.com", "roblox.com", "minecraft.net", "battle.net", "blizzard.com", "chess.com",
    "lichess.org", "osu.ppy.sh", "asp.net", "paint.net", "socket.io", "draw.io", "agar.io",
    "slither.io", "last.fm", "linktr.ee", "ko-fi.com", "discord.me", "whatsapp.com", "telegram.org",
    "line.me", "viber.com", "zalo.me", "vk.com", "ok.ru", "yandex.ru", "mail.ru", "naver.com",
    "daum.net", "kakao.com", "shopee.vn", "lazada.vn", "booking.com", "crypto.com", "netflix.com",
    "hulu.com", "disney.com", "apple.com", "microsoft.com", "outlook.com", "hotmail.com",
    "yahoo.com", "live.com", "kick.com", "pixiv.net", "nicovideo.jp", "fc2.com", "dlive.tv",
))  # fmt: skip
"""Hosts that tell nobody without a path."""
_OF_ACCOUNTS: Final = frozenset(("github.io", "taobao.com", "tmall.com", "etsy.com", "t.me"))
"""Sites that give each account a host of its own."""
_SERVICES: Final = re.compile(
    r"^(?:www|m|h5|live|space|pan|mail|bbs|search|store|open|play|help)\."
)
_WORKS: Final = re.compile(
    r"(?:m\.)?(?:youtu\.be(?:/|$)|music\.youtube\.com/watch|clips\.twitch\.tv/"
    r"|bilibili\.com/(?:video|bangumi)/|nicovideo\.jp/watch/|v\.qq\.com/x/"
    r"|store\.steampowered\.com/(?:app|sub|bundle)/|play\.google\.com/store/apps/details"
    r"|apps\.apple\.com/|open\.spotify\.com/(?:intl-[a-z]+/)?(?:track|album)/"
    r"|music\.163\.com/(?:#/)?(?:m/)?(?:song|album)\b|imdb\.com/title/)"
    r"|(?:[a-z\-]{2,12}\.)?(?:m\.)?wikipedia\.org/"
)
"""Links of videos, games, songs and articles: those who show one like it, and that is all."""
_SHORT_LINKS: Final = frozenset((
    "b23.tv", "v.douyin.com", "v.kuaishou.com", "xhslink.com", "t.cn", "url.cn", "dwz.cn", "suo.im",
    "bit.ly", "tinyurl.com", "vm.tiktok.com", "vt.tiktok.com", "goo.gl", "is.gd",
    "cutt.ly", "reurl.cc", "u.jd.com", "m.tb.cn",
))  # fmt: skip
"""Hosts in whose links capitals are other letters."""


def site_of(host: str) -> Kind | None:
    """What accounts of a host are on; None if it has none."""
    return SITES.get(host.removeprefix("m."))


def contact_of(host: str, path: str) -> tuple[Kind, str, int] | None:
    """The contact that a link is; None for one that tells nobody.

    Returns:
        Kind, value, and how many of its last characters have the case of the original.
    """
    if _WORKS.match(host + path):
        return None
    host = host.removeprefix("m.") if site_of(host) else host
    kind = site_of(host)
    parts = [part for part in re.split(r"[/?#]", path) if part]
    if not parts:
        return None if kind or _is_public(host) else ("url", host, 0)
    if kind is None:
        return "url", host + path, len(path) if host in _SHORT_LINKS else 0
    first = parts[0]
    if first in _CODES.get(host, ()) and parts[1:]:
        value = f"{host}/{first}/{parts[1]}"
        return "url", value, len(parts[1]) if path.endswith("/" + parts[1]) else 0
    of_id = _ID.search(path) if first == "profile.php" else None
    if of_id:
        return kind, of_id[1], 0
    later = _BEFORE_AN_ACCOUNT.get(host, {}).get(first)
    name = "".join(parts[later : later + 1]) if later else "" if first in _SECTIONS else first
    name = unquote(name).lstrip("@+~").lower()
    return (kind, name, 0) if name else None


def _is_public(host: str) -> bool:
    """Whether a host is that of a public site or of a part of one, such as `lol.qq.com`."""
    site = _SERVICES.sub("", host)
    if host in _PUBLIC or site in _PUBLIC:
        return True
    whole = site.partition(".")[2]
    return whole not in _OF_ACCOUNTS and (whole in _PUBLIC or whole in SITES)
