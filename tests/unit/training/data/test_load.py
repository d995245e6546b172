from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model_export.contract.splits import hashed_split
from tests.unit.training.data.folders import write_folder
from training.data import DataError, digest_of, load_dataset, validate


def test_a_good_folder_is_read_completely(tmp_path: Path) -> None:
    dataset = load_dataset(write_folder(tmp_path))

    assert dataset.ids == ["a", "b", "c", "d"]
    assert [p.streamer_id for p in dataset.profiles] == dataset.ids
    assert dataset.split.tolist() == ["train", "train", "val", "test"]
    assert dataset.split_given
    assert dataset.rows("train", "val").tolist() == [0, 1, 2]
    assert dataset.spaces == {"s": 3}
    assert dataset.labels == ["chess", "hot, pot", None, "chess"]
    assert dataset.id_embeddings is None

    assert dataset.duplicates is not None
    a, b, c, d = dataset.duplicates.tolist()
    assert a == b
    assert len({a, c, d}) == 3

    assert dataset.interactions is not None
    assert dataset.interactions.user_ids == ["u1", "u2", "u3"]
    views = dataset.interactions.matrix
    assert views.dtype == np.float32
    assert views.toarray().tolist() == [[4, 2.5, 0], [4, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert views.nnz == 3  # a weight of zero is no interaction

    assert dataset.relations is not None
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = 2
    expected[2, 3] = expected[3, 2] = 0.5
    assert dataset.relations.toarray().tolist() == expected.tolist()


def test_only_streamers_are_needed(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    for path in folder.glob("*.csv"):
        path.unlink()
    dataset = load_dataset(folder)
    assert dataset.interactions is dataset.relations is dataset.duplicates is dataset.labels is None
    assert not dataset.split_given
    assert set(dataset.split.tolist()) <= {"train", "val", "test"}


def test_windows_line_ends_byte_order_mark_and_other_column_order_are_no_mistakes(
    tmp_path: Path,
) -> None:
    folder = write_folder(tmp_path)
    (folder / "interactions.csv").write_bytes(
        b"\xef\xbb\xbfweight,user_id,streamer_id\r\n7,u9,d\r\n"
    )
    interactions = load_dataset(folder).interactions
    assert interactions is not None
    assert interactions.user_ids == ["u9"]
    assert interactions.matrix[3, 0] == 7


def test_the_digest_is_of_the_contents(tmp_path: Path) -> None:
    one = load_dataset(write_folder(tmp_path / "one")).digest
    assert load_dataset(write_folder(tmp_path / "two")).digest == one
    (tmp_path / "two" / "notes.txt").write_text("not part of the set")
    assert load_dataset(tmp_path / "two").digest == one
    changed = write_folder(tmp_path / "three", {("labels.csv", 2): b"a,go"})
    assert load_dataset(changed).digest != one


def test_the_digest_needs_no_reading_of_lines(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "one")
    assert digest_of(folder) == load_dataset(folder).digest
    (folder / "streamers.jsonl").write_text("no profile\n")
    assert len(digest_of(folder)) == 64
    (folder / "streamers.jsonl").unlink()
    with pytest.raises(DataError, match=r"streamers.jsonl: is missing"):
        digest_of(folder)
    with pytest.raises(DataError, match="nowhere is not a folder"):
        digest_of(tmp_path / "nowhere")


def test_the_first_mistakes_are_listed(tmp_path: Path) -> None:
    changes = {("interactions.csv", n): b"u1,nobody,1" for n in range(2, 7)}
    changes |= {("streamers.jsonl", 4): b"{}", ("labels.csv", 2): b"a"}
    folder = write_folder(tmp_path, changes)
    with pytest.raises(DataError) as caught:
        load_dataset(folder)
    message = str(caught.value)
    assert "streamers.jsonl:4: streamer_id: Field required" in message
    assert "interactions.csv:6: streamer_id: 'nobody' is not a streamer of this set" in message
    assert "labels.csv:2: has 1 values, needs 2: streamer_id,label" in message


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        load_dataset(tmp_path / "none")
    with pytest.raises(DataError, match=r"streamers\.jsonl: is missing"):
        load_dataset(tmp_path)


def test_splits_by_hash_keep_their_shares_and_groups_and_ignore_the_order() -> None:
    ids = [f"s{i}" for i in range(4000)]
    groups = np.arange(4000) // 2
    split = hashed_split(ids, groups)
    assert (split[0::2] == split[1::2]).all()
    for name, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        assert np.mean(split == name) == pytest.approx(share, abs=0.03)

    backwards = hashed_split(ids[::-1], groups[::-1])
    assert backwards[::-1].tolist() == split.tolist()
    alone = hashed_split(ids, None)
    assert np.mean(alone == "train") == pytest.approx(0.7, abs=0.03)


def test_parquet_twins_are_read_like_the_others(tmp_path: Path) -> None:
    """With all that JSON has not: nulls, time stamps, maps, whole numbers as ids."""
    folder = tmp_path
    moment = pa.scalar(1_700_000_000_000_000, pa.timestamp("us", "UTC"))
    video = pa.struct({"video_id": pa.string(), "published_at": moment.type})
    columns = {
        "streamer_id": pa.array(["a", "b"]),
        "bio": pa.array(["hi", None]),
        "tags": pa.array([None, ["x"]], pa.list_(pa.string())),
        "videos": pa.array(
            [[{"video_id": "v", "published_at": moment.as_py()}], []], pa.list_(video)
        ),
        "attributes": pa.array([[("k", "v")], None], pa.map_(pa.string(), pa.string())),
    }
    pq.write_table(pa.table(columns), folder / "streamers.parquet")
    interactions = {"user_id": [7, 8], "streamer_id": ["b", "a"], "weight": [1, 2]}
    pq.write_table(pa.table(interactions), folder / "interactions.parquet")
    dataset = load_dataset(folder)
    first, second = dataset.profiles
    assert first.bio == "hi"
    assert second.bio is None
    assert first.attributes == {"k": "v"}
    assert first.videos[0].published_at == moment.as_py()
    assert second.tags == ["x"]
    assert dataset.interactions is not None
    assert dataset.interactions.user_ids == ["7", "8"]


def test_bad_parquet_rows_are_named(tmp_path: Path) -> None:
    table = {"streamer_id": ["a", "b/", "a"], "bio": ["x", "y", "z"], "age": [1, None, None]}
    pq.write_table(pa.table(table), tmp_path / "streamers.parquet")
    splits = {"streamer_id": ["a", "q", None], "split": ["train", "train", "val"]}
    pq.write_table(pa.table(splits), tmp_path / "splits.parquet")
    pq.write_table(pa.table({"streamer_id": ["a"], "name": ["x"]}), tmp_path / "labels.parquet")
    (tmp_path / "relations.parquet").write_bytes(b"PAR1 but not really")
    found = [str(problem) for problem in validate(tmp_path)]
    assert "streamers.parquet:1: age: Extra inputs are not permitted" in found
    assert any(line.startswith("streamers.parquet:2: streamer_id: ") for line in found)
    assert "splits.parquet:2: streamer_id: 'q' is not a streamer of this set" in found
    assert "splits.parquet:3: streamer_id: needs a text, is None" in found
    assert "labels.parquet: has the columns streamer_id, name; needs streamer_id, label" in found
    assert any(line.startswith("relations.parquet: is not readable as Parquet") for line in found)


def test_two_forms_of_one_table_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    pq.write_table(pa.table({"streamer_id": ["a"], "label": ["x"]}), folder / "labels.parquet")
    assert [str(p) for p in validate(folder)] == [
        "labels.csv: labels.parquet is there as well; keep one of them"
    ]
