"""The command, and the folder that it leaves: a tower like any other, up to the graph."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from model_export.contract.pieces import pieces_of
from model_export.contract.towers import VECTOR, Payload, TextSpec, inputs_of, pieces_for
from model_export.towers import tower_to_onnx
from tests.unit.training.small import TAUGHT
from training.commands.cli import main
from training.config import TransferPlusConfig
from training.data import load_dataset
from training.errors import LeakError
from training.towers import find_tower
from training.towers.base import encode
from training.trainer.fit import Request, fit
from training.tuning.folder import setting_of

pytestmark = pytest.mark.slow

QUICK = ["--steps", "4", "--evaluate-every", "2", "--batch", "16", "--lr", "0.01", "--threads", "1"]


def call(data: Path, tower: str, out: Path) -> int:
    arguments = ["--data", str(data), "--tower", tower, "--out", str(out)]
    cache = ["--tower-cache", str(out.parent / "cache")]
    return main(["tune-tower", *arguments, *cache, *QUICK])


def test_from_the_command_to_the_graph(
    topics_folder: Path, encoder_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tuned"
    options = "?pooling=cls&prefix=music: &max_tokens=9&modalities=videos"
    assert call(topics_folder, f"hf:{encoder_folder}{options}", out) == 0
    said = capsys.readouterr()
    assert "tune step 2: NDCG@20 " in said.err
    assert f"use         --set 'text_tower=hf:{out}?modalities=videos'" in said.out
    assert "36 training streamers, behaviour is known of 36" in said.out

    reference = f"hf:{out}?modalities=videos"
    tower = find_tower("text", reference, tmp_path / "cache")
    assert tower.spec.name == "tuned"
    assert tower.spec.text == TextSpec(max_tokens=9, prefix="music: ")
    assert tower.module.pooling == "cls"
    before = find_tower("text", f"hf:{encoder_folder}{options}", tmp_path / "cache")
    assert tower.spec.version != before.spec.version
    record = json.loads((out / "tuning.json").read_text())
    assert record["tower"] == before.description()

    data = load_dataset(topics_folder)
    assert tower.learned_from == tuple(data.ids[row] for row in data.rows("train"))
    graph, _ = tower_to_onnx(tower, data.profiles)
    inputs = inputs_of(tower.spec, tower.tokenizer)
    pieces = [p for profile in data.profiles for p in pieces_for(tower.spec, pieces_of(profile))]
    batch = inputs.batch([inputs.prepare(Payload(p.source, text=p.readable)) for p in pieces])
    assert len(pieces) == 2 * len(data.profiles)
    found = np.asarray(onnxruntime.InferenceSession(graph).run([VECTOR], dict(batch))[0])
    np.testing.assert_allclose(found, encode(tower, batch), atol=1e-5)


def test_a_folder_that_is_there_is_left_alone(
    topics_folder: Path, encoder_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    assert call(topics_folder, f"hf:{encoder_folder}", tmp_path / "out") == 1
    assert "out exists already; choose another --out" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("tower", "instead"),
    [
        ("multilingual-e5-small", "an encoder of Hugging Face's, all-minilm-l6-v2 or"),
        ("efficientnet-lite0", "a vision model of Hugging Face's (ViT"),
        ("log-mel", "an encoder of samples of Hugging Face's (wav2vec 2.0"),
    ],
)
def test_a_tower_that_has_no_weights_to_train(
    topics_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tower: str,
    instead: str,
) -> None:
    assert call(topics_folder, tower, tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert f"--tower {tower}: this tower can't be fine-tuned" in said
    assert f"use hf:FOLDER_OR_NAME, {instead}" in said
    assert not (tmp_path / "out").exists()


def test_a_tower_that_was_tuned_on_a_held_out_streamer_fails_a_fit(
    topics_folder: Path, encoder_folder: Path, tmp_path: Path
) -> None:
    data = load_dataset(topics_folder)
    folder = Path(shutil.copytree(encoder_folder, tmp_path / "tuned"))
    config = TransferPlusConfig(**TAUGHT, steps=1, text_tower=f"hf:{folder}", refit=False)
    request = Request("transfer-plus", config, 0, 1, tmp_path / "c", tower_cache=tmp_path / "k")
    (folder / "learned_from.txt").write_text("s0\ns8\ns4")  # s4 chooses, s8 is for the test
    with pytest.raises(
        LeakError, match=r"tuned: held-out 's4' \(val\), 's8' \(test\) was learned from; tune it ag"
    ):
        fit(request, data)
    (folder / "learned_from.txt").write_text("s0\ns1\nof-another-set")
    request = replace(request, out=tmp_path / "d")
    train = [data.ids[row] for row in data.rows("train")]
    assert list(fit(request, data).learned_from) == [*train, "of-another-set"]


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ("", "text_tower=hf:new"),
        ("?pooling=cls&prefix=a: &max_tokens=100", "text_tower=hf:new"),
        (
            "?kinds=text,tag&modalities=name,tags&max_tokens=256",
            "text_tower=hf:new?kinds=text,tag&modalities=name,tags&max_tokens=256",
        ),
    ],
)
def test_how_the_folder_is_to_be_used(encoder_folder: Path, options: str, setting: str) -> None:
    tower = find_tower("text", f"hf:{encoder_folder}{options}", encoder_folder.parent)
    assert setting_of(tower, Path("new")) == setting
