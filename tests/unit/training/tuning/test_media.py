"""Towers of pictures and of sounds are tuned as those of texts are, and read as before."""

import base64
import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from model_export.contract.media import prepare_image
from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import Media, StreamerProfile, Video
from model_export.contract.towers import VECTOR, TowerKind, inputs_of, payload_of, pieces_for
from model_export.towers import tower_to_onnx
from tests.unit.contract.media import files
from tests.unit.training.towers.encoders import write_hearing, write_vision
from training.commands.cli import main
from training.data import Dataset, load_dataset
from training.disguises.pictures import decoded, disguise, jpeg
from training.errors import DataError, LeakError
from training.evaluation.metrics import reciprocal_rank
from training.preparation.leaks import check_towers
from training.towers import Tower, find_tower
from training.towers.base import encode
from training.tuning import Options, Tuned, tune, write_tuned
from training.tuning.items import Items
from training.tuning.pairs import Pairs
from training.tuning.pictures import Pictures
from training.tuning.shown import meaningless, shown_to
from training.tuning.sounds import Sounds
from training.tuning.sounds import changed as heard_again
from training.world import generate
from training.world.files import write_world

pytestmark = pytest.mark.slow

OPTIONS = Options(steps=4, batch=12, learning_rate=1e-3, temperature=0.1, evaluate_every=2)
RATE_HZ = 16_000


def _media(content_type: str, data: bytes) -> Media:
    return Media(data=base64.b64encode(data).decode(), content_type=content_type)


def _picture(topic: int, number: int) -> Media:
    """Upright or lying stripes, in a colour of its own."""
    rng = np.random.default_rng([topic, number])
    stripes = np.sin(np.arange(48) * 0.8 + rng.uniform(0, 6)) > 0
    level = np.broadcast_to(stripes if topic else stripes[:, None], (48, 48))
    pixels = np.where(level[..., None], rng.integers(120, 250, 3), rng.integers(0, 100, 3))
    return _media("image/png", files.saved(Image.fromarray(pixels.astype(np.uint8)), "PNG"))


def _sound(topic: int, number: int) -> Media:
    """A low or a high tone that others don't have."""
    wave = files.tone(0.4, RATE_HZ, (200 + 3 * number, 2000 + 30 * number)[topic])
    return _media("audio/wav", files.wav((2e4 * wave).astype(np.int16), RATE_HZ))


SILENCE = _media("audio/wav", files.wav(np.zeros(6400, np.int16), RATE_HZ))
COMMON = _picture(0, 1000), _sound(0, 1000)
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
def tuned(request: pytest.FixtureRequest, folders: dict[TowerKind, Path], data: Dataset) -> Tuned:
    tower = find_tower(request.param, f"hf:{folders[request.param]}", Path())
    return tune(tower, data, OPTIONS, stream=io.StringIO())


def read(tower: Tower, profile: StreamerProfile) -> dict[str, np.ndarray]:
    """The inputs of the tower's graph for the last two pieces of a profile."""
    inputs = inputs_of(tower.spec, tower.tokenizer)
    pieces = pieces_for(tower.spec, pieces_of(profile))[-2:]
    return dict(inputs.batch([inputs.prepare(payload_of(piece, profile)) for piece in pieces]))


def test_what_nobody_sees_in_it_is_not_learned(tuned: Tuned, data: Dataset) -> None:
    kind = "pictures" if tuned.tower.spec.kind == "image" else "sounds"
    train = data.rows("train")
    assert tuned.counts[kind] == 2 * len(train)  # neither silence nor what everybody shows
    assert tuned.learned_from == [data.ids[row] for row in train]
    assert tuned.metric == "NDCG@20"
    assert [step for step, _ in tuned.history] == [0, 2, 4]
    assert len(tuned.losses) == 4
    assert np.isfinite(tuned.losses).all()


def test_a_seed_repeats(tuned: Tuned, data: Dataset) -> None:
    again = tune(tuned.tower, data, replace(OPTIONS, steps=2), stream=io.StringIO())
    assert again.losses[0] == tuned.losses[0]  # the rate of the second depends on how many follow
    other = tune(tuned.tower, data, replace(OPTIONS, steps=1, seed=1), stream=io.StringIO())
    assert other.losses[0] != tuned.losses[0]


def test_the_folder_is_a_tower_and_its_graph_computes_the_same(
    tuned: Tuned, data: Dataset, tmp_path: Path
) -> None:
    spec = tuned.tower.spec
    write_tuned(tuned, OPTIONS, data.digest, tmp_path / "tuned")
    tower = find_tower(spec.kind, f"hf:{tmp_path / 'tuned'}", tmp_path)
    assert (tower.spec.image, tower.spec.audio) == (spec.image, spec.audio)
    assert tower.spec.version != spec.version or tuned.step == 0
    batch = read(tower, data.profiles[0])
    expected = encode(replace(tower, module=tuned.module), batch)
    np.testing.assert_array_equal(encode(tower, batch), expected)
    graph, check = tower_to_onnx(tower, [])
    assert check.min_cosine > 0.9999
    found = onnxruntime.InferenceSession(graph).run([VECTOR], batch)[0]
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-4)
    if spec.audio is not None:
        assert '"apply_spec_augment": true' in (tmp_path / "tuned" / "config.json").read_text()

    check_towers([tower], data)
    (tmp_path / "tuned" / "learned_from.txt").write_text("s8")
    again = find_tower(spec.kind, f"hf:{tmp_path / 'tuned'}", tmp_path)
    with pytest.raises(LeakError, match=f"{spec.kind}_tower=.*held-out 's8' .test. was learned"):
        check_towers([again], data)


