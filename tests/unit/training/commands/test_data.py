"""`python -m training data validate`, as a person calls it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.machine import HANGS_S
from tests.unit.training.data.folders import write_folder
from training.commands.cli import main
from training.data import load_dataset


def test_a_good_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(tmp_path)
    (folder / "notes.csv").write_text("mine\n")
    assert main(["data", "validate", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    first, *rest = out.splitlines()
    assert first == (
        f"{folder}: all lines OK: 4 streamers, 3 interactions, 3 users, 2 relations, "
        "1 duplicate groups, 3 labels"
    )
    assert rest == [
        "split by splits: 2 train, 1 val, 1 test",
        f"digest {load_dataset(folder).digest}",
        *(
            f"note: {name}: weights and repeated pairs count alike, since {meaning}; remove the "
            "lines that should not count"
            for name, meaning in (
                ("interactions", "a user is in an audience or is not"),
                ("relations", "two streamers are related or are not"),
            )
        ),
        "note: interactions: not used beside relations, which are taken for the audience; remove "
        "the relations to learn from users",
        "ignored files: notes.csv",
    ]


def test_weights_that_are_equal_need_no_note(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "interactions.csv").write_text("user_id,streamer_id,weight\nu1,a,2\nu2,b,2\n")
    (folder / "relations.csv").write_text("streamer_id,related_id,weight\na,b,1\n")
    assert not any("weights" in note for note in load_dataset(folder).notes)


def test_one_kind_of_audience_needs_no_note(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    assert any("not used beside relations" in note for note in load_dataset(folder).notes)
    (folder / "relations.csv").unlink()
    (note,) = load_dataset(folder).notes
    assert note.startswith("interactions: weights")


def test_a_bad_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {("streamers.jsonl", 3): b"oops", ("labels.csv", 2): b"a"}
    assert main(["data", "validate", str(write_folder(tmp_path, changes))]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("streamers.jsonl:3: Invalid JSON: ")
    assert "labels.csv:2: has 1 values, needs 2: streamer_id,label" in lines
    # The id of line 3 can't be read, so its other lines speak of nobody.
    assert "splits.csv:4: streamer_id: 'c' is not a streamer of this set" in lines
    assert "NOT OK: 5 problems in 5 places" in lines[-1]


@pytest.mark.slow
def test_errors_are_one_line_with_the_right_status(tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "training", *arguments],
            capture_output=True,
            text=True,
            timeout=HANGS_S,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    status, out, err = run("data", "validate", str(tmp_path / "none"))
    assert (status, out) == (1, "")
    said = f"{tmp_path / 'none'} is not a folder; give a data set folder"
    assert err == f"python -m training data: {said}\n"
    status, out, err = run("data", "check")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    status, out, err = run("nonsense")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert run("--help")[0] == 0


def data_folders() -> list[Path]:
    beside = Path(__file__).parents[5] / "shared" / "data"
    root = Path(os.environ.get("STREAMER_DATA", beside))
    return sorted(path.parent for path in root.glob("*/streamers.*"))


@pytest.mark.real_data
def test_real_sets_have_no_bad_line_and_load_in_seconds() -> None:
    folders = data_folders()
    if not folders:
        pytest.skip("no data sets beside the checkout or under STREAMER_DATA")
    for folder in folders:
        start = time.process_time()
        dataset = load_dataset(folder)
        assert time.process_time() - start < 60
        assert dataset.interactions is not None or dataset.relations is not None
