"""`fit --config FILE`: what a checkpoint saved is fed back, and what is wrong is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.data.folders import write_folder
from training.commands.cli import main
from training.config import MaskedViewsConfig, TransferPlusConfig, as_dict, override, read_fit_file
from training.errors import UsageError
from training.tasks.recipes import RECIPES


def write(folder: Path, content: Any) -> Path:
    file = folder / "mine.json"
    text = content if isinstance(content, str) else json.dumps(content)
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("recipe", RECIPES)
def test_all_settings_come_back_as_they_were(tmp_path: Path, recipe: str):
    default = RECIPES[recipe].config()
    changed = override(default, ["learning_rate=1.1e-5", "refit=false", "steps=77", "dim=48"])
    given = read_fit_file(write(tmp_path, {"recipe": recipe, "config": as_dict(changed)}))
    assert given.settings(default, "") == changed
    assert given.recipe == recipe


def test_what_is_missing_is_the_default_of_the_recipe(tmp_path: Path):
    given = read_fit_file(write(tmp_path, {"config": {"steps": 7}}))
    assert (given.recipe, given.seed, given.init_from) == (None, None, None)
    assert given.settings(TransferPlusConfig(), "") == TransferPlusConfig(steps=7)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"config": {"stepz": 7}}, "mine.json: stepz: unknown; the valid names are dim, "),
        ({"config": {"steps": 0.5}}, "mine.json: steps=0.5: needs int"),
        ({"config": {"refit": 1}}, "mine.json: refit=1: needs true or false"),
        ({"config": {"contrast": "x"}}, "mine.json: contrast=x: needs one of info-nce, "),
        ({"config": {"warm_up": 1.5}}, r"mine.json: warm_up=1.5: must be in \[0, 1\)"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_right(tmp_path: Path, content: Any, problem: str):
    file = write(tmp_path, content)
    with pytest.raises(UsageError, match=rf"^{tmp_path}/{problem}"):
        read_fit_file(file).settings(MaskedViewsConfig(), file)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"recipes": "mlm"}, "recipes: Extra inputs are not permitted"),
        ({"streamers": 80.0, "tokens": 7.0}, "streamers: Extra inputs are not permitted"),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0"),
        ({"seed": "1"}, "seed: Input should be a valid integer"),
        ({"config": []}, "config: "),
        ({"config": {"steps": None}}, "config.steps"),
        ("[1]", "Input should be an object"),
        ("steps: 7", "Invalid JSON"),
        ("", "Invalid JSON"),
    ],
)
def test_a_file_of_another_kind_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, problem: str
):
    file = write(tmp_path, content)
    arguments = ["fit", "--data", "none", "--out", "none", "--config", str(file)]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"python -m training fit: --config {file}: {problem}")
    assert error.endswith(
        "give config.json of a checkpoint, or a file with its recipe, seed and config\n"
    )
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "can't be read: No such file or directory; give config.json of a checkpoint"),
        ({"seed": 1}, "--recipe is required, unless --config names one"),
        ({"recipe": "magic"}, "--recipe magic: unknown; the recipes are"),
        ({"recipe": "mlm", "init_from": {"recipe": "mlm"}}, "name it with --init-from, or remove"),
    ],
)
def test_what_a_file_lacks_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, problem: str
):
    file = tmp_path / "none.json" if content is None else write(tmp_path, content)
    assert main(["fit", "--data", "none", "--out", "none", "--config", str(file)]) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert error.count("\n") == 1


def test_the_split_of_a_fit_is_dealt_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = write_folder(tmp_path / "data")
    config = write(tmp_path, {"recipe": "masked-views", "split_number": 2})
    words = ["fit", "--data", str(data), "--out", str(tmp_path / "out"), "--config", str(config)]
    assert main(words) == 1
    assert f"{data} is too small for split number 2" in capsys.readouterr().err
    assert main([*words, "--split-number", "4"]) == 1
    assert f"{data} is too small for split number 4" in capsys.readouterr().err
