"""What a comparison found: means, intervals, differences from the references, and what it took."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from training.compare.plan import Kind, Method, Run
from training.evaluation.result import Evaluation

COMPARED = {
    "neighbours": "NDCG@20",
    "cold start": "NDCG@20",
    "audience": "NDCG@50",
    "labels": "NDCG@20",
}
"""Task -> the metric that methods are compared by."""
PRIMARY = ("neighbours", "cold start")
FALLBACKS = ("audience", "labels")
"""The first of these is compared by where a data set has the truth for no primary task."""
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
        p_holm: the same, corrected for all comparisons by this task on the data set.
    """

    difference: Estimate
    p: float
    p_holm: float

    @property
    def is_significant(self) -> bool:
        """Whether there is a difference, after the correction."""
        return self.p_holm < LEVEL


@dataclass(frozen=True)
class Standing:
    """How one method does at a task, over its seeds.

    Attributes:
        name, kind: as in `Method`.
        value: of the task's metric.
        seed_error: standard error of it over seeds; None for one seed.
        ratio: to the best baseline; None where there is none.
        against: reference -> comparison.
    """

    name: str
    kind: Kind
    value: Estimate
    seed_error: float | None
    ratio: Estimate | None
    against: dict[str, Comparison]


@dataclass(frozen=True)
class TaskResult:
    """The methods of a data set compared by one task.

    Attributes:
        task, metric: what they are compared by.
        queries: how many there are.
        best_baseline: its name; None where there is none.
        references: what the others are compared with, the one in question first.
        standings: the best first; a method that lacks the task has none.
    """

    task: str
    metric: str
    queries: int
    best_baseline: str | None
    references: tuple[str, ...]
    standings: tuple[Standing, ...]

    def standing(self, name: str) -> Standing | None:
        """That of the method of this name, if it has one."""
        return next((each for each in self.standings if each.name == name), None)


@dataclass(frozen=True)
class MethodResult:
    """All that was measured of one method on one data set.

    Attributes:
        name, kind, recipe, settings: as in `Method`; `settings` are a variant's own.
        seeds: those that finished.
        metrics: task -> metric -> mean over seeds.
        cost: means over seeds.
    """

    name: str
    kind: Kind
    recipe: str
    settings: tuple[str, ...]
    seeds: tuple[int, ...]
    metrics: dict[str, dict[str, float]]
    cost: Cost


@dataclass(frozen=True)
class DataResult:
    """One data set.

    Attributes:
        name, digest: of the data set.
        references: what finished of those that the others are compared with.
        tasks: one comparison for each, at least one.
        methods: in the order of the first comparison, then of the next.
    """

    name: str
    digest: str
    references: tuple[str, ...]
    tasks: tuple[TaskResult, ...]
    methods: tuple[MethodResult, ...]

    def method(self, name: str) -> MethodResult | None:
        """The method of that name, if it finished here."""
        return next((method for method in self.methods if method.name == name), None)

    def by(self, task: str) -> TaskResult | None:
        """The comparison by that task, if there is one."""
        return next((each for each in self.tasks if each.task == task), None)

    def lacking(self, result: TaskResult) -> list[str]:
        """The methods that have no standing in one of the comparisons."""
        return [method.name for method in self.methods if result.standing(method.name) is None]


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

    @property
    def tasks(self) -> list[str]:
        """All tasks that any data set is compared by, in the order of `COMPARED`."""
        return [task for task in COMPARED if any(data.by(task) for data in self.data)]


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
