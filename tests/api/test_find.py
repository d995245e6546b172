"""Streamers are found by what people remember of them; values of filters are counted."""

from typing import Any

import pytest

from tests.conftest import Serve
from tests.support.api import Api, wrong_fields
from tests.support.service import Service, wait_until

FIND, FACETS, LIST = "/v1/streamers:find", "/v1/streamers:facets", "/v1/streamers"
KITCHEN: dict[str, Any] = {
    "name": "夜猫子厨房",
    "tags": ["面食", "noodles"],
    "language": "zh",
    "category": "food",
    "attributes": {"followers": 10},
}
NAMES = {  # of other scripts, by what is asked for
    "wide-luna": ("ＬＵＮＡ直播", "luna直播"),
    "spaced-mona": ("m o n a 直播", "mona"),
    "disguised-vera": ("Vεrа晚安", "vera晚安"),
    "traditional": ("小美廚房", "小美厨房"),
    "simplified": ("征信", "徵信"),
    "japanese": ("夢の國度", "梦の国度"),
    "surname": ("髙橋", "高橋"),
    "thai": ("เสียงเพลง", "เพลง"),
    "cyrillic": ("музыка", "МУЗЫ"),
    "yo": ("Ёлка", "елка"),
    "arabic": ("موسيقى", "سيق"),
    "arabic-points": ("أَحْمَد", "احمد"),
    "persian": ("کریم", "كريم"),
    "hebrew": ("יוֹסֵף", "יוסף"),
    "vietnamese": ("Nguyễn Đoàn", "nguyen doan"),
    "polish": ("Łukasz", "lukasz"),
    "german": ("Straße", "strasse"),
    "emoji": ("🇧🇷🎸rock", "🎸rock"),
}
SOUNDS = {  # marks that make another sound, by what is not asked for
    "kana": ("がん", "かん"),
    "thai-vowel": ("น้ำ", "นม"),
    "hangul": ("한글", "하글"),
}


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"STREAMER_LIMITS__VISIBLE_TIMEOUT_MS": "200"}


@pytest.fixture(scope="module")
def world(api: Api) -> Api:
    """The service with streamers that no test changes; all names are found."""
    people: list[dict[str, Any]] = [
        {"streamer_id": "kitchen", **KITCHEN},
        {"streamer_id": "branch", "name": "夜猫子厨房分店", "language": "zh"},
        {"streamer_id": "fan", "name": "我最爱夜猫子", "bio": "I watch the night kitchen daily"},
        {
            "streamer_id": "tagged",
            "name": "someone",
            "tags": ["夜猫子", "music"],
            "attributes": {"followers": 500},
        },
        {"streamer_id": "empty"},
        {"streamer_id": "Stella", "name": "x"},
        {"streamer_id": "star", "name": "Stella"},
        {"streamer_id": "quoted", "name": 'a"b OR "c', "bio": 'NEAR("x" y) -z*'},
        *(
            {
                "streamer_id": f"g{number:02}",
                "name": f"guest {number:02}",
                "tags": ["music"],
                "attributes": {"followers": number, "live": number % 2 == 0},
            }
            for number in range(30)
        ),
        *({"streamer_id": name, "name": n} for name, (n, _) in {**NAMES, **SOUNDS}.items()),
    ]
    last = api.write(people)
    api.ok("GET", LIST, params={"q": "guest", "after_sequence": last})
    return api


def found(api: Api, q: str, **options: Any) -> list[tuple[str, str]]:
    """Ids and how they were found, by both routes, which have to agree."""
    answer = api.ok("POST", FIND, {"q": q, **options})
    assert (answer["complete"], answer["incomplete_because"]) == (True, None)
    hits = [(hit["streamer_id"], hit["matched"]) for hit in answer["streamers"]]
    if "filter" not in options:
        listed = api.ok("GET", LIST, params={"q": q, "limit": 20, **options})
        assert listed["complete"] is True
        assert [(s["streamer_id"], s["matched"]) for s in listed["streamers"]] == hits
    return hits


