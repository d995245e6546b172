"""Fine-tuning of towers: what is learned, of whom, and the folder that is left."""

import base64
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import Media, StreamerProfile, Video
from model_export.contract.towers import (
    VECTOR,
    Payload,
    TextSpec,
    TowerKind,
    inputs_of,
    payload_of,
    pieces_for,
)
from model_export.towers import tower_to_onnx
from tests.support import media_towers
from tests.unit.training.encoders import write_hearing, write_vision
from tests.unit.training.helpers import TAUGHT
from training.commands.cli import main
from training.config import TransferPlusConfig
from training.data import Dataset, load_dataset
from training.errors import DivergedError, LeakError, UsageError
from training.preparation.leaks import check_towers
from training.towers import Tower, find_tower
from training.towers.base import encode
from training.trainer.fit import Request, fit
from training.tuning import Options, Tuned, tune, write_tuned
from training.tuning.pairs import Drawn, Pairs
from training.tuning.shown import Shown
from training.tuning.texts import Texts

TOPICS = (("cooking", "noodles"), ("gaming", "boss"))
STREAMERS = 60


def _letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def write_topics(folder: Path) -> Path:
    """Streamers of even number cook, the others play; each topic has an audience of its own.

    So behaviour alone tells that two words are of one topic. Everybody writes `music` too, and
    words of their own that the encoder does not know.
    """
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True)
    profiles, splits, watched = [], ["streamer_id,split"], ["user_id,streamer_id,weight"]
    for i in range(STREAMERS):
        word = TOPICS[i % 2][i // 2 % 2]
        titles = [f"{word} music {'xyz'[j]}{_letters(i)}" for j in range(2)]
        videos = [{"video_id": f"{i}-{j}", "title": title} for j, title in enumerate(titles)]
        profiles.append(json.dumps({"streamer_id": f"s{i}", "videos": videos}))
        splits.append(f"s{i},{('train', 'train', 'val', 'train', 'test')[i // 2 % 5]}")
        watched += [f"u{i % 2}-{u},s{i},1" for u in rng.choice(8, 5, replace=False)]
    for name, lines in (
        ("streamers.jsonl", profiles),
        ("splits.csv", splits),
        ("interactions.csv", watched),
    ):
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def topics_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_topics(tmp_path_factory.mktemp("topics") / "data")


@pytest.fixture(scope="session")
def topics(topics_folder: Path) -> Dataset:
    return load_dataset(topics_folder)


@pytest.fixture(scope="module")
def tower(encoder_folder: Path) -> Tower:
    return find_tower("text", f"hf:{encoder_folder}", encoder_folder.parent)


class Near:
    """Streamers 1 and 3 are near each other."""

    anchors = np.array([1, 3])

    def draw(self, anchors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return 4 - anchors

    def alike(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return (np.minimum(one, other) == 1) & (np.maximum(one, other) == 3)


def test_what_would_be_called_unlike_by_mistake_is_left_out(tower: Tower) -> None:
    items = Texts(tower)
    for text in "abc":
        items.add(Payload("bio", text=text), "s")
    texts = Shown(np.array([1, 2, 3]), items, np.array([0, 1, 2, 4]), np.array([0, 0, 0, 1]))
    drawn = Drawn(np.array([1, 2, 3, 4, 1, 2, 3, 4]), np.array([0, 1, 2, 5, 3, 4, 0, 6]))
    groups = np.array([0, 1, 2, 3, 2])  # 2 and 4 are near-duplicates
    wanted, excluded = Pairs(texts, Near(), groups).masks(drawn)
    for i in range(8):
        for j in range(8):
            partner = abs(i - j) == 4
            rows = {int(drawn.rows[i]), int(drawn.rows[j])}
            doubtful = len(rows) == 1 or drawn.items[i] == drawn.items[j]
            doubtful |= rows in ({1, 3}, {2, 4})
            assert wanted[i, j] == partner
            assert excluded[i, j] == (doubtful and not partner)


OPTIONS = Options(
    steps=40, batch=32, learning_rate=3e-3, temperature=0.1, evaluate_every=10, patience=4
)


@pytest.fixture(scope="module")
def tuned(tower: Tower, topics: Dataset) -> Tuned:
    return tune(tower, topics, OPTIONS, stream=io.StringIO())


def vectors(tower: Tower, *texts: str) -> np.ndarray:
    inputs = inputs_of(tower.spec, tower.tokenizer)
    return encode(tower, inputs.batch([inputs.prepare(Payload("bio", text=t)) for t in texts]))


def gap(tower: Tower) -> float:
    """How much nearer two words of one topic are than of two."""
    cooking, noodles, gaming, boss = vectors(tower, *TOPICS[0], *TOPICS[1])
    within = cooking @ noodles + gaming @ boss
    return float(
        within - (cooking @ gaming + noodles @ boss + cooking @ boss + noodles @ gaming) / 2
    )


def test_the_loss_falls_and_topics_are_told_apart(tuned: Tuned, tower: Tower) -> None:
    assert np.mean(tuned.losses[-5:]) < np.mean(tuned.losses[:5]) - 0.2
    assert tuned.step > 0
    assert gap(replace(tower, module=tuned.module)) > gap(tower) + 0.5


def test_a_seed_repeats_and_another_does_not(tower: Tower, topics: Dataset) -> None:
    short = replace(OPTIONS, steps=5)
    one, same, other = (
        tune(tower, topics, replace(short, seed=seed), stream=io.StringIO()) for seed in (1, 1, 2)
    )
    assert one.losses == same.losses != other.losses
    assert all(
        map(torch.equal, one.module.state_dict().values(), same.module.state_dict().values())
    )


def test_val_chooses_and_teaches_nothing(tuned: Tuned, tower: Tower, topics: Dataset) -> None:
    videos = [Video(video_id="x", title="boss noodles"), Video(video_id="y", title="cooking")]
    profiles = [
        profile.model_copy(update={"videos": videos}) if split == "val" else profile
        for profile, split in zip(topics.profiles, topics.split, strict=True)
    ]
    other = replace(topics, profiles=profiles)
    again = tune(tower, other, OPTIONS, stream=io.StringIO())
    assert again.losses == tuned.losses[: len(again.losses)]
    assert again.history != tuned.history
    assert set(tuned.learned_from) == {topics.ids[row] for row in topics.rows("train")}


def test_without_behaviour_halves_of_a_streamer_find_each_other_unless_it_diverges(
    tower: Tower, topics: Dataset
) -> None:
    alone = replace(topics, interactions=None)
    found = tune(tower, alone, replace(OPTIONS, steps=10), stream=io.StringIO())
    assert found.metric == "MRR"
    assert found.counts["with_behaviour"] == 0
    assert found.counts["validation_queries"] == len(topics.rows("val"))
    with pytest.raises(DivergedError, match="at step 2; lower --lr"):
        tune(tower, alone, replace(OPTIONS, learning_rate=1e38), stream=io.StringIO())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"batch": 2}, "--batch must be 4 or more"),
        ({"steps": 0}, "--steps must be 1 or more"),
        ({"evaluate_every": 0}, "--evaluate-every must be 1 or more"),
        ({"learning_rate": float("nan")}, "--lr must be a number above 0"),
        ({"temperature": 0.0}, "--temperature must be a number above 0"),
    ],
)
def test_numbers_that_can_t_be_used(change: dict[str, float], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        replace(OPTIONS, **change)


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


@pytest.mark.parametrize("tower", ["efficientnet-lite0", "log-mel"])
def test_a_tower_that_has_no_weights_to_train(
    topics_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tower: str
) -> None:
    (tmp_path / "there").mkdir()
    for out, status, message in (
        ("out", 2, f"--tower {tower}: this tower can't be fine-tuned"),
        ("there", 1, "there exists already; choose another --out"),
    ):
        assert call(topics_folder, tower, tmp_path / out) == status
        assert message in capsys.readouterr().err
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


MEDIA_OPTIONS = Options(steps=4, batch=12, learning_rate=1e-3, temperature=0.1, evaluate_every=2)
RATE_HZ = 16_000


def _media(content_type: str, data: bytes) -> Media:
    return Media(data=base64.b64encode(data).decode(), content_type=content_type)


def _picture(topic: int, number: int) -> Media:
    """Red or blue below white, in a tone that others don't have."""
    colour = f"rgb({250 - number % 120}, {number}, 0)" if topic else f"rgb(0, {number}, 200)"
    return _media("image/png", media_towers.picture(colour, size=(48, 48)))


def _sound(topic: int, number: int) -> Media:
    """A low or a high tone that others don't have."""
    hertz = (200 + 3 * number, 2000 + 30 * number)[topic]
    return _media("audio/wav", media_towers.sound(hertz, 0.4, RATE_HZ))


SILENCE = _media("audio/wav", media_towers.sound(0, 0.4, RATE_HZ))
COMMON = _picture(0, 150), _sound(0, 1000)
"""What everybody shows."""


def shows(profile: StreamerProfile, number: int) -> StreamerProfile:
    """Two pictures and two sounds of its topic, and what says nothing."""
    videos = [
        Video(video_id=f"{i}", cover=_picture(*which), audio=_sound(*which))
        for i, which in enumerate((number % 2, 2 * number + i) for i in range(2))
    ]
    common = Video(video_id="common", cover=COMMON[0], audio=COMMON[1])
    silent = Video(video_id="silent", audio=SILENCE)
    return profile.model_copy(update={"videos": [common, silent, *videos]})


@pytest.fixture(scope="module")
def data(topics: Dataset) -> Dataset:
    return replace(topics, profiles=[shows(p, i) for i, p in enumerate(topics.profiles)])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[TowerKind, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    return {"image": write_vision(folder / "vit"), "audio": write_hearing(folder / "wave")}


@pytest.fixture(scope="module", params=["image", "audio"])
def media_tuned(
    request: pytest.FixtureRequest, folders: dict[TowerKind, Path], data: Dataset
) -> Tuned:
    tower = find_tower(request.param, f"hf:{folders[request.param]}", Path())
    return tune(tower, data, MEDIA_OPTIONS, stream=io.StringIO())


def read(tower: Tower, profile: StreamerProfile) -> dict[str, np.ndarray]:
    """The inputs of the tower's graph for the last two pieces of a profile."""
    inputs = inputs_of(tower.spec, tower.tokenizer)
    pieces = pieces_for(tower.spec, pieces_of(profile))[-2:]
    return dict(inputs.batch([inputs.prepare(payload_of(piece, profile)) for piece in pieces]))


def test_the_folder_is_a_tower_and_its_graph_computes_the_same(
    media_tuned: Tuned, data: Dataset, tmp_path: Path
) -> None:
    spec = media_tuned.tower.spec
    write_tuned(media_tuned, MEDIA_OPTIONS, data.digest, tmp_path / "tuned")
    tower = find_tower(spec.kind, f"hf:{tmp_path / 'tuned'}", tmp_path)
    assert (tower.spec.image, tower.spec.audio) == (spec.image, spec.audio)
    assert tower.spec.version != spec.version or media_tuned.step == 0
    batch = read(tower, data.profiles[0])
    expected = encode(replace(tower, module=media_tuned.module), batch)
    np.testing.assert_array_equal(encode(tower, batch), expected)
    if spec.kind == "image":
        graph, check = tower_to_onnx(tower, [])
        assert check.min_cosine > 0.9999
        found = onnxruntime.InferenceSession(graph).run([VECTOR], batch)[0]
        np.testing.assert_allclose(np.asarray(found), expected, atol=1e-4)

    check_towers([tower], data)
    (tmp_path / "tuned" / "learned_from.txt").write_text("s8")
    again = find_tower(spec.kind, f"hf:{tmp_path / 'tuned'}", tmp_path)
    with pytest.raises(LeakError, match=f"{spec.kind}_tower=.*held-out 's8' .test. was learned"):
        check_towers([again], data)


def test_from_the_command_line(
    topics_folder: Path,
    data: Dataset,
    folders: dict[TowerKind, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(topics_folder, tmp_path / "data")
    lines = [profile.model_dump_json(exclude_none=True) for profile in data.profiles]
    (tmp_path / "data" / "streamers.jsonl").write_text("\n".join(lines))
    out = tmp_path / "tuned"
    arguments = ["--data", str(tmp_path / "data"), "--tower", f"hf:{folders['image']}"]
    arguments += ["--out", str(out), "--steps", "2", "--batch", "8", "--threads", "1"]
    assert main(["tune-tower", *arguments]) == 2
    assert "add --kind image or --kind audio if it reads" in capsys.readouterr().err
    assert main(["tune-tower", "--kind", "image", *arguments]) == 0
    said = capsys.readouterr()
    assert f"use         --set image_tower=hf:{out}" in said.out
    assert "pictures    72 of 36 training streamers, behaviour is known of 36" in said.out
    assert "streamers' pictures: 36 of 36" in said.err
    assert find_tower("image", f"hf:{out}", tmp_path).learned_from
