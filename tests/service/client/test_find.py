"""Finding by name, facet counts and ratings by the client, with asyncio and without."""

import asyncio

import pytest

from service.client import AsyncClient, Client, Invalid, NotFound
from service.client.models import FilterIn
from tests.service.process import Service

pytestmark = pytest.mark.slow


def test_finding_by_name(service: Service) -> None:
    with Client(service.url) as client:
        for number in range(5):
            name = f"luna {'i' * (number + 1)}"  # the shorter ones come first
            client.put(f"n{number}", {"name": name, "tags": ["music"]})
        client.put("zh", {"name": "月亮", "language": "zh", "tags": ["music"]})
        page = client.find.page("luna", limit=2)
        assert [found.streamer_id for found in page.streamers] == ["n0", "n1"]
        rest = client.find.page("luna", limit=9, cursor=page.next_cursor)
        assert [found.streamer_id for found in rest.streamers] == ["n2", "n3", "n4"]
        every = [found.streamer_id for found in client.find.all("luna", page_size=2)]
        assert every == ["n0", "n1", "n2", "n3", "n4"]
        wanted = FilterIn.model_validate({"must": [{"field": "language", "any": ["zh"]}]})
        assert [found.name for found in client.find.all("月亮", filter=wanted)] == ["月亮"]
        assert [*client.find.all("luna", filter=wanted)] == []
        facets = client.find.facets(["language"], filter=wanted)
        assert [(v.value, v.count) for v in facets.fields[0].values] == [("zh", 1)]
        assert [counts.field for counts in client.find.facets().fields] == [
            "category",
            "language",
            "tags",
        ]
        with pytest.raises(Invalid, match="two characters"):
            client.find.page("l")


def test_ratings(service: Service) -> None:
    async def scenario() -> None:
        async with AsyncClient(service.url) as client:
            for name in ("seed", "hit"):
                await client.put(name, {"tags": ["music"]})
            rating = {"question": {"positive": ["seed"]}, "streamer_id": "hit", "rating": 2}
            given = await client.ratings.put(rating)
            assert given.before is None
            listed = [one async for one in client.ratings.all(given.question_id, page_size=1)]
            assert [(one.streamer_id, one.rating) for one in listed] == [("hit", 2)]
            assert (await client.ratings.page()).ratings == listed
            mine = await client.ratings.mine({"positive": ["seed"]}, ["hit", "seed"])
            assert mine.question_id == given.question_id
            assert [(one.streamer_id, one.rating) for one in mine.ratings] == [("hit", 2)]
            assert (await client.ratings.delete(given.question_id, "hit")).rating == 2
            with pytest.raises(NotFound):
                await client.ratings.delete(given.question_id, "hit")

    asyncio.run(scenario())
