"""Small profiles, data set folders and stages for tests of the training."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.contract.vocabulary import Vocabulary
from training.config import RecipeConfig, TeacherConfig
from training.data import Dataset
from training.features.vocabulary import build_vocabulary
from training.models.distributed import Compute
from training.preparation.stage import Stage, prepare
from training.tasks.base import Task
from training.tasks.recipes import RECIPES
from training.teachers.id_embeddings import find_teacher
from training.trainer.loop import update

TOPICS = {
    "cooking": ["noodles", "soup", "红烧肉", "家常菜"],
    "gaming": ["raid", "boss", "上分", "电竞"],
    "music": ["guitar", "vocal", "唱歌", "弹唱"],
}
WIDTHS: dict[str, Any] = {"dim": 16, "table_dim": 32, "hidden_dim": 32, "content_dim": 32}
SMALL: dict[str, Any] = WIDTHS | {"batch_size": 64}
TAUGHT: dict[str, Any] = SMALL | {"teacher_dim": 8}
"""Settings of encoders that are trained in a second."""
ON_CPU = Compute()
LINES = {
    "streamers.jsonl": [
        '{"streamer_id": "a", "name": "Ana", "tags": ["chess"], "language": "en"}',
        '{"streamer_id": "b", "bio": "喜欢火锅", "videos": [{"video_id": "b1", "title": "毛肚"}]}',
        '{"streamer_id": "c", "avatar": {"vector": [0.5, 1, -2], "space": "s"}}',
        '{"streamer_id": "d", "attributes": {"n": 3, "x": 0.5, "ok": true, "t": "z"}}',
    ],
    "splits.csv": ["streamer_id,split", "a,train", "b,train", "c,val", "d,test"],
    "interactions.csv": [
        "user_id,streamer_id,weight",
        "u1,a,1",
        "u2,a,2.5",
        "u1,b,4",
        "u1,a,3",
        "u3,c,0",
    ],
    "relations.csv": ["streamer_id,related_id,weight", "a,b,1", "b,a,2", "c,d,0.5"],
    "duplicates.csv": ["streamer_id,group", "a,g", "b,g"],
    "labels.csv": ["streamer_id,label", "a,chess", 'b,"hot, pot"', "d,chess"],
}
"""File -> its lines; everything in it is right."""


def write_folder(folder: Path, changes: dict[tuple[str, int], bytes] | None = None) -> Path:
    """Write the folder, with some lines (file, number from 1) replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in LINES.items():
        content = [line.encode() for line in rows]
        for (file, number), line in (changes or {}).items():
            if file == name:
                content[number - 1] = line
        (folder / name).write_bytes(b"".join(line + b"\n" for line in content))
    return folder


def unit(rows: int, width: int, seed: int) -> NDArray[np.float32]:
    """Random directions (rows, width)."""
    x = np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def cover(*numbers: float) -> dict[str, Any]:
    """A picture as a ready-made vector."""
    return {"vector": list(numbers), "space": "covers"}


def streamers(each: int = 6) -> list[StreamerProfile]:
    """Per topic, some streamers with bios, tags, videos and covers of their own."""
    return [
        StreamerProfile.model_validate(
            {
                "streamer_id": f"{topic}-{i}",
                "name": f"{topic} person {i}",
                "bio": f"{terms[i % 4]} every day. Come for {terms[(i + 1) % 4]}! 欢迎{i}",
                "tags": [topic, terms[i % 4]],
                "language": "en",
                "videos": [
                    {
                        "video_id": f"v{j}",
                        "title": f"{terms[j % 4]} and {terms[(i + j) % 4]} number {i}",
                        "cover": cover(*(float(t == k) + 0.1 * i + 0.01 * j for k in range(4))),
                    }
                    for j in range(i % 3)
                ],
            }
        )
        for t, (topic, terms) in enumerate(TOPICS.items())
        for i in range(each)
    ]


def pieces(each: int = 6) -> list[list[Piece]]:
    """The pieces of `streamers`."""
    return [pieces_of(profile) for profile in streamers(each)]


def vocabulary(each: int = 6) -> Vocabulary:
    """Counted on `streamers`."""
    return build_vocabulary(pieces(each))


def without_behaviour(world: Dataset) -> Dataset:
    """The same profiles, and nothing of who watches whom."""
    return replace(world, interactions=None, relations=None, id_embeddings=None)


def settings_of(recipe: str, **changes: Any) -> RecipeConfig:
    """Of a small encoder and a fit of a few steps."""
    made = RECIPES[recipe].config
    widths = TAUGHT if issubclass(made, TeacherConfig) else SMALL
    return made(**{**widths, "steps": 4, "evaluate_every": 2, "text_tower": "", **changes})


def stage_of(world: Dataset, config: RecipeConfig, compute: Compute = ON_CPU) -> Stage:
    """The training streamers, with a teacher where the recipe has one."""
    known = world.rows("train")
    teacher = None
    if isinstance(config, TeacherConfig):
        teacher = find_teacher(world, known, config, seed=0, threads=1)
    found = [pieces_of(profile) for profile in world.profiles]
    return prepare(world, found, known, teacher, config, 0, 1, compute)


def make_steps(task: Task, count: int, learning_rate: float = 3e-3) -> list[dict[str, float]]:
    """Train for so many steps; the losses of each."""
    optimiser = torch.optim.AdamW(task.module.parameters(), learning_rate)
    return [update(task, optimiser, clip_norm=1.0, seed=0, step=step) for step in range(count)]


def no_constant(name: str) -> float:
    """NaN and infinities are no JSON."""
    raise AssertionError(f"{name} is no JSON")


def lines(folder: Path) -> list[dict[str, Any]]:
    """Every line of `metrics.jsonl`; fails unless it is strict JSON that ends with a line."""
    text = (folder / "metrics.jsonl").read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line, parse_constant=no_constant) for line in text.splitlines()]


def story(folder: Path) -> list[dict[str, Any]]:
    """The lines without times, speeds and interruptions."""
    found = [line for line in lines(folder) if line["event"] != "resume"]
    for line in found:
        del line["time"], line["steps_per_s"]
    return found


def steps(folder: Path, stage: str) -> list[int]:
    """Steps of the validations of a stage."""
    found = [line for line in lines(folder) if line["event"] == "validation"]
    assert all(line["value"] is None or math.isfinite(line["value"]) for line in found)
    return [line["step"] for line in found if line["stage"] == stage]
