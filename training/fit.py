"""A whole fit: choose on validation, train once more on train + val, measure on the test split."""

import json
import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_export.contract.pieces import Piece, pieces_of
from training.bags import tf_idf
from training.checkpoint import STATE, Checkpoint, Established, is_finished, read_config
from training.config import RecipeConfig, TransferPlusConfig, as_dict
from training.data import Dataset
from training.duplicates import calibrate_duplicates
from training.errors import CheckpointError
from training.evaluate import cold_start_task, hubness, ndcg, recall
from training.progress import Progress
from training.stage import Stage, all_rows, prepare
from training.tasks.recipes import Recipe, find_recipe
from training.teacher import audience_of, find_teacher
from training.train import Journal, Trained, train


@dataclass(frozen=True)
class Request:
    """What to fit.

    Attributes:
        recipe: its name.
        config: resolved.
        seed: of everything random.
        threads: of torch and the teacher.
        out: the checkpoint folder.
        overwrite: replace a finished checkpoint or a state of other settings.
    """

    recipe: str
    config: RecipeConfig
    seed: int
    threads: int
    out: Path
    overwrite: bool = False

    def description(self, dataset: Dataset) -> dict[str, Any]:
        """What identifies the fit; equal descriptions give equal weights."""
        return {
            "recipe": self.recipe,
            "seed": self.seed,
            "config": dict(as_dict(self.config)),
            "data_digest": dataset.digest,
            "code_version": version("similar-streamer"),
        }


def already_trained(request: Request, dataset: Dataset) -> bool:
    """Whether the checkpoint is finished and is what this fit would make.

    Raises:
        CheckpointError: it is finished, differs, and may not be overwritten.
    """
    if request.overwrite or not is_finished(request.out):
        return False
    there, wanted = read_config(request.out), request.description(dataset)
    different = [name for name, value in wanted.items() if there.get(name) != value]
    if different:
        raise CheckpointError(
            f"{request.out} holds a finished checkpoint of other {', '.join(different)}; "
            "choose another --out or replace it with --overwrite"
        )
    return True


def fit(request: Request, dataset: Dataset) -> Checkpoint:
    """Fit and save; goes on where a killed run of the same description stopped.

    Raises:
        CheckpointError: the folder holds an unfinished fit of another description.
        UsageError: the recipe needs what the data set lacks.
    """
    begin = time.monotonic()
    torch.set_num_threads(request.threads)
    recipe = find_recipe(request.recipe)
    description = request.description(dataset)
    if request.overwrite:
        _discard_other_state(request, description)
    journal = Journal(request.out, json.dumps(description, sort_keys=True))
    pieces = [pieces_of(profile) for profile in dataset.profiles]
    train_rows, val_rows = dataset.rows("train"), dataset.rows("val")
    known = train_rows
    chosen = _finished_selection(journal)
    if chosen is None or not request.config.refit:
        stage = _stage(request, recipe, dataset, pieces, train_rows)
        chosen = _run(request, recipe, stage, "select", journal, held_out=val_rows)
    if request.config.refit:
        known = np.sort(np.concatenate([train_rows, val_rows]))
        stage = _stage(request, recipe, dataset, pieces, known)
        _run(request, recipe, stage, "refit", journal, chosen=chosen)
    threshold = calibrate_duplicates(stage)
    metrics = {
        "validation_step": float(chosen.step),
        f"validation_{recipe.metric.lower().replace('@', '_at_')}": chosen.value,
        **counts(stage),
        **held_out_metrics(stage),
        **threshold.metrics,
        "fit_seconds": round(time.monotonic() - begin, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    space = None
    if stage.teacher is not None:
        space = {"name": stage.teacher.space, "dim": int(stage.teacher.vectors.shape[1])}
    checkpoint = Checkpoint(
        tensors={n: t.contiguous() for n, t in stage.encoder.state_dict().items()},
        vocabulary=stage.vocabulary,
        config={
            **description,
            "refit_on_validation": request.config.refit,
            "duplicate_threshold": {"value": threshold.value, "source": threshold.source},
            "id_space": space,
            "validation_history": chosen.history,
        },
        metrics=metrics,
        established=_established(stage),
    )
    checkpoint.save(request.out)
    return checkpoint


def _stage(
    request: Request,
    recipe: Recipe,
    dataset: Dataset,
    pieces: list[list[Piece]],
    known: NDArray[np.int64],
) -> Stage:
    config, teacher = request.config, None
    if recipe.has_teacher:
        assert isinstance(config, TransferPlusConfig)
        teacher = find_teacher(dataset, known, config, request.seed, request.threads)
    return prepare(dataset, pieces, known, teacher, config, request.seed, request.threads)


def _run(
    request: Request,
    recipe: Recipe,
    stage: Stage,
    name: str,
    journal: Journal,
    held_out: NDArray[np.int64] | None = None,
    chosen: Trained | None = None,
) -> Trained:
    steps = request.config.steps if chosen is None else chosen.step
    task = recipe.build(stage, request.config, held_out)
    with Progress(name, steps, recipe.metric) as progress:
        return train(
            task,
            request.config,
            request.seed,
            name,
            journal,
            progress,
            stop_at=None if chosen is None else chosen.step,
            carried=None if chosen is None else vars(chosen),
        )


def _finished_selection(journal: Journal) -> Trained | None:
    """The outcome of the first stage, when a killed run had already reached the second."""
    state = journal.restore()
    return Trained(**state[1]["carried"]) if state and state[1]["stage"] == "refit" else None


def _discard_other_state(request: Request, description: Mapping[str, Any]) -> None:
    try:
        Journal(request.out, json.dumps(description, sort_keys=True)).restore()
    except CheckpointError:
        (request.out / STATE).unlink()


def _established(stage: Stage) -> Established | None:
    if stage.teacher is None:
        return None
    return [stage.dataset.ids[row] for row in stage.teacher.rows], stage.teacher.vectors


def counts(stage: Stage) -> dict[str, float]:
    """How much there was to learn from."""
    return {
        "streamers": float(len(stage.dataset.ids)),
        "streamers_learned_from": float(len(stage.known)),
        "streamers_without_content": float((~stage.usable).sum()),
        "tokens": float(len(stage.vocabulary.tokens)),
        "teacher_streamers": float(0 if stage.teacher is None else len(stage.teacher.rows)),
    }


def held_out_metrics(stage: Stage) -> dict[str, float]:
    """The primary task on the test split, beside TF-IDF; nothing where there are no audiences."""
    gallery = np.sort(np.concatenate([stage.dataset.rows("train"), stage.dataset.rows("val")]))
    audience = audience_of(stage.dataset, gallery)
    if audience is None:
        return {}
    task = cold_start_task(audience, stage.dataset.rows("test"), gallery)
    if not len(task.queries):
        return {}
    vectors = all_rows(stage.encoder, stage.encoder.embed, stage.bags, stage.usable)
    found, lexical = task.ranking(vectors), task.ranking(tf_idf(stage.bags, stage.vocabulary))
    return {
        "test_queries": float(len(task.queries)),
        "test_ndcg_at_20": float(ndcg(found, task.relevant).mean()),
        "test_recall_at_20": float(recall(found, task.relevant).mean()),
        "test_hubness": hubness(found, len(gallery)),
        "test_tf_idf_ndcg_at_20": float(ndcg(lexical, task.relevant).mean()),
    }
