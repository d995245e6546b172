"""Reading data sets: what is right is read completely, what is wrong is named by file and line."""

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.training.helpers import LINES, write_folder
from training.data import DataError, Dataset, Problem, load_dataset, validate
from training.data.splits import dealt_split
from training.data.streamers import StreamerFile
from training.world import generate
from training.world.files import write_world


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


BAD_LINES = {
    "broken JSON": ("streamers.jsonl", 1, b'{"streamer_id": "a"', "", "Invalid JSON"),
    "no object": ("streamers.jsonl", 1, b"[1]", "", "should be an object"),
    "invalid UTF-8": ("streamers.jsonl", 2, b'{"streamer_id": "b", "bio": "\xff"}', "", "0xff"),
    "unknown field": ("streamers.jsonl", 1, b'{"streamer_id": "a", "boi": "x"}', "boi", "Extra"),
    "wrong type": ("streamers.jsonl", 1, b'{"streamer_id": "a", "bio": 5}', "bio", "string"),
    "deep wrong type": (
        "streamers.jsonl",
        2,
        b'{"streamer_id": "b", "videos": [{"video_id": "x", "tags": [1]}]}',
        "videos[0].tags[0]",
        "string",
    ),
    "NaN in a vector": (
        "streamers.jsonl",
        3,
        b'{"streamer_id": "c", "avatar": {"vector": [1, NaN, 2], "space": "s"}}',
        "avatar.vector[1]",
        "finite",
    ),
    "two forms of a picture": (
        "streamers.jsonl",
        3,
        b'{"streamer_id": "c", "avatar": {"vector": [1], "space": "s", "url": "https://x"}}',
        "avatar",
        "exactly one of",
    ),
    "nested attribute": (
        "streamers.jsonl",
        4,
        b'{"streamer_id": "d", "attributes": {"a": [1]}}',
        "attributes.a",
        "must be a string",
    ),
    "slash in the id": ("streamers.jsonl", 1, b'{"streamer_id": "a/b"}', "streamer_id", "pattern"),
    "id twice": ("streamers.jsonl", 2, b'{"streamer_id": "a"}', "streamer_id", "on line 1"),
    "another width": (
        "streamers.jsonl",
        4,
        b'{"streamer_id": "d", "lives": [{"live_id": "l", "frames": '
        b'[{"vector": [1, 2], "space": "s"}]}]}',
        "lives[0].frames[0].vector",
        "has 3 on line 3",
    ),
    "no header": ("splits.csv", 1, b"a,train", "", "header must be: streamer_id,split"),
    "unknown split": ("splits.csv", 2, b"a,dev", "split", "'dev'"),
    "split twice": ("splits.csv", 3, b"a,train", "streamer_id", "already on line 2"),
    "unknown streamer": ("splits.csv", 2, b"e,train", "streamer_id", "not a streamer of this set"),
    "infinite weight": ("interactions.csv", 2, b"u1,a,inf", "weight", "'inf'"),
    "NaN weight": ("interactions.csv", 2, b"u1,a,nan", "weight", "'nan'"),
    "negative weight": ("interactions.csv", 2, b"u1,a,-1", "weight", "'-1'"),
    "weight beyond float32": ("interactions.csv", 2, b"u1,a,1e39", "weight", "1e39"),
    "no number": ("interactions.csv", 2, b"u1,a,1_0", "weight", "'1_0'"),
    "no user": ("interactions.csv", 2, b",a,1", "user_id", "needs a text"),
    "too many values": ("interactions.csv", 3, b"u1,a,1,1", "", "has 4 values, needs 3"),
    "stray quote": ("interactions.csv", 3, b'"u1,a,1', "", "not CSV on one line"),
    "bad bytes in a table": ("interactions.csv", 4, b"u\xc3,a,1", "", "is not UTF-8"),
    "own relation": ("relations.csv", 2, b"a,a,1", "related_id", "related to itself"),
    "unknown relation": ("relations.csv", 2, b"a,z,1", "related_id", "not a streamer of this set"),
    "two groups": ("duplicates.csv", 3, b"a,h", "streamer_id", "already on line 2"),
    "empty label": ("labels.csv", 2, b"a, ", "label", "needs a text"),
}