def test_the_best_come_first_and_are_told_how_they_were_found(world: Api) -> None:
    assert found(world, "夜猫子") == [
        ("kitchen", "name_beginning"),
        ("branch", "name_beginning"),
        ("fan", "name_part"),
        ("tagged", "tag"),
    ]
    assert found(world, "夜貓子廚房")[0] == ("kitchen", "name")
    assert found(world, "Kitchen night") == [("fan", "bio")]
    assert found(world, "kitch") == []  # words of letters are whole
    assert found(world, "kitchen") == [("kitchen", "id"), ("fan", "bio")]
    assert found(world, "Stella") == [("Stella", "id"), ("star", "name")]
    assert found(world, "猫子") == [
        ("kitchen", "name_part"),
        ("fan", "name_part"),
        ("branch", "name_part"),
        ("tagged", "tag"),
    ]
    assert found(world, "nobody is called so") == []


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_any_script_is_found_as_keyboards_write_it(world: Api, name: str) -> None:
    written, asked = NAMES[name]
    for text in (written, asked):
        assert name in [streamer_id for streamer_id, _ in found(world, text)]


@pytest.mark.parametrize("name", SOUNDS)
def test_marks_that_are_sounds_count(world: Api, name: str) -> None:
    written, other = SOUNDS[name]
    assert name in dict(found(world, written))
    assert name not in dict(found(world, other))


def test_no_text_is_an_expression(world: Api) -> None:
    for text in (
        '" OR "',
        "NEAR(ab",
        "*^:{}ab",
        "ab" * 100,
        "\x00\x01ab",
        "terms:ab",
        "-zz",
        "$$ab",
    ):
        assert len(world.ok("POST", FIND, {"q": text})["streamers"]) <= 1
    assert found(world, 'a"b or') == [("quoted", "name_beginning")]


def test_an_answer_has_what_the_index_knows_and_the_list_whole_profiles(world: Api) -> None:
    (first,) = world.ok("POST", FIND, {"q": "夜猫子厨房", "limit": 1})["streamers"]
    assert first == {"streamer_id": "kitchen", "matched": "name", **KITCHEN}
    (listed,) = world.ok("GET", LIST, params={"q": "夜猫子厨房", "limit": 1})["streamers"]
    assert listed.pop("matched") == "name"
    assert listed == world.ok("GET", "/v1/streamers/kitchen")
    (bare,) = world.ok("POST", FIND, {"q": "empty"})["streamers"]
    nothing = {"name": None, "category": None, "language": None, "tags": [], "attributes": {}}
    assert bare == {"streamer_id": "empty", "matched": "id", **nothing}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"must": [{"field": "language", "any": ["zh"]}]}, ["kitchen", "branch"]),
        ({"must_not": [{"field": "language", "any": ["zh"]}]}, ["fan", "tagged"]),
        ({"must": [{"field": "followers", "gte": 100}]}, ["tagged"]),
        ({"must": [{"field": "followers", "gte": 10, "lt": 500}]}, ["kitchen"]),
        ({"must": [{"field": "tags", "any": ["面食", "music"]}]}, ["kitchen", "tagged"]),
        ({"must": [{"field": "streamer_id", "any": ["fan", "g01"]}]}, ["fan"]),
        ({"must": [{"field": "colour", "any": ["red"]}]}, []),
    ],
)
def test_a_filter_says_who_may_be_found(
    world: Api, wanted: dict[str, Any], expected: list[str]
) -> None:
    assert [name for name, _ in found(world, "夜猫子", filter=wanted)] == expected


def test_who_has_no_usable_content_is_found_and_filtered(world: Api) -> None:
    only = [{"field": "streamer_id", "any": ["empty"]}]
    assert found(world, "empty", filter={"must": only}) == [("empty", "id")]
    assert found(world, "empty", filter={"must_not": only}) == []


