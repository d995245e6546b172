"""Valid data sets that are likely not what was meant."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.data.folders import write_folder
from training.data import load_dataset, validate


def write(folder: Path, count: int, **files: str) -> Path:
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
    folder = write(tmp_path, 2)
    (folder / "interactions.csv").symlink_to(tmp_path / "nowhere.csv")
    (folder / "splits.csv").mkdir()
    assert [str(p) for p in validate(folder)] == [
        "splits.csv: is not a file; remove it, or give the file",
        "interactions.csv: is a link to nothing; remove it, or give the file",
    ]
    (folder / "streamers.jsonl").unlink()
    (folder / "streamers.jsonl").symlink_to(tmp_path / "nowhere.jsonl")
    assert str(validate(folder)[0]).startswith("streamers.jsonl: is a link to nothing")


def test_files_that_are_nearly_named_like_others(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    for name in ("splits.csv.gz", "Labels.csv", "label.csv", "duplicates", "labeller.csv", "x.csv"):
        (folder / name).touch()
    notes = [note for note in load_dataset(folder).notes if "not read" in note]
    assert [note.partition(":")[0] for note in notes] == [
        "Labels.csv",
        "duplicates",
        "label.csv",
        "splits.csv.gz",
    ]


@pytest.mark.parametrize("lines", ["", "u,s0,0\nu,s1,0\n", "u,s0,1\n", "u,s2,1\nv,s3,1\n"])
def test_an_audience_of_too_few_to_learn_from(tmp_path: Path, lines: str) -> None:
    splits = "s0,train\ns1,train\ns2,val\ns3,test\n"
    (note,) = load_dataset(write(tmp_path, 4, interactions=lines, splits=splits)).notes
    assert "two are needed" in note
    assert "masked-views" in note


def test_users_who_watch_nearly_everyone(tmp_path: Path) -> None:
    def notes(users: int) -> list[str]:
        lines = (f"u{u},s{i},1\n" for u in range(users) for i in range(30))
        return load_dataset(write(tmp_path, 40, interactions="".join(lines))).notes

    assert notes(1) == []
    (note,) = notes(2)
    assert note.startswith("interactions: 2 users watch more than half")


def test_a_user_who_stands_for_none(tmp_path: Path) -> None:
    lines = "".join(f"nan,s{i},1\nu{i // 4},s{i},1\n" for i in range(40))
    (note,) = load_dataset(write(tmp_path, 40, interactions=lines)).notes
    assert note.startswith("interactions: 'nan' watches more than half of the streamers")


def test_a_group_that_stands_for_none(tmp_path: Path) -> None:
    def notes(size: int) -> list[str]:
        lines = "".join(f"s{i},{0 if i < size else i}\n" for i in range(1000))
        return load_dataset(write(tmp_path, 1000, duplicates=lines)).notes

    assert notes(100) == []
    (note,) = notes(980)
    assert note.startswith("duplicates: 980 streamers are in one group")


def test_a_vector_that_stands_for_none(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(1000, 3))
    ids = np.array([f"s{i}" for i in range(1000)])
    folder = write(tmp_path, 1000)
    np.savez(folder / "id_embeddings.npz", ids=ids, vectors=vectors)
    assert load_dataset(folder).notes == []
    vectors[:300] = vectors[0]
    np.savez(folder / "id_embeddings.npz", ids=ids, vectors=vectors)
    (note,) = load_dataset(folder).notes
    assert note.startswith("id_embeddings: 300 streamers have one vector")


def test_ids_that_look_alike(tmp_path: Path) -> None:
    names = ["u", " u", "U", "caf\u00e9", "cafe\u0301", "w"]
    lines = "".join(f"{name},s{i},1\n" for i, name in enumerate(names))
    folder = write(tmp_path, 40, interactions=lines)
    with (folder / "streamers.jsonl").open("a") as file:
        file.write('{"streamer_id": "S7"}\n')
    assert [note.partition(" differ")[0] for note in load_dataset(folder).notes] == [
        "users: 3 ids",
        "streamers: 1 ids",
    ]


def test_ids_that_were_rounded(tmp_path: Path) -> None:
    splits = "s0,train\ns1,train\ns2,val\ns3,test\n"
    for user in ("7.123456789012345e+18", "9007199254740992.0"):
        lines = f"{user},s0,1\nu,s1,1\n"
        (note,) = load_dataset(write(tmp_path, 4, interactions=lines, splits=splits)).notes
        assert note.startswith(f"users: ids such as '{user}' are rounded numbers")