@pytest.mark.parametrize("case", BAD_LINES.values(), ids=BAD_LINES)
def test_each_mistake_is_named(tmp_path: Path, case: tuple[str, int, bytes, str, str]) -> None:
    file, line, content, field, reason = case
    folder = write_folder(tmp_path, {(file, line): content})
    problems = [p for p in validate(folder) if (p.file, p.line, p.field) == (file, line, field)]
    assert len(problems) == 1
    assert reason in problems[0].reason
    with pytest.raises(DataError, match=f"{file}:{line}: "):
        load_dataset(folder)


@pytest.mark.parametrize("file", ["streamers.jsonl", "labels.csv"])
def test_blank_lines_are_skipped_and_counted(tmp_path: Path, file: str) -> None:
    folder = write_folder(tmp_path)
    lines = (folder / file).read_text().splitlines()
    (folder / file).write_text("\n".join(["", lines[0], " ", *lines[1:], "\t", "oops"]))
    (problem,) = validate(folder)
    assert problem.line == len(lines) + 4
    (folder / file).write_text("\n".join(["", lines[0], " ", *lines[1:], "\t"]))
    dataset = load_dataset(folder, in_memory=0)  # profiles are read again, by their lines
    assert [profile.streamer_id for profile in dataset.profiles] == dataset.ids


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PAR1...", "is a Parquet file: name it .parquet"),
        (gzip.compress(b"{}", mtime=0), "is compressed with gzip"),
        (b"\x28\xb5\x2f\xfd...", "is compressed with Zstandard"),
        ("a,b\n1,2\n".encode("utf-16"), "is UTF-16: save it as UTF-8"),
        ("\ufeffa,b\n1,2\n".encode("utf-16-be"), "is UTF-16: save it as UTF-8"),
    ],
)
@pytest.mark.parametrize("file", ["streamers.jsonl", "labels.csv"])
def test_what_is_no_text_is_one_problem(
    tmp_path: Path, file: str, content: bytes, reason: str
) -> None:
    (write_folder(tmp_path) / file).write_bytes(content)
    problem, *others = (p for p in validate(tmp_path) if p.file == file)
    assert others == []
    assert problem.line is None
    assert reason in problem.reason


def test_of_very_many_bad_lines_the_first_of_each_field_are_kept(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    lines = [*(f"u,nobody{i},1\n" for i in range(3000)), "u,a,-1\n"]
    (folder / "interactions.csv").write_text("user_id,streamer_id,weight\n" + "".join(lines))
    problems = validate(folder)
    assert [problem.line for problem in problems] == [*range(2, 1002), 3002]
    with pytest.raises(DataError, match=r"and 2991 more"):
        load_dataset(folder)


def test_splits_that_lack_someone_or_part_duplicates_are_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "splits.csv").write_text("streamer_id,split\na,train\nb,test\nd,val\n")
    pq.write_table(pa.table({"streamer_id": ["a"], "label": ["x"]}), folder / "labels.parquet")
    assert {str(problem) for problem in validate(folder)} >= {
        "streamers.jsonl:3: streamer_id: 'c' has no split in splits.csv",
        "labels.csv: labels.parquet is there as well; keep one of them",
    }
    (folder / "labels.parquet").unlink()
    write_folder(tmp_path, {("splits.csv", 3): b"b,test"})
    reason = "'b' is in test, its duplicate 'a' in train"
    assert validate(folder) == [Problem("streamers.jsonl", 2, "split", reason)]


@settings(max_examples=60)
@given(data=st.data())
def test_any_damage_to_a_line_is_harmless_or_named(data: st.DataObject) -> None:
    """Random bytes in a random line: it still loads, or that line is named; never a traceback."""
    file = data.draw(st.sampled_from(sorted(LINES)))
    number = data.draw(st.integers(1, len(LINES[file])))
    line = LINES[file][number - 1].encode()
    start = data.draw(st.integers(0, len(line)))
    stop = data.draw(st.integers(start, min(len(line), start + 6)))
    noise = data.draw(st.binary(max_size=6)).replace(b"\n", b"")
    damaged = line[:start] + noise + line[stop:]
    with tempfile.TemporaryDirectory() as temporary:
        folder = write_folder(Path(temporary), {(file, number): damaged})
        problems = validate(folder)
        if problems:
            with pytest.raises(DataError):
                load_dataset(folder)
        else:
            assert len(load_dataset(folder).profiles) == 4
    # A group that was renamed by chance to another one may be split; that is said of the streamer.
    said_elsewhere = any(p.field == "split" for p in problems)
    assert not problems or said_elsewhere or (file, number) in {(p.file, p.line) for p in problems}


