"""A set that is too large to be kept gives what a small one gives."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.training.data.folders import write_folder
from training.data import DataError, Dataset, load_dataset
from training.data.passes import mapped, subset
from training.data.problems import Problem
from training.data.streamers import StreamerFile, Streamers, read_streamers
from training.world import generate
from training.world.files import write_world


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of 300 streamers in row groups of 70."""
    folder = tmp_path_factory.mktemp("parquet")
    write_world(generate(300, 3), folder, 3, "parquet")
    file = folder / "streamers.parquet"
    pq.write_table(pq.read_table(file), file, row_group_size=70)
    return folder


@pytest.fixture(params=["jsonl", "parquet"])
def both(request: pytest.FixtureRequest, world_folder: Path, parquet: Path) -> list[Dataset]:
    """The same set kept and not kept."""
    folder = world_folder if request.param == "jsonl" else parquet
    return [load_dataset(folder), load_dataset(folder, in_memory=299)]


@pytest.mark.slow
def test_all_profiles_are_the_same_at_every_pass(both: list[Dataset]):
    kept, read = both
    assert isinstance(kept.profiles, list)
    assert isinstance(read.profiles, StreamerFile)
    assert len(read.profiles) == 300
    for _ in range(2):
        assert list(read.profiles) == kept.profiles
    assert (read.ids, read.spaces) == (kept.ids, kept.spaces)


@pytest.mark.slow
def test_single_profiles_and_slices_are_found(both: list[Dataset]):
    kept, read = both
    for place in (0, 69, 70, 141, 299, -1):
        assert read.profiles[place] == kept.profiles[place]
    assert read.profiles[65:75] == kept.profiles[65:75]
    assert read.profiles[290:] == kept.profiles[290:]
    assert read.profiles[:0] == []
    with pytest.raises(IndexError):
        read.profiles[300]


@pytest.mark.slow
@pytest.mark.parametrize("places", [[], [0], [3, 68, 69, 70, 210, 299], [140, 141, 142]])
def test_subsets_and_what_is_made_of_them(both: list[Dataset], places: list[int]):
    rows = np.array(places, np.int64)
    names = [mapped(lambda p: p.streamer_id, subset(each.profiles, rows)) for each in both]
    for found in (*names, subset(mapped(lambda p: p.streamer_id, both[1].profiles), rows)):
        assert list(found) == [both[0].ids[place] for place in places]
        assert len(found) == len(places)
    inner = np.arange(len(places))[1::2]
    assert list(subset(names[1], inner)) == list(subset(names[0], inner))


def test_a_file_that_was_changed_meanwhile_is_named(tmp_path: Path):
    folder = write_folder(tmp_path)
    read = load_dataset(folder, in_memory=0)
    file = folder / "streamers.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    new = b'{"streamer_id": "new"}\n'
    for spoilt in (lines[:2], [*lines[:3], b"{\n"], [*lines[:3], b"\xff\n"], [new, *lines]):
        file.write_bytes(b"".join(spoilt))
        with pytest.raises(DataError, match=r"streamers\.jsonl was changed while it was in use"):
            list(read.profiles)
    file.unlink()
    with pytest.raises(DataError, match=r"streamers\.jsonl was changed while it was in use"):
        list(read.profiles)


def test_a_file_that_is_replaced_while_it_is_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = write_folder(tmp_path)
    file = folder / "streamers.jsonl"

    def replaced(path: Path, problems: list[Problem], in_memory: int) -> Streamers:
        found = read_streamers(path, problems, in_memory)
        with file.open("ab") as appended:
            appended.write(b'{"streamer_id": "new"}\n')
        return found

    monkeypatch.setattr("training.data.dataset.read_streamers", replaced)
    with pytest.raises(DataError, match=r"streamers\.jsonl: was changed while it was read"):
        load_dataset(folder)


def test_bad_lines_of_a_large_set_are_named_too(tmp_path: Path):
    folder = write_folder(tmp_path, {("streamers.jsonl", 4): b'{"streamer_id": "a"}'})
    with pytest.raises(DataError, match=r"streamers\.jsonl:4: streamer_id: 'a' is already on line"):
        load_dataset(folder, in_memory=0)


def test_a_broken_row_group_is_named(tmp_path: Path):
    table = pa.table({"streamer_id": [f"s{i}" for i in range(4000)], "bio": ["x" * 50] * 4000})
    file = tmp_path / "streamers.parquet"
    pq.write_table(table, file, row_group_size=2000, compression="none", use_dictionary=False)
    content = bytearray(file.read_bytes())
    place = content.index(b"s3000") - 200
    content[place : place + 64] = bytes(64)
    file.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"streamers\.parquet:\d+: "):
        load_dataset(tmp_path)
