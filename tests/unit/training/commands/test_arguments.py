"""Wrong arguments are told in one line that names the option and the remedy."""

from pathlib import Path

import pytest

from training.commands.cli import main


@pytest.mark.parametrize(
    ("command", "option", "value", "said"),
    [
        ("fit", "--threads", "0", "must be a whole number from 1 to 1024, not '0'"),
        ("fit", "--threads", "9" * 5000, "must be a whole number from 1 to 1024, not '999"),
        ("fit", "--seed", "-1", "must be a whole number from 0 to 4294967295, not '-1'"),
        ("fit", "--save-every", "nan", "must be a number above 0, not 'nan'"),
        ("fit", "--save-every", "often", "must be a number above 0, not 'often'"),
        ("evaluate", "--seed", "x", "must be a whole number from 0 to 4294967295, not 'x'"),
        ("tune-tower", "--threads", "99999999999", "must be a whole number from 1 to 1024"),
    ],
)
def test_numbers(
    command: str, option: str, value: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, option, value])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"python -m training {command}: argument {option}: {said}")
    assert len(line) < 200


def test_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    data = ("--data", str(tmp_path / "none"))
    below = str(file / "below")
    long = "x" * 300
    out = tmp_path / "new"
    Path(f"{out}.modalities.json").mkdir()
    for words, said in (
        (["data", "validate", long], f"{long} can't be used: File name too long; check the path"),
        (["world", "--out", below], f"--out {below} can't be used: Not a directory; choose"),
        (["fit", "--recipe", "mlm", "--out", below, *data], f"{' '.join(data)} is not a folder;"),
        (
            ["evaluate", "--baseline", "bm25", "--out", f"{below}.json", *data],
            f"--out {below}.json can't be written: File exists; choose another place",
        ),
        (
            ["evaluate", "--baseline", "bm25", "--out", "/proc/m.json", *data],
            "--out /proc/m.json can't be written: No such file or directory; choose another place",
        ),
        (
            ["evaluate", "--checkpoint", below, "--modalities", "--out", f"{out}.json", *data],
            f"--out {out}.modalities.json can't be written: Is a directory; choose another place",
        ),
        (
            ["cold-start-report", "--out", f"{out}.modalities.json", *data],
            f"--out {out}.modalities.json can't be written: Is a directory; choose another place",
        ),
    ):
        assert main(words) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"python -m training {words[0]}: {said}")
