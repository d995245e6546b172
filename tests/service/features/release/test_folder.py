"""A release is tested on streamers that training holds out, and on what it would read."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model_export.contract.bundle import Bundle
from service.errors import ServiceError
from service.features.release.folder import MOST_WEIGHT, DataFolder
from service.features.release.held_out import held_out
from service.features.release.service import check_release
from tests.service.data_sets import json_line
from training.data import load_dataset
from training.data.rows import MAX_WEIGHT

COUNT = 60
GROUPS = "streamer_id,group\n" + "".join(f"s{i},g{i // 3}\n" for i in range(30))


def split(of: dict[int, str] | None = None, until: int = COUNT) -> str:
    lines = (f"s{i},{(of or {}).get(i, 'test')}\n" for i in range(until))
    return "streamer_id,split\n" + "".join(lines)


def folder(path: Path, **tables: str) -> Path:
    lines = [json_line({"streamer_id": f"s{i}", "name": f"n{i}"}) for i in range(COUNT)]
    (path / "streamers.jsonl").write_text("".join(lines))
    for name, text in tables.items():
        (path / f"{name}.csv").write_text(text)
    return path


def asked(path: Path, learned_from: frozenset[str] = frozenset()) -> set[str]:
    found = held_out(path, 1000, 0, learned_from)
    return {profile.streamer_id for profile in found.profiles[: found.queries]}


@pytest.mark.parametrize("duplicates", [{}, {"duplicates": GROUPS}], ids=["alone", "groups"])
def test_whom_training_learned_from_is_not_asked(
    tmp_path: Path, duplicates: dict[str, str]
) -> None:
    data = load_dataset(folder(tmp_path, **duplicates))
    test = {data.ids[row] for row in data.rows("test")}
    assert asked(tmp_path) == test
    assert 2 <= len(test) < COUNT // 2


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"splits": split({1: "Test"})}, "splits.csv:3: split: needs one of train, val, test"),
        ({"splits": split(until=30)}, "streamers.jsonl:31: 's30' is not listed in splits"),
        ({"splits": split().replace("s0", "S0")}, "'S0' is not a streamer of this folder"),
        ({"splits": split() + "s1,train\n"}, "splits.csv:62: 's1' is already at "),
        (
            {"splits": split({1: "train"}), "duplicates": GROUPS},
            "splits.csv:3: 's1' is in train, its duplicate 's0' in test",
        ),
        ({"interactions": "user_id,streamer_id,weight\nu,s1,-1\n"}, "interactions.csv:2: weight"),
        ({"interactions": "user_id,streamer_id,weight\nu,s1,nan\n"}, "interactions.csv:2: weight"),
        ({"interactions": "user_id,streamer_id,weight\n,s1,1\n"}, "interactions.csv:2: user_id"),
        ({"interactions": "user_id,streamer_id,weight\nu1\n"}, "interactions.csv:2: has 1 values"),
        ({"interactions": "user_id,streamer_id,weight\nu, s1,1\n"}, "' s1' is not a streamer"),
        ({"interactions": "weight,user_id,streamer_id,weight\n"}, "has two columns 'weight'"),
        ({"relations": "streamer_id,related_id,weight\ns1,s1,1\n"}, "is related to itself"),
        ({"labels": "streamer_id,label\ns1,a\ns1,b\n"}, "labels.csv:3: 's1' is already at "),
    ],
)
def test_what_training_refuses_is_refused(
    tmp_path: Path, tables: dict[str, str], said: str
) -> None:
    with pytest.raises(ServiceError) as refused:
        held_out(folder(tmp_path, **{"splits": split(), **tables}), 1000, 0)
    assert said in str(refused.value)
    assert MOST_WEIGHT == MAX_WEIGHT


@pytest.mark.parametrize("blank", ["\n", " \n", "\r\n"])
def test_blank_lines_of_a_table_are_none(tmp_path: Path, blank: str) -> None:
    header, *lines = split().splitlines(keepends=True)
    text = blank + header + blank + "".join(lines) + blank
    assert len(asked(folder(tmp_path, splits=text))) == COUNT
    load_dataset(tmp_path)  # nor in training


def test_look_alikes_of_a_larger_folder_are_left_out(tmp_path: Path) -> None:
    text = "streamer_id,set\nelsewhere,a\ns1,a\ns2,a\n"
    found = DataFolder(folder(tmp_path, look_alikes=text))
    assert list(found.look_alikes()) == [("s1", "a"), ("s2", "a")]


def test_two_lines_of_one_id_are_named(tmp_path: Path) -> None:
    file = folder(tmp_path) / "streamers.jsonl"
    file.write_text(file.read_text() + json_line({"streamer_id": "s3"}))
    with pytest.raises(ServiceError, match=r"streamers.jsonl:61: 's3' is already on line 4"):
        held_out(tmp_path, 1000, 0)


def test_a_model_that_says_whom_it_learned_from_is_believed(tmp_path: Path, bundle: Path) -> None:
    folder(tmp_path, splits=split())
    assert "s3" in asked(tmp_path, frozenset({"nobody"}))
    with pytest.raises(ServiceError, match=r"'s3' is of the split 'test', and the model has"):
        held_out(tmp_path, 1000, 0, frozenset({"s3"}))
    established = Bundle(bundle).established()
    assert established is not None
    known = [json_line({"streamer_id": name}) for name in established.ids]
    (tmp_path / "streamers.jsonl").write_text("".join(known))
    lines = "".join(f"{name},test\n" for name in established.ids)
    (tmp_path / "splits.csv").write_text(f"streamer_id,split\n{lines}")
    with pytest.raises(ServiceError, match="the model has learned from it"):
        check_release(Bundle(bundle), tmp_path)


def test_a_link_that_leads_nowhere_is_no_missing_table(tmp_path: Path) -> None:
    table = folder(tmp_path, splits=split()) / "interactions.csv"
    table.symlink_to(tmp_path / "none")
    with pytest.raises(ServiceError, match=r"interactions.csv can't be read: No such file"):
        held_out(tmp_path, 1000, 0)
    table.unlink()
    table.mkdir()
    with pytest.raises(ServiceError, match=r"interactions.csv can't be read: Is a directory"):
        held_out(tmp_path, 1000, 0)
    (tmp_path / "interactions.parquet").touch()
    with pytest.raises(ServiceError, match=r"interactions.parquet is there as well"):
        held_out(tmp_path, 1000, 0)


def views(path: Path, users: Any, name: str = "weight", **options: Any) -> None:
    count = len(users)
    columns = [users, pa.array([f"s{i % COUNT}" for i in range(count)]), pa.array([1.0] * count)]
    table = pa.Table.from_arrays([*columns, columns[2]], ["user_id", "streamer_id", "weight", name])
    pq.write_table(table, path / "interactions.parquet", **options)


def test_parquet_that_cannot_be_read_is_named_with_its_row(tmp_path: Path) -> None:
    folder(tmp_path, splits=split())
    views(tmp_path, pa.array([1, 2, 2**60], pa.timestamp("ms")), "more")
    with pytest.raises(ServiceError, match=r"interactions.parquet.*row 3, column 'user_id'"):
        held_out(tmp_path, 1000, 0)
    views(tmp_path, pa.array(["u"]))
    with pytest.raises(ServiceError, match=r"interactions.parquet: has two columns 'weight'"):
        held_out(tmp_path, 1000, 0)

    users = pa.array([json.dumps([i] * 9) for i in range(4000)])
    views(tmp_path, users, "more", row_group_size=1000, compression="none", use_dictionary=False)
    file = tmp_path / "interactions.parquet"
    bytes_ = bytearray(file.read_bytes())
    at = bytes_.index(json.dumps([1000] * 9).encode())
    bytes_[at - 100 : at] = b"\xff" * 100  # the header of a page
    file.write_bytes(bytes_)
    with pytest.raises(ServiceError, match=r"interactions.parquet can't be read as Parquet after "):
        held_out(tmp_path, 1000, 0)
