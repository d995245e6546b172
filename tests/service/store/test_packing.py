"""Records packed by a dictionary of the store: read whatever they were packed by, if by any."""

import asyncio
import gzip
import itertools
import json
import random
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.features.operations.verification import Findings, check_store
from service.files.checksummed import ChecksummedFolder
from service.store.base import Delete, Record, Upsert
from service.store.embedded.supervisor import EmbeddedStore
from service.store.progress import tell_nobody
from service.store.redis.backup import DICTIONARY, RECORDS, ArchivedStore, BackupFailed
from service.store.redis.packing.dictionary import MOST_PACKED, Dictionary, id_of, packed_by
from service.store.redis.packing.packing import DictionaryTaken
from service.store.redis.packing.repacking import LEAST_SAMPLES, NothingToTrainOn, Repacking
from service.store.redis.packing.training import LEAST_SHARED, dictionary_of
from service.store.redis.packing.vectors import is_packed
from tests.service.conftest import Serve
from tests.service.data_sets import NDJSON, json_line
from tests.service.process import run
from tests.service.store.conftest import FAST, OpenStore
from tests.service.store.records import put, read_log, record, scanned, sequence, upsert
from tests.service.store.test_second_model import NEXT, both, set_target

pytestmark = pytest.mark.anyio

COUNT = LEAST_SAMPLES + 200
WORDS = [f"word{i}" for i in range(300)]


def profile_of(number: int, words: list[str] = WORDS) -> str:
    drawn = random.Random(number).choices(words, k=12)
    fields = {"streamer_id": f"s{number}", "bio": " ".join(drawn), "tags": drawn[:4]}
    return json.dumps({**fields, "language": "zh", "category": "游戏"}, ensure_ascii=False)


def unit(change: Upsert) -> Upsert:
    """With a vector as encoders make them."""
    vector = np.zeros(16, "<f4")
    vector[len(change.record.profile) % 16] = 1.0
    return replace(change, record=replace(change.record, embedding=vector.tobytes()))


def upserts(count: int = COUNT, words: list[str] = WORDS) -> list[Upsert]:
    return [unit(upsert(f"s{i}", profile_of(i, words))) for i in range(count)]


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    return Dictionary(dictionary_of([profile_of(i).encode() for i in range(COUNT)]))


@pytest.fixture
async def store(embedded: EmbeddedStore, admin: Any) -> AsyncIterator[ArchivedStore]:
    opened = await ArchivedStore(embedded.url, limits=FAST).open()
    yield opened
    await opened.close()


@pytest.fixture
async def other(embedded: EmbeddedStore, admin: Any) -> AsyncIterator[ArchivedStore]:
    opened = await ArchivedStore(embedded.url, limits=FAST, prefix="other:").open()
    yield opened
    await opened.close()


async def everything(store: ArchivedStore) -> dict[str, Record]:
    ids = await store.list_ids("", 100_000)
    return {r.streamer_id: r for r in await store.get(ids) if r is not None}


async def names_in(admin: Any, field: str = "profile", prefix: str = "ss:") -> set[bytes | None]:
    """By which dictionaries a field is packed as it is stored; None = by none."""
    keys = [key async for key in admin.scan_iter(f"{prefix}record:*", 1000)]
    return {packed_by(await admin.hget(key, field)) for key in keys}


async def differences(store: ArchivedStore) -> list[tuple[str, str]]:
    findings = Findings()
    await check_store(store, findings, tell_nobody)
    return findings.shown


# A dictionary


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_a_value_comes_back_and_never_grows(dictionary: Dictionary, value: bytes) -> None:
    packed = dictionary.pack(value)
    assert len(packed) <= len(value)
    if packed != value:
        assert packed_by(packed) == dictionary.id
        assert dictionary.unpack(packed) == value


def test_profiles_that_it_was_not_made_from_take_a_third(dictionary: Dictionary) -> None:
    values = [profile_of(i).encode() for i in range(COUNT, COUNT + 100)]
    packed = [dictionary.pack(value) for value in values]
    assert [dictionary.unpack(each) for each in packed] == values
    assert sum(map(len, packed)) < 0.33 * sum(map(len, values))
    alone = Dictionary(b"something else entirely")
    assert sum(map(len, packed)) < 0.6 * sum(len(alone.pack(value)) for value in values)


