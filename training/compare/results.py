"""What a comparison found: means, intervals, differences from the references, and what it took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.compare.plan import Kind, Method, Run
from training.errors import EvaluationError
from training.evaluation.result import Evaluation
from training.evaluation.statistics import (
    bootstrap_means,
    difference,
    holm,
    percentiles,
    standard_error,
)

PRIMARY = (("neighbours", "NDCG@20"), ("audience", "NDCG@50"), ("labels", "NDCG@20"))
"""Task and metric that methods are compared by: the first that a data set has the truth for."""
REFERENCES = ("transfer-plus", "tf-idf")
LEVEL = 0.05


@dataclass(frozen=True)
class Cost:
    """What a run took; None where it wasn't a process of its own."""

    seconds: float
    fit_seconds: float | None = None
    peak_rss_mb: float | None = None


@dataclass(frozen=True)
class Finished:
    """A run with what was measured."""

    run: Run
    evaluation: Evaluation
    cost: Cost


@dataclass(frozen=True)
class Failure:
    """A run that failed, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Estimate:
    """A mean over queries with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A method minus a reference, on the same queries.

    Attributes:
        difference: with its 95 % interval.
        p: of no difference.
        p_holm: the same, corrected for all comparisons on the data set.
    """

    difference: Estimate
    p: float
    p_holm: float

    @property
    def is_significant(self) -> bool:
        """Whether there is a difference, after the correction."""
        return self.p_holm < LEVEL


@dataclass(frozen=True)
class MethodResult:
    """One method on one data set, over its seeds.

    Attributes:
        name, kind, recipe, settings: as in `Method`; `settings` are a variant's own.
        seeds: those that finished.
        value: of the primary metric.
        seed_error: standard error of it over seeds; None for one seed.
        ratio: to the best baseline; None where there is none.
        against: reference -> comparison.
        metrics: task -> metric -> mean over seeds.
        cost: means over seeds.
    """

    name: str
    kind: Kind
    recipe: str
    settings: tuple[str, ...]
    seeds: tuple[int, ...]
    value: Estimate
    seed_error: float | None
    ratio: Estimate | None
    against: dict[str, Comparison]
    metrics: dict[str, dict[str, float]]
    cost: Cost


@dataclass(frozen=True)
class DataResult:
    """One data set.

    Attributes:
        name, digest: of the data set.
        task, metric: what methods are compared by.
        queries: how many there are.
        best_baseline: its name; None where there is none.
        references: what the others are compared with, the one in question first.
        methods: the best first.
    """

    name: str
    digest: str
    task: str
    metric: str
    queries: int
    best_baseline: str | None
    references: tuple[str, ...]
    methods: tuple[MethodResult, ...]

    def method(self, name: str) -> MethodResult | None:
        """The method of that name, if it finished here."""
        return next((method for method in self.methods if method.name == name), None)


@dataclass(frozen=True)
class Results:
    """All of a comparison.

    Attributes:
        made_at: UTC, ISO 8601.
        code_version: of this package.
        command: that repeats it.
        split: of the queries.
        data: per data set.
        failures: runs that failed.
    """

    made_at: str
    code_version: str
    command: str
    split: str
    data: tuple[DataResult, ...]
    failures: tuple[Failure, ...] = field(default=())


def references_of(methods: Sequence[Method], wanted: str | None) -> tuple[str, ...]:
    """What the others are compared with: the method in question, then TF-IDF, where they are there.

    Args:
        methods: all of them.
        wanted: name of the method in question; None = transfer-plus, else the first recipe.
    """
    names = [method.name for method in methods]
    trained = [method.name for method in methods if method.kind != "baseline"]
    first = wanted or next((name for name in (REFERENCES[0], *trained) if name in names), None)
    return tuple(dict.fromkeys(name for name in (first, REFERENCES[1]) if name in names))


def summarise(finished: Sequence[Finished], references: tuple[str, ...]) -> DataResult:
    """Compare the methods of one data set.

    Args:
        finished: its runs, at least one.
        references: see `references_of`.

    Raises:
        EvaluationError: nothing was measured per query, or not on the same queries.
    """
    by_method: dict[Method, list[Finished]] = {}
    for each in finished:
        by_method.setdefault(each.run.method, []).append(each)
    primary = primary_of([run.evaluation for run in finished])
    if primary is None:
        raise EvaluationError(
            f"{finished[0].evaluation.data}: nothing to compare by; it needs interactions, "
            "relations, ID-embeddings or labels that its held-out streamers share with the others"
        )
    task, metric = primary
    queries = finished[0].evaluation.per_query[task]["query"]
    values = {
        method: np.mean([_values(run, task, metric, queries) for run in runs], axis=0)
        for method, runs in by_method.items()
    }
    order = sorted(values, key=lambda method: -values[method].mean())
    drawn = bootstrap_means(np.stack([values[method] for method in order], 1))
    samples = _Samples(
        {method.name: float(values[method].mean()) for method in order},
        {method.name: drawn[:, place] for place, method in enumerate(order)},
    )
    best = next((method.name for method in order if method.kind == "baseline"), None)
    there = tuple(name for name in references if name in samples.means)
    against = samples.compare(there)
    return DataResult(
        name=finished[0].evaluation.data,
        digest=finished[0].evaluation.digest,
        task=task,
        metric=metric,
        queries=len(queries),
        best_baseline=best,
        references=there,
        methods=tuple(
            MethodResult(
                name=method.name,
                kind=method.kind,
                recipe=method.recipe,
                settings=method.own_settings,
                seeds=tuple(sorted(run.run.seed for run in by_method[method])),
                value=samples.estimate(method.name),
                seed_error=_seed_error(by_method[method], task, metric),
                ratio=samples.ratio(method.name, best),
                against=against[method.name],
                metrics=_mean_metrics([run.evaluation.summary for run in by_method[method]]),
                cost=_mean_cost([run.cost for run in by_method[method]]),
            )
            for method in order
        ),
    )


@dataclass(frozen=True)
class _Samples:
    """Means over queries by method, as seen and (draws,) as drawn."""

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
        """Method -> reference -> comparison; each pair is one test in the correction."""
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


def primary_of(evaluations: Sequence[Evaluation]) -> tuple[str, str] | None:
    """Task and metric that all of them have values per query of; None where there is none."""
    for task, metric in PRIMARY:
        if all(metric in each.per_query.get(task, {}) for each in evaluations):
            return task, metric
    return None


def _values(
    run: Finished, task: str, metric: str, queries: NDArray[np.int64]
) -> NDArray[np.float64]:
    found = run.evaluation.per_query[task]
    if not np.array_equal(found["query"], queries):
        raise EvaluationError(f"{run.run.name}: measured on other queries; use --overwrite")
    return found[metric]


def _seed_error(runs: Sequence[Finished], task: str, metric: str) -> float | None:
    if len(runs) < 2:
        return None
    return standard_error([run.evaluation.per_query[task][metric].mean() for run in runs])


def _mean_metrics(summaries: Sequence[Mapping[str, Mapping[str, float]]]):
    """Task -> metric -> mean over those runs that have it."""
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