MAP = pa.map_(pa.string(), pa.string())


def write(folder: Path, name: str = "streamers", **columns: Any) -> Path:
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({"streamer_id": ["a", "b"], **columns}), path)
    return path


def test_maps_and_lists_of_pairs_are_attributes(tmp_path: Path) -> None:
    pairs = [("level", "7"), ("country", "DE"), ("none", None)]
    structs = [{"key": key, "value": value} for key, value in pairs]
    for attributes in (pa.array([pairs, []], MAP), pa.array([structs, []])):
        write(tmp_path, attributes=attributes)
        first, second = load_dataset(tmp_path).profiles
        assert first.attributes == {"level": "7", "country": "DE"}
        assert second.attributes == {}


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (pa.array([["DE"], ["FR", "ok"]]), "valid dictionary"),
        (pa.array([[{"key": 1, "value": "x"}], None]), "valid dictionary"),
        (pa.array([[{"key": "k", "value": "x", "at": 1}], None]), "valid dictionary"),
        (pa.array([[("k", "w"), ("k", "z")], None], MAP), "duplicate key was 'k'"),
        (pa.array([[{"key": "k", "value": v} for v in "wz"], None]), "must not repeat"),
    ],
)
def test_other_attributes_are_a_problem_of_their_row(
    tmp_path: Path, attributes: pa.Array, reason: str
) -> None:
    write(tmp_path, attributes=attributes)
    problem = validate(tmp_path)[0]
    assert (problem.line, problem.field) == (1, "attributes")
    assert reason in problem.reason


IDS = np.array(["a", "c"])
VECTORS = np.array([[1.0, 0.0, 2.0], [0.5, -1.0, 3.0]], np.float32)
USERS = {"user_ids": np.array(["u1"]), "user_vectors": np.ones((1, 3), np.float32)}


def problems_of(folder: Path, **arrays: Any) -> list[str]:
    np.savez(write_folder(folder) / "id_embeddings.npz", **arrays)
    return [str(problem) for problem in validate(folder)]


def test_vectors_of_streamers_and_users(tmp_path: Path) -> None:
    assert problems_of(tmp_path, ids=IDS, vectors=VECTORS.astype(np.float64), **USERS) == []
    embeddings = load_dataset(tmp_path).id_embeddings
    assert embeddings is not None
    assert embeddings.ids == ["a", "c"]
    assert embeddings.vectors.dtype == np.float32
    assert embeddings.vectors.tolist() == VECTORS.tolist()
    assert embeddings.user_ids == ["u1"]
    assert embeddings.user_vectors is not None
    assert embeddings.user_vectors.shape == (1, 3)


def test_parquet_vectors(tmp_path: Path) -> None:
    table = {
        "streamer_id": ["a", None, "c"],
        "user_id": [None, "u1", None],
        "vector": [VECTORS[0].tolist(), [1.0, 1.0, 1.0], VECTORS[1].tolist()],
    }
    pq.write_table(pa.table(table), write_folder(tmp_path) / "id_embeddings.parquet")
    embeddings = load_dataset(tmp_path).id_embeddings
    assert embeddings is not None
    assert embeddings.ids == ["a", "c"]
    assert embeddings.vectors.tolist() == VECTORS.tolist()
    assert embeddings.user_ids == ["u1"]


