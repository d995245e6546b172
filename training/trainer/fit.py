"""A complete fit: choose on validation, refit on train + val, measure on the test split."""

import io
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from model_export.contract.pieces import pieces_of
from training.baselines import AUTO, TowerChoice, choose_text_tower
from training.calibration import Measured, calibrate_embeddings, calibration_of
from training.calibration.evidence import evidence_of_stage
from training.cold_start.vote import Vote, choose_vote, edges_of, weighed
from training.config import RecipeConfig, TeacherConfig, as_dict, with_choices
from training.data import Dataset
from training.data.passes import mapped
from training.errors import CheckpointError, UsageError
from training.evaluation.audience import choose_audience_vote
from training.evaluation.setting import Setting
from training.evaluation.subject import AudienceVote, Representation
from training.inference.duplicate_threshold import Sketches, calibrate_duplicates
from training.inference.representation import AUDIENCE_VOTE
from training.models.checkpoint import (
    STATE,
    Checkpoint,
    is_finished,
    make_folder,
    read_config,
)
from training.models.distributed import Compute
from training.models.folder_lock import locked
from training.numeric.memory_usage import peak_rss_mib
from training.preparation.leaks import check_known, check_stage, check_towers
from training.preparation.stage import MOST_ASKED, MOST_SEARCHED, Stage, embeddings, prepare, sample
from training.progress import Progress
from training.tasks.base import Task
from training.tasks.recipes import Recipe, find_recipe, held_out_task
from training.teachers.id_embeddings import find_teacher, handed_over
from training.towers import Tower, TowerReader, cache_folder, configured_towers
from training.tracking import Tracker, Tracking, open_tracking
from training.trainer.held_out import held_out_metrics
from training.trainer.init_from import Start
from training.trainer.loop import Journal, Settings, Trained, train
from training.trainer.stored import counts, established, id_space


@dataclass(frozen=True)
class Request:
    """Request for a fit.

    Attributes:
        recipe: name of the recipe.
        config: resolved configuration.
        seed: of all randomness.
        threads: of torch and the teacher.
        out: checkpoint folder.
        overwrite: whether to replace a finished checkpoint, or the state of another fit.
        save_every_s: least seconds between two saves of the training state.
        compute: device and processes; process 0 writes.
        tower_cache: folder of cached tower vectors.
        init_from: finished checkpoint whose encoder the fit starts from; None = starts anew.
        track: trackers beside `metrics.jsonl`, see `training.tracking`.
        tower_choice: decision of `text_tower=auto`, once settled.
    """

    recipe: str
    config: RecipeConfig
    seed: int
    threads: int
    out: Path
    overwrite: bool = False
    save_every_s: float = 20.0
    compute: Compute = field(default_factory=Compute)
    tower_cache: Path = field(default_factory=cache_folder)
    init_from: Path | None = None
    track: Sequence[str] = ()
    tower_choice: TowerChoice | None = None

    @cached_property
    def towers(self) -> list[Tower]:
        """Towers of the configuration.

        Raises:
            UsageError: a tower is unknown, or its dependencies are not installed.
        """
        return configured_towers(self.config, self.tower_cache)

    @cached_property
    def start(self) -> Start | None:
        """Checkpoint that the fit starts from.

        Raises:
            CheckpointError: `init_from` is not a finished checkpoint.
        """
        return None if self.init_from is None else Start.load(self.init_from)

    def settled(self, dataset: Dataset, note: IO[str] | None = None) -> "Request":
        """Request with automatic settings resolved for the data; the reason goes to `note`."""
        if self.config.text_tower != AUTO:
            return self
        if not self.compute.is_first:
            self.compute.wait()  # for what process 0 encodes and decides
        choice = choose_text_tower(self.config, dataset, self.tower_cache)
        if self.compute.is_first:
            self.compute.wait()
            if note is not None:
                note.write(str(choice))
        return replace(
            self, config=replace(self.config, text_tower=choice.reference), tower_choice=choice
        )

    def description(self, dataset: Dataset) -> dict[str, Any]:
        """Identity of the fit; equal descriptions give equal weights."""
        return {
            "recipe": self.recipe,
            "seed": self.seed,
            "config": dict(as_dict(self.config)),
            "compute": self.compute.description(),
            "data_digest": dataset.digest,
            "code_version": version("similar-streamer"),
            "towers": [tower.description() for tower in self.towers],
            "init_from": self.start and self.start.description(),
        }


@contextmanager
def one_fit(request: Request) -> Iterator[None]:
    """Keep other fits out of the checkpoint folder, which is created.

    A finished checkpoint in a folder that nobody can write to is not locked.

    Raises:
        OutputError: another fit is using the folder, it can't be written to, or it holds other
            files.
    """
    is_done = is_finished(request.out)
    if not is_done:
        make_folder(request.out)
    is_safe = is_done and not os.access(request.out, os.W_OK)
    with ExitStack() as held:
        if request.compute.is_first and not is_safe:
            held.enter_context(locked(request.out, "another fit; wait, or choose another --out"))
        request.compute.wait()  # nobody looks at the folder before it is held
        yield