def test_a_positive_is_another_view_as_often_as_another_piece(
    folders: dict[TowerKind, Path], data: Dataset
) -> None:
    tower = find_tower("image", f"hf:{folders['image']}", Path())
    shown = shown_to(tower, data, data.rows("train"), frozenset(), stream=io.StringIO())
    rng = np.random.default_rng(0)
    drawn = [Pairs(shown, None, data.groups).draw(36, rng).items.reshape(2, 36) for _ in range(20)]
    assert 0.4 < np.mean([one == other for one, other in drawn]) < 0.6


def test_views_differ_from_what_is_served_and_from_each_other(
    folders: dict[TowerKind, Path], data: Dataset
) -> None:
    kinds: dict[TowerKind, type[Items]] = {"image": Pictures, "audio": Sounds}
    for kind, items_of in kinds.items():
        tower = find_tower(kind, f"hf:{folders[kind]}", Path())
        items = shown_to(tower, data, data.rows("val"), meaningless(data, data.rows("train"))).items
        assert isinstance(items, items_of)
        rng = np.random.default_rng(0)
        views = [items.view(0, rng) for _ in range(4)]
        served = items.prepare(0)
        assert {(v.shape, v.dtype.str) for v in views} == {(served.shape, served.dtype.str)}
        assert len({v.tobytes() for v in [served, *views]}) == 5


def test_a_sound_is_heard_at_most_a_semitone_off_and_not_clipped() -> None:
    rng = np.random.default_rng(0)
    wave = files.tone(1, RATE_HZ, 1000, level=0.9)
    for _ in range(20):
        found = heard_again(wave, rng)
        loudest = np.abs(np.fft.rfft(found, 4 * RATE_HZ)).argmax() / 4
        assert 1000 / 1.06 < loudest < 1000 * 1.06
        assert np.abs(found).max() <= 1
        assert len(found) == pytest.approx(RATE_HZ * 1000 / loudest, rel=0.01)


def test_a_picture_that_can_t_be_read_is_named(
    folders: dict[TowerKind, Path], data: Dataset
) -> None:
    tower = find_tower("image", f"hf:{folders['image']}", Path())
    damaged = data.profiles[0].model_copy(update={"avatar": _media("image/png", b"no picture")})
    broken = replace(data, profiles=[damaged, *list(data.profiles)[1:]])
    with pytest.raises(DataError, match=r"streamer 's0': avatar: is declared image/png but is"):
        tune(tower, broken, OPTIONS, stream=io.StringIO())


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


def test_a_vit_of_random_weights_learns_to_find_by_pictures_alone(
    folders: dict[TowerKind, Path], tmp_path: Path
) -> None:
    made = generate(240, 3, media=True)
    for profile in made.profiles:
        for item in [*profile.get("videos", []), *profile.get("lives", [])]:
            item.pop("audio", None)
    write_world(made, tmp_path / "world", 3, "jsonl")
    world = load_dataset(tmp_path / "world")
    # A tenth is too few to ask.
    world = replace(world, split=np.where(world.split == "train", "train", "val"))
    tower = find_tower("image", f"hf:{folders['image']}", Path())
    options = Options(
        steps=40, batch=96, learning_rate=3e-3, temperature=0.2, evaluate_every=40, patience=9
    )
    found = tune(tower, world, options, stream=io.StringIO())
    (_, before), (_, after) = found.history
    assert after > 1.15 * before
    assert np.mean(found.losses[-5:]) < np.mean(found.losses[:5])
    tuned = replace(tower, module=found.module)
    assert copies_found(tuned, world) > copies_found(tower, world) + 0.05


def copies_found(tower: Tower, world: Dataset) -> float:
    """MRR of held-out pictures, asked for by copies in disguise."""
    nothing = meaningless(world, world.rows("train"))
    shown = shown_to(tower, world, world.rows("val"), nothing, 4, io.StringIO())
    assert isinstance(shown.items, Pictures)
    assert tower.spec.image is not None
    originals = [decoded(shown.items.payload(i).data) for i in range(len(shown.items))]
    copies = [decoded(jpeg(*disguise(picture, i))) for i, picture in enumerate(originals)]
    both = [prepare_image(picture, tower.spec.image) for picture in [*copies, *originals]]
    vectors = encode(tower, {"pixels": np.stack(both)})
    vectors -= vectors.mean(0)
    halves = np.split(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), 2)
    return float(reciprocal_rank(*halves).mean())