@pytest.mark.parametrize(("wanted", "step"), [({}, 1), ({"field": "live", "any": [True]}, 2)])
def test_pages_go_on_where_the_last_one_ended(
    world: Api, wanted: dict[str, Any], step: int
) -> None:
    body: dict[str, Any] = {
        "q": "guest",
        "limit": 7,
        "filter": {"must": [wanted] if wanted else []},
    }
    seen, sizes = list[str](), list[int]()
    while True:
        page = world.ok("POST", FIND, body)
        seen += [hit["streamer_id"] for hit in page["streamers"]]
        sizes.append(len(page["streamers"]))
        if page["next_cursor"] is None:
            break
        body["cursor"] = page["next_cursor"]
    assert max(sizes) <= 7
    assert sorted(seen) == [f"g{n:02}" for n in range(0, 30, step)]
    if step == 1:
        pages = list(world.pages(LIST, "streamers", q="guest", limit=8))
        assert [len(page) for page in pages][:3] == [8, 8, 8]
        assert [streamer["streamer_id"] for page in pages for streamer in page] == seen


def test_a_cursor_is_of_one_question(world: Api) -> None:
    page = world.ok("POST", FIND, {"q": "guest", "limit": 3})
    only = {"must": [{"field": "live", "any": [True]}]}
    for body in (
        {"q": "someone", "cursor": page["next_cursor"]},
        {"q": "guest", "cursor": page["next_cursor"], "filter": only},
        {"q": "guest", "cursor": "bm8"},
        {"q": "guest", "cursor": "!"},
    ):
        problem = world.refused("POST", FIND, body, status=422, code="invalid_request")
        assert wrong_fields(problem) == ["cursor"]
    plain = world.ok("GET", LIST, params={"limit": 1})["next_cursor"]
    for params in (
        {"q": "someone", "cursor": page["next_cursor"]},
        {"q": "guest", "cursor": plain},
    ):
        problem = world.refused("GET", LIST, status=422, code="invalid_request", params=params)
        assert wrong_fields(problem) == ["cursor"]


@pytest.mark.parametrize("q", ["a", "  ", "!?", "é.", "界", "", "x" * 201])
def test_less_than_two_characters_are_refused_and_more_than_200(world: Api, q: str) -> None:
    problem = world.refused("POST", FIND, {"q": q}, status=422, code="invalid_request")
    assert wrong_fields(problem) == ["/q"]
    problem = world.refused("GET", LIST, status=422, code="invalid_request", params={"q": q})
    assert wrong_fields(problem) == ["q"]


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        (FIND, {}, ["/q"]),
        (FIND, {"q": "guest", "limit": 0}, ["/limit"]),
        (FIND, {"q": "guest", "limit": 1001}, ["/limit"]),
        (FIND, {"q": "guest", "after_sequence": -1}, ["/after_sequence"]),
        (FIND, {"q": "guest", "colour": "red"}, ["/colour"]),
        (FIND, {"q": "guest", "filter": {"must": [{"field": "live"}]}}, ["/filter/must/0"]),
        (FACETS, {"fields": []}, ["/fields"]),
        (FACETS, {"fields": ["tags", "x" * 81]}, ["/fields/1"]),
        (FACETS, {"fields": ["x"] * 21}, ["/fields"]),
        (FACETS, {"most": 0}, ["/most"]),
        (FACETS, {"most": 1001}, ["/most"]),
        (FACETS, {"filter": {"must": [{"field": "live"}]}}, ["/filter/must/0"]),
    ],
)
def test_a_wrong_question_is_named(
    world: Api, path: str, body: dict[str, Any], fields: list[str]
) -> None:
    problem = world.refused("POST", path, body, status=422, code="invalid_request")
    assert wrong_fields(problem) == fields