def already_trained(request: Request, dataset: Dataset) -> bool:
    """Whether the folder already holds the finished checkpoint of this request.

    Raises:
        CheckpointError: it holds another finished checkpoint that may not be overwritten.
    """
    if request.overwrite or not is_finished(request.out):
        return False
    there, wanted = read_config(request.out), request.settled(dataset).description(dataset)
    different = [name for name, value in wanted.items() if there.get(name) != value]
    if different:
        raise CheckpointError(
            f"{request.out} holds a finished checkpoint with other {', '.join(different)}; "
            "choose another --out or replace it with --overwrite"
        )
    return True


def fit(request: Request, dataset: Dataset) -> Checkpoint:
    """Fit and save; resumes an interrupted fit with the same description.

    Raises:
        CheckpointError: the folder holds an unfinished fit with another description.
        LeakError: a held-out streamer would be learned from.
        OutputError: the folder can't be written to, or holds other files.
        UsageError: the data set lacks something that the recipe needs.
    """
    begun = time.monotonic()
    torch.set_num_threads(request.threads)
    make_folder(request.out)
    with threadpool_limits(request.threads, "blas"):
        request = request.settled(dataset, sys.stderr)
        checkpoint = _fit(request, dataset, begun)
    if request.compute.is_first:
        checkpoint.save(request.out)
    request.compute.wait()
    return checkpoint


def _fit(request: Request, dataset: Dataset, begun: float) -> Checkpoint:
    if request.start is not None:
        request.start.check(request.out, request.config, dataset)
    description = request.description(dataset)
    run_key = json.dumps(description, sort_keys=True)
    journal = Journal(request.out, run_key, request.save_every_s, begun)
    if request.overwrite and request.compute.is_first:
        journal.discard_other()
    request.compute.wait()
    journal.restore()  # the state of another fit is refused before its trackers are opened
    dataset = handed_over(dataset, request.config, request.seed, request.threads)
    with _tracking(request, description) as tracking, _tower_reader(request, dataset) as reader:
        run = _Run(request, find_recipe(request.recipe), dataset, journal, reader, tracking)
        chosen, stage = run()
        checkpoint = _checkpoint(request, dataset, run.recipe, chosen, stage)
        tracking.finish(checkpoint.metrics)
    took = {"fit_seconds": round(journal.seconds, 1), "peak_rss_mb": round(peak_rss_mib(), 1)}
    return replace(checkpoint, metrics=checkpoint.metrics | took)


def _tracking(request: Request, description: Mapping[str, Any]) -> Tracking:
    """Tracking by process 0."""
    if not request.compute.is_first:
        return Tracking()
    resumed = (request.out / STATE).exists()
    return open_tracking(request.track, request.out, resumed, description)


def _tower_reader(request: Request, dataset: Dataset) -> TowerReader:
    """Tower reader, with the data set encoded by process 0."""
    check_towers(request.towers, dataset)
    stream = sys.stderr if request.compute.is_first else io.StringIO()
    device = request.compute.device
    reader = TowerReader(request.towers, request.tower_cache, device, stream)
    if request.compute.is_first:
        reader.fill(dataset.profiles)
    request.compute.wait()
    return reader


def _checkpoint(
    request: Request, dataset: Dataset, recipe: Recipe, chosen: Trained, stage: Stage
) -> Checkpoint:
    """Checkpoint of the trained encoder with its calibration and metrics."""
    sketches = Sketches(stage)
    threshold = calibrate_duplicates(stage, sketches)
    vote = Vote(**chosen.vote)
    measured = [Measured.model_validate(each) for each in chosen.calibration]
    calibration = calibration_of(measured, stage, request.config.refit, sketches)
    edges = None
    if stage.teacher is not None:
        edges = weighed(edges_of(stage.teacher), stage.teacher, vote)
    choice = request.tower_choice
    learned_from = [dataset.ids[row] for row in stage.known]
    earlier = {name for tower in request.towers for name in tower.learned_from}
    if request.start is not None:
        earlier.update(request.start.checkpoint.learned_from)
    return Checkpoint(
        tensors={
            name: value.cpu().contiguous() for name, value in stage.encoder.state_dict().items()
        },
        vocabulary=stage.vocabulary,
        config={
            **request.description(dataset),
            "split_number": dataset.split_number,
            "refit_on_validation": request.config.refit,
            "validation_history": chosen.history,
            "duplicate_threshold": {"value": threshold.value, "source": threshold.source},
            "calibration": calibration.model_dump(),
            "evidence": evidence_of_stage(stage).model_dump(),
            "id_space": id_space(stage),
            "text_tower_choice": None if choice is None else asdict(choice),
        },
        metrics={
            "validation_step": float(chosen.step),
            **({} if math.isnan(chosen.value) else {recipe.metric_name: chosen.value}),
            **({} if math.isnan(vote.value) else {"validation_cold_start_NDCG@20": vote.value}),
            **chosen.choices,
            **{AUDIENCE_VOTE + name: value for name, value in chosen.audience_vote.items()},
            **counts(stage),
            **held_out_metrics(stage, vote, edges),
            **threshold.metrics,
        },
        established=established(stage, vote, edges),
        learned_from=[*learned_from, *sorted(earlier.difference(learned_from))],
    )


