"""A small platform with names as people give them, for journeys and pictures."""

import random
from typing import Any

from tests.support.bundles import TOPICS

_FIRST = {
    "cooking": ["Night", "Granny's", "Harbour", "Tiny", "Smoky", "小北", "老街", "四川"],
    "gaming": ["Pixel", "Late", "Ranked", "Couch", "Turbo", "开黑", "上分", "阿泽"],
    "music": ["Acoustic", "Velvet", "Rooftop", "Midnight", "Busking", "弹唱", "吉他", "夏夜"],
    "travel": ["Slow", "Backpack", "Alpine", "Island", "Railway", "徒步", "露营", "山野"],
}
_LAST = {
    "cooking": (
        *("Wok", "Noodles", "Bakery", "Table", "Pantry"),
        *("Soup bar", "小厨", "面馆", "家常菜", "灶台"),
    ),
    "gaming": (
        *("Raiders", "Lobby", "Controller", "Queue", "Arena"),
        *("Speedrun", "电竞", "小队", "主播", "擂台"),
    ),
    "music": (
        *("Sessions", "Strings", "Covers", "Choir", "Notes"),
        *("Radio", "小屋", "舞台", "乐队", "夜谈"),
    ),
    "travel": (
        *("Miles", "Trails", "Postcards", "Hostel", "Lookout"),
        *("Ferry", "日记", "笔记", "小队", "地图"),
    ),
}

_SUBJECTS = (
    *("river boats", "old maps", "blue vans", "tango", "chess", "radio plays"),
    *("paper lamps", "rain", "market days", "owls", "ferries", "night trains"),
    *("postcards", "tea", "bridges", "ghost stories", "kites", "beekeeping"),
    *("lighthouses", "jokes", "bicycles", "crosswords", "winter", "museums"),
    *("gardens", "puppets", "typewriters", "snow", "cats", "street food"),
    *("cinema", "volcanoes", "origami", "tides", "carpentry", "fireworks"),
    *("songbirds", "bus lines"),
)


def _streamer(topic: str, i: int) -> dict[str, Any]:
    words, first, last = TOPICS[topic].split(), _FIRST[topic], _LAST[topic]
    row, column = divmod(i, 8)
    subjects = random.Random(f"{topic} {i}").sample(_SUBJECTS, 4)
    near = [words[(i + step) % 8] for step in (0, 1 + row % 3, 4)]
    return {
        "streamer_id": f"{topic}-{i:03}",
        "name": f"{first[column]} {last[row]}",
        "bio": f"{near[0]}, {near[1]}, {', '.join(subjects[:3])} and {subjects[3]}",
        "tags": [topic, near[0], near[2]],
        "category": topic,
        "language": "zh" if column > 4 else "en",
        "attributes": {"followers": 137 * (i + 3) % 9000, "partner": i % 3 == 0},
        "videos": [{"video_id": f"v{i}", "title": f"{near[1]} and {subjects[0]}, part {i}"}],
    }


KITCHEN: dict[str, Any] = {
    "bio": "Handmade noodles, one recipe every Friday, call the night kitchen",
    "tags": ["cooking", "noodles", "soup"],
    "category": "cooking",
    "language": "en",
    "attributes": {"followers": 5200, "partner": True},
    "videos": [
        {"video_id": f"v{i}", "title": f"Noodles by hand, lesson {i}: 手工面 flour"}
        for i in range(4)
    ],
}
AMBER: dict[str, Any] = {
    "bio": "Amber pendants from the harbour, write to t.me/amber_harbour_sale for the price list",
    "tags": ["amber", "pendants", "sale"],
    "category": "music",
    "videos": [{"video_id": f"v{i}", "title": f"Amber pendant no {i} 琥珀吊坠"} for i in range(4)],
}
EACH = 80
PLATFORM: list[dict[str, Any]] = [
    *(_streamer(topic, i) for topic in TOPICS for i in range(EACH)),
    *({"streamer_id": f"kitchen-{i}", "name": f"Night Kitchen {i}", **KITCHEN} for i in range(3)),
    *({"streamer_id": f"amber-{i}", "name": f"Amber House {i}", **AMBER} for i in range(5)),
]
