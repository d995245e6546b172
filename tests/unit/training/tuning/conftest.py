"""A set of two topics of two words each, of which every streamer writes one."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.towers.encoders import write_encoder
from training.data import Dataset, load_dataset

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


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoders") / "tiny")