class _Run:
    """Selection and refit stages of one fit."""

    def __init__(
        self,
        request: Request,
        recipe: Recipe,
        dataset: Dataset,
        journal: Journal,
        reader: TowerReader,
        tracking: Tracker,
    ) -> None:
        self.recipe, self._tracking = recipe, tracking
        self._request, self._dataset, self._journal = request, dataset, journal
        self._pieces = reader.over(mapped(pieces_of, dataset.profiles))

    def __call__(self) -> tuple[Trained, Stage]:
        """Run the stages; returns the outcome of the selection and the last stage."""
        saved = self._journal.restore()
        if saved is not None:
            self._journal.begun -= saved[1].get("seconds", 0.0)  # none in older states
        if saved is not None and saved[1]["stage"] == "refit":
            chosen = Trained(**saved[1]["chosen"])  # resumed after the selection
        else:
            chosen, stage = self._choose()
            if not self._request.config.refit:
                return chosen, stage
            del stage  # free the features before the next stage computes its own
        stage = self._stage("train", "val")
        self._train(self._task(stage, None, chosen.choices), "refit", chosen)
        return chosen, stage

    def _choose(self) -> tuple[Trained, Stage]:
        """Train on train with early stopping on val, then calibrate scores and votes on val."""
        stage, held_out = self._stage("train"), self._dataset.rows("val")
        teacher = stage.teacher
        edges = None if teacher is None else edges_of(teacher)
        asking = None if teacher is None else held_out_task(stage, held_out).seen

        def vote() -> Vote:
            if teacher is None or edges is None or asking is None:
                return Vote()
            content = Representation.symmetric(embeddings(stage))
            return choose_vote(content, teacher, edges, asking, stage.seed)

        chosen = self._train(self._task(stage, held_out), "select", None, lambda: vote().value)
        chosen.calibration = [each.model_dump() for each in calibrate_embeddings(stage)]
        chosen.vote = asdict(vote())
        found = audience_vote(stage, held_out)
        chosen.audience_vote = {} if found is None else asdict(found)
        return chosen, stage

    def _task(
        self, stage: Stage, held_out: NDArray[np.int64] | None, choices: Mapping[str, float] = {}
    ) -> Task:
        if self._request.start is not None:
            choices = {**choices, "vector_doublings": 0}  # that is in the earlier weights
        task = self.recipe.build(stage, with_choices(self._request.config, choices), held_out)
        if self._request.start is not None:
            self._request.start.carry_over(task, stage)
        return task

    def _stage(self, *splits: str) -> Stage:
        known = self._dataset.rows(*splits)
        check_known(self._dataset, known, splits)
        config, seed, threads = self._request.config, self._request.seed, self._request.threads
        compute = self._request.compute
        teacher = None
        if isinstance(config, TeacherConfig):
            teacher = find_teacher(self._dataset, known, config, seed, threads)
        pieces = self._pieces
        stage = prepare(self._dataset, pieces, known, teacher, config, seed, threads, compute)
        check_stage(stage, splits)
        self._check_towers(stage)
        return stage

    def _check_towers(self, stage: Stage) -> None:
        read = {space.name for space in stage.vocabulary.spaces}
        for tower in self._request.towers:
            if tower.spec.name not in read:
                raise UsageError(
                    f"{tower.spec.kind}_tower={tower.reference}: no training streamer of "
                    f"{self._dataset.folder} has a piece that it reads "
                    f"({', '.join(tower.spec.modalities)}); remove the setting"
                )

    def _train(
        self,
        task: Task,
        name: str,
        chosen: Trained | None,
        cold_start: Callable[[], float] | None = None,
    ) -> Trained:
        config = self._request.config
        steps = chosen.step if chosen else config.steps
        stream = sys.stderr if self._request.compute.is_first else io.StringIO()
        settings = Settings.of(config, name, self.recipe.metric, self._request.seed)
        with Progress(name, steps, stream) as progress:
            return train(
                task, settings, self._journal, progress, chosen, self._tracking, cold_start
            )


def audience_vote(stage: Stage, held_out: NDArray[np.int64]) -> AudienceVote | None:
    """Vote that predicts audiences of held-out streamers best; None without audiences."""
    asking = sample(held_out, MOST_ASKED, stage.seed)
    gallery = sample(stage.known, MOST_SEARCHED, stage.seed)
    setting = Setting(stage.dataset, asking, gallery, known=stage.known)
    if not len(asking) or setting.audience is None:
        return None
    return choose_audience_vote(setting, Representation.symmetric(embeddings(stage)))