def with_row(row: int, value: float) -> np.ndarray:
    changed = VECTORS.copy()
    changed[row, 1:] = value
    changed[row, 0] = 0 if value == 0 else 1
    return changed


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"vectors": with_row(1, np.nan)}, "id_embeddings.npz:2: vectors: has NaN or infinity"),
        ({"vectors": with_row(0, np.inf)}, "id_embeddings.npz:1: vectors: has NaN or infinity"),
        ({"vectors": with_row(1, 0)}, "id_embeddings.npz:2: vectors: is all zeros"),
        ({"vectors": VECTORS[0]}, "vectors: needs shape (M, width) of floats, is (3,)"),
        ({"vectors": VECTORS.astype(int)}, "of floats, is (2, 3) of int64"),
        ({"vectors": VECTORS[:1]}, "vectors: has 1 rows, ids has 2"),
        ({"ids": np.array([1, 2])}, "ids: needs shape (M,) of text, is (2,) of int64"),
        ({"ids": np.array(["a", "a"])}, "id_embeddings.npz:2: ids: 'a' is already in row 1"),
        ({"ids": np.array(["a", "q"])}, "id_embeddings.npz:2: ids: 'q' is not a streamer"),
        ({"ids": np.array(["a", {}], object)}, "ids: holds Python objects, which are not loaded"),
        ({"ids": np.array([b"a", b"c"])}, "is (2,) of |S1; write ids.astype(str)"),
        ({"vectors": VECTORS * np.float32(1e-30)}, "npz:2: vectors: is too long or too short"),
        ({"extra": IDS}, "extra: is unknown"),
        ({"user_ids": np.array(["u"])}, "user_vectors: is missing"),
        (
            {"user_ids": np.array(["u"]), "user_vectors": np.ones((1, 4))},
            "user_vectors: is 4 wide, vectors is 3 wide",
        ),
    ],
)
def test_bad_arrays_are_named(tmp_path: Path, arrays: dict[str, Any], expected: str) -> None:
    found = problems_of(tmp_path, **({"ids": IDS, "vectors": VECTORS} | arrays))
    assert expected in found[-1]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            {"streamer_id": ["a", "c"], "vector": [[1.0, 2.0], [1.0]]},
            "id_embeddings.parquet:2: vector: has 1 numbers, those before have 2",
        ),
        ({"streamer_id": ["a"], "vector": [None]}, "vector: needs a list of numbers, is None"),
        ({"streamer_id": [None], "vector": [[1.0]]}, "parquet:1: needs streamer_id or user_id"),
        (
            {"streamer_id": ["a", "c"], "vector": [[1.0], [1.0]], "at": [1, 2]},
            "id_embeddings.parquet: has the columns streamer_id, vector, at; needs",
        ),
        ({"streamer_id": ["a", "c"]}, "id_embeddings.parquet: has the columns streamer_id; needs"),
        ({"streamer_id": ["a"], "vector": [[1.0, None]]}, "vectors: has NaN or infinity"),
    ],
)
def test_bad_parquet_vectors_are_named_once(
    tmp_path: Path, columns: dict[str, list[Any]], expected: str
) -> None:
    pq.write_table(pa.table(columns), write_folder(tmp_path) / "id_embeddings.parquet")
    (problem,) = validate(tmp_path)
    assert expected in str(problem)


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


def test_all_profiles_are_the_same_at_every_pass(both: list[Dataset]):
    kept, read = both
    assert isinstance(kept.profiles, list)
    assert isinstance(read.profiles, StreamerFile)
    assert len(read.profiles) == 300
    for _ in range(2):
        assert list(read.profiles) == kept.profiles
    assert (read.ids, read.spaces) == (kept.ids, kept.spaces)
    assert read.profiles[65:75] == kept.profiles[65:75]
    for place in (0, 69, 70, 299, -1):
        assert read.profiles[place] == kept.profiles[place]
    with pytest.raises(IndexError):
        read.profiles[300]


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


def write_tables(folder: Path, count: int, **files: str) -> Path:
    """Streamers s0, s1 and so on, and tables without a header line."""
    headers = {
        "interactions": "user_id,streamer_id,weight",
        "duplicates": "streamer_id,group",
        "splits": "streamer_id,split",
    }
    lines = (json.dumps({"streamer_id": f"s{i}"}) + "\n" for i in range(count))
    (folder / "streamers.jsonl").write_text("".join(lines))
    for name, content in files.items():
        (folder / f"{name}.csv").write_text(f"{headers[name]}\n{content}")
    return folder


def test_a_lost_file_is_not_one_that_was_never_given(tmp_path: Path) -> None:
    folder = write_tables(tmp_path, 2)
    (folder / "interactions.csv").symlink_to(tmp_path / "nowhere.csv")
    (folder / "splits.csv").mkdir()
    assert [str(p) for p in validate(folder)] == [
        "splits.csv: is not a file; remove it, or give the file",
        "interactions.csv: is a link to nothing; remove it, or give the file",
    ]
    (folder / "streamers.jsonl").unlink()
    (folder / "streamers.jsonl").symlink_to(tmp_path / "nowhere.jsonl")
    assert str(validate(folder)[0]).startswith("streamers.jsonl: is a link to nothing")


