"""Statistical comparison of methods from their evaluations."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.compare.plan import Method
from training.compare.results import (
    COMPARED,
    FALLBACKS,
    PRIMARY,
    Comparison,
    Cost,
    DataResult,
    Estimate,
    Finished,
    MethodResult,
    Standing,
    TaskResult,
)
from training.errors import EvaluationError
from training.evaluation.result import Evaluation
from training.evaluation.statistics import (
    bootstrap_means,
    difference,
    holm,
    percentiles,
    redrawn_seeds,
    redrawn_splits,
    standard_error,
)

_Runs = Mapping[Method, Sequence[Sequence[Finished]]]
"""Method -> runs by split, then seed; the same splits for all methods."""
_SEED, _SPLIT_SEED = 1, 2
"""Of the draws of seeds and of splits; others than that of the queries."""


def summarise(finished: Sequence[Finished], references: tuple[str, ...]) -> DataResult:
    """Compare the methods of one data set by each task with ground truth.

    Args:
        finished: finished runs, at least one.
        references: see `references_of`.

    Raises:
        EvaluationError: there is no task, no method finished on every split, or runs have different
            queries.
    """
    by_method: dict[Method, list[Finished]] = {}
    for each in finished:
        by_method.setdefault(each.run.method, []).append(each)
    first = finished[0].evaluation
    able = {task: _able(by_method, task) for task in COMPARED}
    names = tasks_of({task for task, methods in able.items() if methods})
    if not names and any(has(each.evaluation, task) for each in finished for task in COMPARED):
        raise EvaluationError(f"{first.data}: no method finished on every split with any seed")
    if not names:
        raise EvaluationError(
            f"{first.data}: no ground truth to compare by; it needs interactions, relations, "
            "ID-embeddings or labels that held-out streamers share with the others"
        )
    tasks = tuple(_compare(able[name], name, references) for name in names)
    order = list(dict.fromkeys(each.name for task in tasks for each in task.standings))
    rank = {name: place for place, name in enumerate(order)}
    methods = sorted(by_method, key=lambda method: rank.get(method.name, len(order)))
    there = {method.name for method in methods}
    return DataResult(
        name=first.data,
        digest=first.digest,
        references=tuple(name for name in references if name in there),
        tasks=tasks,
        methods=tuple(_method(method, by_method[method]) for method in methods),
    )


def tasks_of(known: Collection[str]) -> list[str]:
    """Tasks to compare by: all primary ones, else the first fallback."""
    primary = [task for task in PRIMARY if task in known]
    return primary or [task for task in FALLBACKS if task in known][:1]


def has(evaluation: Evaluation, task: str) -> bool:
    """Whether an evaluation has per-query values of a task."""
    return COMPARED[task] in evaluation.per_query.get(task, {})


def _able(by_method: Mapping[Method, Sequence[Finished]], task: str) -> _Runs:
    """Methods that have a task on every split that has it, with the seeds that finished on all."""
    found: dict[Method, list[list[Finished]]] = {}
    splits = sorted(
        {
            each.run.split_number
            for runs in by_method.values()
            for each in runs
            if has(each.evaluation, task)
        }
    )
    for method, runs in by_method.items():
        there = {(each.run.split_number, each.run.seed): each for each in runs}
        seeds = [
            seed
            for seed in sorted({seed for _, seed in there})
            if all((split, seed) in there for split in splits)
        ]
        table = [[there[split, seed] for seed in seeds] for split in splits]
        known = [has(each.evaluation, task) for row in table for each in row]
        if known and all(known):
            found[method] = table
    return found


def _method(method: Method, runs: Sequence[Finished]) -> MethodResult:
    by_split: dict[int, list[Finished]] = {}
    for each in runs:
        by_split.setdefault(each.run.split_number, []).append(each)
    return MethodResult(
        name=method.name,
        kind=method.kind,
        recipe=method.recipe,
        settings=method.own_settings,
        seeds=tuple(sorted({each.run.seed for each in runs})),
        splits=tuple(sorted(by_split)),
        metrics=_mean_metrics(
            [_mean_metrics([e.evaluation.summary for e in part]) for part in by_split.values()]
        ),
        cost=_mean_cost([run.cost for run in runs]),
    )


def _compare(by_method: _Runs, task: str, references: tuple[str, ...]) -> TaskResult:
    """Comparison by one task, of methods that have it."""
    asked = [  # (Q,) of each split
        runs[0].evaluation.per_query[task]["query"] for runs in next(iter(by_method.values()))
    ]
    values = {method: _values(runs, task, asked) for method, runs in by_method.items()}
    means = {method: np.nanmean(found, 0) for method, found in values.items()}  # (splits, seeds)
    order = sorted(values, key=lambda method: -means[method].mean())
    together = np.concatenate([values[method] for method in order], 2)  # (Q, splits, seeds)
    queries, splits, columns = together.shape
    drawn = bootstrap_means(together.reshape(queries, -1)).reshape(-1, splits, columns)
    drawn = redrawn_splits(drawn, np.random.default_rng(_SPLIT_SEED))
    ends = np.cumsum([values[method].shape[2] for method in order])
    of_seeds = np.split(drawn, ends[:-1], axis=1)  # (draws, seeds) of each method
    rng = np.random.default_rng(_SEED)
    samples = _Samples(
        {method.name: float(means[method].mean()) for method in order},
        {
            method.name: redrawn_seeds(found, rng)
            for method, found in zip(order, of_seeds, strict=True)
        },
    )
    best = next((method.name for method in order if method.kind == "baseline"), None)
    there = tuple(name for name in references if name in samples.means)
    against = samples.compare(there)
    return TaskResult(
        task=task,
        metric=COMPARED[task],
        queries=queries,
        splits=splits,
        best_baseline=best,
        references=there,
        standings=tuple(
            Standing(
                name=method.name,
                kind=method.kind,
                value=samples.estimate(method.name),
                seed_error=_error(means[method].mean(0)),
                split_error=_error(means[method].mean(1)),
                ratio=samples.ratio(method.name, best),
                against=against[method.name],
            )
            for method in order
        ),
    )


@dataclass(frozen=True)
class _Samples:
    """Means over splits, seeds and queries by method: observed, and bootstrap draws (draws,)."""

    means: dict[str, float]
    drawn: dict[str, NDArray[np.float64]]

    def estimate(self, name: str) -> Estimate:
        return Estimate(self.means[name], *percentiles(self.drawn[name]))

    def ratio(self, name: str, base: str | None) -> Estimate | None:
        if base is None or not self.means[base] > 0:
            return None
        below = self.drawn[base]
        drawn = self.drawn[name][below > 0] / below[below > 0]
        return Estimate(self.means[name] / self.means[base], *percentiles(drawn))

    def compare(self, references: Sequence[str]) -> dict[str, dict[str, Comparison]]:
        """Method -> reference -> comparison; each pair counts as one test in the correction."""
        ordered = [(a, b) for a in self.means for b in references if a != b]
        pairs = list(dict.fromkeys((min(pair), max(pair)) for pair in ordered))
        tests = {
            (a, b): difference(self.means[a] - self.means[b], self.drawn[a] - self.drawn[b])
            for a, b in pairs
        }
        corrected = dict(zip(pairs, holm([tests[pair].p for pair in pairs]), strict=True))
        found: dict[str, dict[str, Comparison]] = {name: {} for name in self.means}
        for name, reference in ordered:
            first, second = min(name, reference), max(name, reference)
            test, p_holm = tests[first, second], float(corrected[first, second])
            seen = Estimate(test.mean, test.low, test.high)
            if name != first:
                seen = Estimate(-test.mean, -test.high, -test.low)
            found[name][reference] = Comparison(seen, test.p, p_holm)
        return found


def _values(
    runs: Sequence[Sequence[Finished]], task: str, asked: Sequence[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Values of one method (Q, splits, seeds), NaN where a query does not ask in a split.

    Args:
        runs: by split, then seed.
        task: compared task.
        asked: rows of the queries of each split, together Q different ones.
    """
    rows = np.unique(np.concatenate(asked))
    values = np.full((len(rows), len(runs), len(runs[0])), np.nan)
    for split, (of_split, queries) in enumerate(zip(runs, asked, strict=True)):
        for place, run in enumerate(of_split):
            found = run.evaluation.per_query[task]
            if not np.array_equal(found["query"], queries):
                raise EvaluationError(
                    f"{run.run.name}: evaluated on other queries; use --overwrite"
                )
            values[np.searchsorted(rows, queries), split, place] = found[COMPARED[task]]
    return values


def _error(means: NDArray[np.float64]) -> float | None:
    """Standard error over seeds or splits; None for a single one."""
    return None if len(means) < 2 else standard_error(means)


def _mean_metrics(
    summaries: Sequence[Mapping[str, Mapping[str, float]]],
) -> dict[str, dict[str, float]]:
    """Task -> metric -> mean over runs that have it."""
    found: dict[str, dict[str, list[float]]] = {}
    for summary in summaries:
        for task, metrics in summary.items():
            for name, value in metrics.items():
                found.setdefault(task, {}).setdefault(name, []).append(value)
    return {
        task: {name: float(np.mean(values)) for name, values in metrics.items()}
        for task, metrics in found.items()
    }


def _mean_cost(costs: Sequence[Cost]) -> Cost:
    def mean(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    return Cost(
        mean([cost.seconds for cost in costs]) or 0.0,
        mean([cost.fit_seconds for cost in costs]),
        mean([cost.peak_rss_mb for cost in costs]),
    )
