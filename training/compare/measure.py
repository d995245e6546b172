"""Evaluation of finished fits and baselines, with worst cases and robustness."""

import hashlib
import json
from functools import cached_property
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from threadpoolctl import threadpool_limits

from training.baselines import BASELINES, Corpus, corpus_of
from training.compare.details import Retention
from training.compare.plan import Run
from training.compare.results import COMPARED
from training.compare.runs import CHECKPOINT, METRICS
from training.compare.summary import has, tasks_of
from training.compare.worst import WorstCases, worst_cases
from training.config import BaselineConfig
from training.data import Dataset, load_dataset
from training.errors import DataError
from training.evaluation.result import Evaluation
from training.evaluation.run import evaluate
from training.evaluation.setting import Split
from training.evaluation.subject import Representation
from training.inference.load import load_checkpoint, represent_checkpoint
from training.inference.robustness import Robustness, robustness
from training.models.checkpoint import Checkpoint, read_config, write_atomically

_SETTINGS = "settings.json"
_WORST = "worst.json"
_RETENTION = "robustness.json"
_RETENTIONS = TypeAdapter(list[Retention])


class _Loaded:
    """A data set with its last split, and the last corpus, for baselines of equal settings."""

    def __init__(self, folder: Path, split: Split) -> None:
        self.folder = folder
        self._split: Split = split
        self._dealt: dict[int, Dataset] = {}
        self._corpora: dict[tuple[int, int, BaselineConfig], Corpus] = {}

    @cached_property
    def own(self) -> Dataset:
        return load_dataset(self.folder)

    def dataset(self, split_number: int) -> Dataset:
        if split_number not in self._dealt:
            self._dealt = {split_number: self.own.dealt(split_number)}
        return self._dealt[split_number]

    def corpus(self, run: Run, config: BaselineConfig) -> Corpus:
        key = (run.split_number, run.seed, config)
        if key not in self._corpora:
            dataset = self.dataset(run.split_number)
            self._corpora = {key: corpus_of(dataset, self._split, run.seed, config)}
        return self._corpora[key]


class Measurer:
    """Evaluates runs; caches the last data set."""

    def __init__(self, split: Split, threads: int) -> None:
        self._split: Split = split
        self._threads = threads
        self._loaded: _Loaded | None = None

    def check(self, folder: Path, splits: int) -> None:
        """Load a data set, and check that it can be dealt to as many splits.

        Raises:
            DataError: it is invalid, or too small.
        """
        loaded, numbers = self._load(folder), dict[bytes, int]()
        for number in range(splits):
            dealt = loaded.dataset(number).split.tobytes()
            same = numbers.setdefault(hashlib.sha256(dealt).digest(), number)
            if same != number:
                raise DataError(
                    f"{folder} is too small for {splits} splits: numbers {same} and {number} would "
                    "be the same"
                )

    def __call__(self, run: Run) -> dict[str, float]:
        """Evaluate and save a run; returns the metric of each compared task.

        Raises:
            DataError: the run was planned or fitted with other content of the data set folder.
        """
        dataset = self._dataset(run)
        self._check_unchanged(run, dataset)
        with self._bounded():
            representation = self._representation(run)
            evaluation = evaluate(
                dataset,
                representation,
                split=self._split,
                subject=run.method.name,
                seed=run.seed,
            )
        if representation.settings:
            settings = json.dumps(dict(representation.settings), indent=2) + "\n"
            write_atomically(run.folder / _SETTINGS, settings.encode())
        evaluation.save(run.folder / METRICS)
        known = [task for task in COMPARED if has(evaluation, task)]
        return {task: evaluation.summary[task][COMPARED[task]] for task in tasks_of(known)}

    def worst(self, run: Run) -> WorstCases | None:
        """Worst cases of a finished run, cached in its folder."""
        file = run.folder / _WORST
        if file.exists():
            try:
                return WorstCases.model_validate_json(file.read_bytes())
            except ValidationError:
                file.unlink()  # written by another version
        evaluation = Evaluation.load(run.folder / METRICS)
        if "seen" not in evaluation.per_query:
            return None
        with self._bounded():
            found = worst_cases(
                self._dataset(run), self._representation(run), evaluation, self._split
            )
        if found is not None:
            write_atomically(file, found.model_dump_json(indent=2).encode())
        return found

    def retention(self, run: Run) -> list[Retention]:
        """Robustness of a trained run, cached in its folder.

        Raises:
            UsageError: the data set has no behavioural ground truth.
        """
        file = run.folder / _RETENTION
        if file.exists():
            try:
                return _RETENTIONS.validate_json(file.read_bytes())
            except ValidationError:
                file.unlink()  # written by another version
        with self._bounded():
            source = load_checkpoint(run.folder / CHECKPOINT)
            rows = robustness(self._dataset(run), source, self._split)
        parts: dict[tuple[str, str], list[Robustness]] = {}
        for row in rows:
            parts.setdefault((row.corruption, row.modality), []).append(row)
        found = [
            Retention(
                corruption=corruption,
                modality=modality,
                shares=[row.share for row in part],
                retention=[row.retention for row in part],
                overlap=[row.overlap for row in part],
            )
            for (corruption, modality), part in parts.items()
        ]
        write_atomically(file, _RETENTIONS.dump_json(found, indent=2))
        return found

    def _load(self, folder: Path) -> _Loaded:
        if self._loaded is None or self._loaded.folder != folder:
            self._loaded = _Loaded(folder, self._split)
        return self._loaded

    def _dataset(self, run: Run) -> Dataset:
        return self._load(run.data).dataset(run.split_number)

    def _check_unchanged(self, run: Run, dataset: Dataset) -> None:
        digests = [(run.identity["data_digest"], self._load(run.data).own.digest)]
        if run.method.recipe:
            fitted = read_config(run.folder / CHECKPOINT)
            digests.append((fitted["data_digest"], dataset.digest))
        if any(one != other for one, other in digests):
            raise DataError(f"{run.data} was changed during the comparison; start again")

    def _representation(self, run: Run) -> Representation:
        if run.method.recipe:
            folder = run.folder / CHECKPOINT
            checkpoint = Checkpoint.load(folder)
            return represent_checkpoint(folder, checkpoint, self._dataset(run), self._split)
        config = run.method.config()
        assert isinstance(config, BaselineConfig)
        return BASELINES[run.method.baseline].fit(self._load(run.data).corpus(run, config))

    def _bounded(self) -> threadpool_limits:
        torch.set_num_threads(self._threads)
        return threadpool_limits(self._threads, "blas")