FEW = "s0,train\ns1,train\ns2,val\ns3,test\n"
NOTES: dict[str, tuple[int, dict[str, str], str]] = {
    "nobody watches": (4, {"interactions": "u,s0,0\nu,s1,0\n", "splits": FEW}, "two are needed"),
    "too few": (4, {"interactions": "u,s2,1\nv,s3,1\n", "splits": FEW}, "two are needed"),
    "watching nearly all": (
        40,
        {"interactions": "".join(f"u{u},s{i},1\n" for u in range(2) for i in range(30))},
        "interactions: 2 users watch more than half",
    ),
    "a user who stands for none": (
        40,
        {"interactions": "".join(f"nan,s{i},1\nu{i // 4},s{i},1\n" for i in range(40))},
        "interactions: 'nan' watches more than half of the streamers",
    ),
    "a group that stands for none": (
        1000,
        {"duplicates": "".join(f"s{i},{max(i, 979)}\n" for i in range(1000))},
        "duplicates: 980 streamers are in one group",
    ),
    "rounded ids": (
        4,
        {"interactions": "7.123456789012345e+18,s0,1\nu,s1,1\n", "splits": FEW},
        "users: ids such as '7.123456789012345e+18' are rounded numbers",
    ),
}
"""Name -> number of streamers, tables, and what is noted."""


@pytest.mark.parametrize("case", NOTES.values(), ids=NOTES)
def test_what_looks_wrong_is_noted(tmp_path: Path, case: tuple[int, dict[str, str], str]) -> None:
    count, files, expected = case
    (note,) = load_dataset(write_tables(tmp_path, count, **files)).notes
    assert expected in note


def test_what_is_usual_needs_no_note_but_equal_vectors_do(tmp_path: Path) -> None:
    watched = "".join(f"u,s{i},1\n" for i in range(300))
    folder = write_tables(tmp_path, 1000, interactions=watched)
    vectors = np.random.default_rng(0).normal(size=(1000, 3))
    ids = np.array([f"s{i}" for i in range(1000)])
    np.savez(folder / "id_embeddings.npz", ids=ids, vectors=vectors)
    assert load_dataset(folder).notes == []
    vectors[:300] = vectors[0]
    np.savez(folder / "id_embeddings.npz", ids=ids, vectors=vectors)
    (note,) = load_dataset(folder).notes
    assert note.startswith("id_embeddings: 300 streamers have one vector")


def test_ids_that_look_alike(tmp_path: Path) -> None:
    names = ["u", " u", "U", "caf\u00e9", "cafe\u0301", "w"]
    lines = "".join(f"{name},s{i},1\n" for i, name in enumerate(names))
    folder = write_tables(tmp_path, 40, interactions=lines)
    with (folder / "streamers.jsonl").open("a") as file:
        file.write('{"streamer_id": "S7"}\n')
    assert [note.partition(" differ")[0] for note in load_dataset(folder).notes] == [
        "users: 3 ids",
        "streamers: 1 ids",
    ]


NAMES = [f"s{i}" for i in range(1000)]
OWN = np.repeat(np.array(["train", "val", "test"]), [650, 150, 200])
GROUPS = np.concatenate([np.zeros(7, np.int64), 1 + np.arange(993) // 3])


def test_dealt_splits_keep_sizes_and_duplicates_whatever_the_order() -> None:
    dealt = dealt_split(NAMES, OWN, None, 1)
    assert sorted(dealt.tolist()) == sorted(OWN.tolist())
    assert (dealt != dealt_split(NAMES, OWN, None, 2)).any()
    dealt = dealt_split(NAMES, OWN, GROUPS, 1)
    for group in range(GROUPS.max() + 1):
        assert len(set(dealt[group == GROUPS])) == 1
    for part in ("train", "val", "test"):
        assert abs(np.count_nonzero(part == dealt) - np.count_nonzero(part == OWN)) <= 7
    backwards = dealt_split(NAMES[::-1], OWN[::-1], GROUPS[::-1], 1)
    assert backwards[::-1].tolist() == dealt.tolist()


def test_a_data_set_is_dealt_with_all_that_it_has(world: Dataset) -> None:
    assert world.dealt(0) is world
    dealt, other = world.dealt(1), world.dealt(2)
    assert len({world.digest, dealt.digest, other.digest}) == 3
    assert dealt.ids == world.ids
    assert dealt.interactions is world.interactions
    rows = [dealt.rows(part) for part in ("train", "val", "test")]
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(len(world.ids)))
    for group in np.unique(world.groups):
        assert len(set(dealt.split[world.groups == group])) == 1
    assert (dealt.split != world.split).any()
    assert (dealt.split != other.split).any()