def test_values_are_counted_of_whom_the_filter_lets_through(world: Api) -> None:
    body: dict[str, Any] = {
        "fields": ["tags", "live", "followers", "nothing", "live"],
        "filter": {"must": [{"field": "followers", "lt": 20}]},
        "most": 3,
    }
    answer = world.ok("POST", FACETS, body)
    assert (answer["count"], answer["complete"]) == (21, True)
    tags, live, followers, nothing = answer["fields"]
    assert tags["values"][0] == {"value": "music", "count": 20}
    assert {v["value"]: v["count"] for v in tags["values"][1:]} == {"noodles": 1, "面食": 1}
    assert (tags["more"], tags["numbers"]) == (False, None)
    assert live["values"] == [{"value": False, "count": 10}, {"value": True, "count": 10}]
    assert followers["values"][0] == {"value": 10, "count": 2}
    assert len(followers["values"]) == 3
    assert followers["more"]
    numbers = followers["numbers"]
    assert (numbers["count"], len(numbers["deciles"])) == (21, 11)
    assert (numbers["deciles"][0], numbers["deciles"][5], numbers["deciles"][-1]) == (0, 10, 19)
    assert nothing == {"field": "nothing", "values": [], "more": False, "numbers": None}
    assert answer["unknown_fields"] == ["nothing"]
    assert {"category", "followers", "language", "live", "tags"} <= {*answer["known_fields"]}
    many = world.ok("POST", FACETS, {**body, "fields": ["followers"], "most": 1000})
    assert sum(v["count"] for v in many["fields"][0]["values"]) == 21
    guests = {"must": [{"field": "live", "any": [True, False]}]}
    default = world.ok("POST", FACETS, {"filter": guests})
    assert [field["field"] for field in default["fields"]] == ["category", "language", "tags"]
    assert default["fields"][2]["values"] == [{"value": "music", "count": 30}]


def test_a_write_is_found_and_a_deleted_or_renamed_streamer_is_not(api: Api) -> None:
    def names(q: str, sequence: int) -> list[str]:
        listed = api.ok("GET", LIST, params={"q": q, "after_sequence": sequence})
        ids = [streamer["streamer_id"] for streamer in listed["streamers"]]
        asked = api.ok("POST", FIND, {"q": q, "after_sequence": sequence})
        assert [hit["streamer_id"] for hit in asked["streamers"]] == ids
        return ids

    assert names("aurora", api.put_streamer("one", name="Aurora", bio="yodels")) == ["one"]
    renamed = api.put_streamer("one", name="Borealis", bio="yodels")
    assert names("aurora", renamed) == []
    assert names("borealis", renamed) == names("yodels", renamed) == ["one"]
    only = {"must": [{"field": "tags", "any": ["yodel"]}]}
    before = api.ok("POST", FACETS, {"filter": only})
    tagged = api.ok("PATCH", "/v1/streamers/one", {"tags": ["yodel", "music"]})["sequence"]
    after = api.ok("POST", FACETS, {"filter": only, "after_sequence": tagged})
    assert (before["count"], after["count"]) == (0, 1)
    assert {v["value"] for v in after["fields"][2]["values"]} == {"yodel", "music"}
    deleted = api.ok("DELETE", "/v1/streamers/one")["sequence"]
    assert names("borealis", 0) == names("borealis", deleted) == []
    assert api.ok("POST", FACETS, {"filter": only, "after_sequence": deleted})["count"] == 0


def test_a_write_that_does_not_come_is_not_waited_for_too_long(api: Api) -> None:
    late = api.ok("PUT", "/v1/streamers/late", {"name": "Late"}, 201)["sequence"] + 10**6
    answers = [
        api.get(LIST, params={"q": "late", "after_sequence": late}),
        api.post(FIND, json={"q": "late", "after_sequence": late}),
        api.post(FACETS, json={"after_sequence": late}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "not_yet_visible")
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["store_sequence"] < late


def test_names_are_found_again_after_a_restart_and_when_their_file_is_damaged(
    serve: Serve,
) -> None:
    def is_found(service: Service) -> bool:
        answer = service.api.ok("GET", LIST, params={"q": "luna"})
        return [streamer["streamer_id"] for streamer in answer["streamers"]] == ["one"]

    service = serve()
    service.api.put_streamer("one", name="Luna")
    wait_until(lambda: is_found(service), "the name is found")
    service.stop()
    (file,) = (service.data_dir / "names").glob("*.sqlite")
    file.write_bytes(b"damaged" * 3000)
    again = serve()
    wait_until(lambda: is_found(again), "the name is found in a new file")