def test_what_is_short_or_large_stays_as_it_is(dictionary: Dictionary) -> None:
    for value in (b"", b"{}", b"a" * (MOST_PACKED + 1)):
        assert dictionary.pack(value) == value
    assert len(dictionary.pack(b"a" * MOST_PACKED)) < 100


def test_damage_is_an_error(dictionary: Dictionary) -> None:
    packed = dictionary.pack(profile_of(1).encode())
    for wrong in (packed[:-1], packed + b"\0", packed[:9], packed[:7] + b"\xff" * 20):
        with pytest.raises(ValueError, match="damaged"):
            dictionary.unpack(wrong)
    bomb = Dictionary(b"").pack(b"a" * MOST_PACKED)
    with pytest.raises(ValueError, match="damaged"):  # a longer one is cut off
        dictionary.unpack(bomb[:5] + _deflated(b"a" * (MOST_PACKED + 1)))


def _deflated(value: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(value) + packer.flush()


@pytest.mark.parametrize(("shown_by", "is_there"), [(LEAST_SHARED - 1, False), (60, True)])
def test_what_few_show_is_in_no_dictionary(shown_by: int, is_there: bool) -> None:
    secret = b"call 0171-5550123"
    samples = [profile_of(i).encode() for i in range(400)]
    for i in range(shown_by):
        samples[7 * i % 400] = samples[7 * i % 400][:-1] + b', "note": "' + secret + b'"}'
    made = dictionary_of(samples)
    pieces = [secret[i : i + 8] for i in range(len(secret) - 7)]
    assert any(piece in made for piece in pieces) == is_there


def test_samples_that_share_nothing_make_no_dictionary() -> None:
    drawn = random.Random(3)
    assert dictionary_of([]) == b""
    assert dictionary_of([b"{}"] * 50) == b""
    assert dictionary_of([drawn.randbytes(100) for _ in range(200)]) == b""
    assert 0 < len(dictionary_of([profile_of(i).encode() for i in range(300)], 500)) <= 500


# A store


@pytest.mark.slow
async def test_records_of_before_and_of_another_dictionary_stand_beside_new_ones(
    store: ArchivedStore, open_store: OpenStore, admin: Any
) -> None:
    await store.write(upserts())
    before, place = await everything(store), await store.position()
    assert await names_in(admin) == {None}
    first = await Repacking(store).run()
    assert (first.is_new, first.streamers) == (True, COUNT)
    assert first.bytes_after < 0.5 * first.bytes_before
    assert await names_in(admin) == {bytes.fromhex(first.dictionary)}
    assert is_packed(await admin.hget("ss:record:s1", "embedding"))
    assert (await everything(store), await store.position()) == (before, place)
    # Again there is nothing to do, and no other dictionary is made of the same.
    again = await Repacking(store).run()
    assert (again.is_new, again.dictionary) == (False, first.dictionary)
    assert again.bytes_before == again.bytes_after == first.bytes_after
    # Other profiles, another dictionary: readers of the old one go on.
    await store.packing.add(b"words of tomorrow")
    later = upsert("new", profile_of(9, WORDS[:2]) + " tomorrow")
    written = sequence(await store.write([unit(later)]))
    assert len(await names_in(admin)) == 2
    fresh = await open_store()
    assert (await fresh.get(["s1"]))[0] == before["s1"]
    for reader in (store, fresh):
        ((one,),) = [await reader.profiles(["new"])]
        assert one is not None
        assert one.profile.endswith(b" tomorrow")
        (entry,) = await read_log(reader, written - 1, written)
        assert entry.entry is not None
        assert entry.entry.facets == b'{"name":"new"}'
        assert (await scanned(reader))["s1"].facets == before["s1"].facets
    assert await differences(store) == []


async def test_services_that_are_open_write_by_a_new_dictionary(
    store: ArchivedStore, open_store: OpenStore, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await open_store()
    await put(service, "before", profile_of(1))
    made = await store.packing.add(dictionary_of([profile_of(i).encode() for i in range(300)]))
    monkeypatch.setattr("service.store.redis.packing.packing._LOOK_S", 0.0)
    await service.write([Upsert(replace(record("after"), facets=profile_of(2).encode()))])
    assert packed_by(await admin.hget("ss:record:before", "profile")) is None
    assert packed_by(await admin.hget("ss:record:after", "facets")) == made.id
    log = await admin.xrange("ss:log")
    assert packed_by(log[-1][1][b"facets"]) == made.id
    for reader in (store, service):
        entries = [e.entry for e in await read_log(reader, 0, 2)]
        assert [e and e.facets for e in entries][1] == profile_of(2).encode()
        assert (await reader.entries(["after"]))[0] == entries[1]
        page = await reader.page("", 10, 1 << 20)
        assert [p.profile for p in page.profiles] == [b"after", profile_of(1).encode()]
    assert packed_by(await admin.hget("ss:record:after", "digest")) is None


@pytest.mark.slow
async def test_writes_beside_compaction_are_not_undone(store: ArchivedStore, admin: Any) -> None:
    await store.write(upserts())
    written: dict[str, str] = {}

    async def write() -> None:
        for number in range(150):
            await store.write([unit(upsert(f"s{number * 8}", text := profile_of(number + 5000)))])
            written[f"s{number * 8}"] = text
            if number % 10 == 0:
                await store.write([Delete(f"s{number * 8 + 1}")])

    await asyncio.gather(Repacking(store).run(), write())
    found = await everything(store)
    assert len(found) == COUNT - 15
    for number in range(COUNT):
        name = f"s{number}"
        if name in found:
            assert found[name].profile.decode() == written.get(name, profile_of(number))
    assert await differences(store) == []


async def test_what_a_second_model_made_is_packed_too(store: ArchivedStore, admin: Any) -> None:
    await store.write(upserts(20))
    await set_target(store, "filling")
    await store.packing.add(dictionary_of([profile_of(i).encode() for i in range(300)]))
    facets = profile_of(3).encode()
    change = both("s3", profile_of(3))
    assert change.second is not None
    await store.write([replace(change, second=replace(change.second, facets=facets))])
    assert packed_by(await admin.hget("ss:record:s3", "next_facets")) is not None
    view = store.of_model(NEXT)
    assert (await scanned(view))["s3"].facets == facets
    (entry,) = await read_log(view, 20, 21)
    assert entry.entry is not None
    assert entry.entry.facets == facets


async def test_a_store_with_few_streamers_says_what_is_missing(store: ArchivedStore) -> None:
    await store.write(upserts(30))
    with pytest.raises(NothingToTrainOn, match=f"30 streamers.*at least {LEAST_SAMPLES}"):
        await Repacking(store).run()
    drawn = random.Random(1)
    noise = [upsert(f"n{i}", drawn.randbytes(60).hex()) for i in range(LEAST_SAMPLES)]
    noise = [replace(u, record=replace(u.record, facets=b"", modalities=b"")) for u in noise]
    await store.write([*noise, *(Delete(f"s{i}") for i in range(30))])
    with pytest.raises(NothingToTrainOn, match="share nothing"):
        await Repacking(store).run()


@pytest.mark.slow
async def test_a_backup_is_plain_and_brings_its_dictionary(
    store: ArchivedStore, other: ArchivedStore, admin: Any, tmp_path: Path
) -> None:
    await store.write(upserts())
    packed = await Repacking(store).run()
    await store.write([unit(upsert("newer", profile_of(4)))])
    await store.back_up(tmp_path / "copy")
    lines = gzip.decompress((tmp_path / "copy" / RECORDS).read_bytes()).splitlines()
    shown = {line["streamer_id"]: line["profile"] for line in map(json.loads, lines)}
    assert shown["s7"] == profile_of(7)
    source = ChecksummedFolder(tmp_path / "copy")
    assert DICTIONARY in source.files
    await other.restore(source)
    assert await names_in(admin, prefix="other:") == {bytes.fromhex(packed.dictionary)}
    assert await everything(other) == await everything(store)
    assert await differences(other) == []
    assert (await Repacking(other, "other:").run()).is_new is False


@pytest.mark.slow
@pytest.mark.parametrize("what", ["a value", "the dictionary", "another dictionary"])
async def test_damage_is_found_by_verification(
    embedded: EmbeddedStore, store: ArchivedStore, admin: Any, what: str
) -> None:
    await store.write(upserts())
    name = (await Repacking(store).run()).dictionary
    wrong = 1
    if what == "a value":
        value: bytes = await admin.hget("ss:record:s5", "profile")
        await admin.hset("ss:record:s5", "profile", value[:-3])
    elif what == "the dictionary":
        await admin.hdel("ss:dictionaries", name)
        wrong = 2 * COUNT  # profile and facets
    else:
        await admin.hset("ss:dictionaries", name, b"not what it was")
        wrong = 2 * COUNT
    reader = await ArchivedStore(embedded.url, limits=FAST).open()
    try:
        findings = Findings()
        await check_store(reader, findings, tell_nobody)
    finally:
        await reader.close()
    assert findings.count == wrong
    assert findings.shown[0][1] == "has a profile that its digest is not of"


async def test_an_open_service_gives_back_a_dictionary_that_the_store_has_lost(
    store: ArchivedStore, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await store.packing.add(dictionary_of([profile_of(i).encode() for i in range(300)]))
    await store.write(upserts(3))
    await admin.delete("ss:dictionaries")
    monkeypatch.setattr("service.store.redis.packing.packing._LOOK_S", 0.0)
    await store.write([unit(upsert("after", profile_of(9)))])
    assert await store.packing.all() == {made.id.hex(): made.content}


async def test_a_backup_copies_nothing_that_it_cannot_read(
    store: ArchivedStore, admin: Any, tmp_path: Path
) -> None:
    await store.write(upserts(3))
    await admin.hset("ss:record:s1", "facets", Dictionary(b"of nobody").pack(b"x" * 400))
    with pytest.raises(BackupFailed, match="`verify` names it"):
        await store.back_up(tmp_path / "copy")
    assert any(name == "s1" and "facets" in what for name, what in await differences(store))


def two_of_one_id() -> tuple[bytes, bytes]:
    """Two contents whose digests begin with the same 4 bytes; some 80,000 are enough."""
    seen: dict[bytes, bytes] = {}
    for content in (str(number).encode() for number in itertools.count()):
        other = seen.setdefault(id_of(content), content)
        if other != content:
            return other, content
    raise AssertionError("unreachable")


async def test_a_dictionary_is_mended_and_another_one_of_its_id_is_not_replaced(
    store: ArchivedStore, admin: Any
) -> None:
    made = Dictionary(b"some content")
    await admin.hset("ss:dictionaries", made.id.hex(), b"damaged")
    assert (await store.packing.add(b"some content")).id == made.id
    assert await admin.hget("ss:dictionaries", made.id.hex()) == b"some content"
    other, content = two_of_one_id()
    await store.packing.add(other)
    with pytest.raises(DictionaryTaken, match=f"another dictionary {id_of(content).hex()}"):
        await store.packing.add(content)
    assert (await store.packing.all())[id_of(other).hex()] == other


async def test_a_page_has_no_more_than_was_asked_for(store: ArchivedStore) -> None:
    await store.packing.add(dictionary_of([profile_of(i).encode() for i in range(300)]))
    await store.write(upserts(40))
    size = len(profile_of(1))
    found: list[str] = []
    after = ""
    while True:
        page = await store.page(after, 100, 5 * size)
        assert 1 <= sum(len(p.profile) for p in page.profiles) <= 5 * size
        found += [p.streamer_id for p in page.profiles]
        if page.next_after is None:
            break
        after = page.next_after
    assert found == sorted(f"s{i}" for i in range(40))


# The command


@pytest.mark.slow
def test_the_command_packs_beside_a_service_that_reads_and_writes_on(
    serve: Serve, tmp_path: Path
) -> None:
    service = serve()
    lines = "".join(json_line(json.loads(profile_of(i))) for i in range(COUNT))
    service.client.post("/v1/streamers:bulk", content=lines, headers=NDJSON).raise_for_status()
    before = service.client.get("/v1/streamers/s7").json()
    few = run("compact", "--data-dir", service.data_dir, "--json")
    assert few.returncode == 0, few.stderr
    packed = json.loads(few.stdout)
    assert (packed["is_new"], packed["streamers"]) == (True, COUNT)
    assert packed["bytes_after"] < 0.5 * packed["bytes_before"]
    assert service.client.get("/v1/streamers/s7").json() == before
    service.put("late", bio="what is written later", tags=["cooking"])
    assert service.stop() == 0
    verified = run("verify", "--data-dir", service.data_dir)
    assert verified.returncode == 0, verified.stdout
    again = serve()
    assert again.client.get("/v1/streamers/s7").json() == before
    assert again.client.get("/v1/streamers/late").json()["profile"]["tags"] == ["cooking"]
