"""Results of a comparison: means, intervals, differences from references, and cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from training.compare.plan import Kind, Method, Run
from training.evaluation.result import Evaluation

COMPARED = {
    "seen": "NDCG@20",
    "unseen": "NDCG@20",
    "cold start": "NDCG@20",
    "audience": "NDCG@50",
    "labels": "NDCG@20",
}
"""Task -> metric of the comparison."""
PRIMARY = ("seen", "unseen", "cold start")
FALLBACKS = ("audience", "labels")
"""Tasks used if a data set has no ground truth for a primary task; the first available."""
REFERENCES = ("transfer-plus", "tf-idf")
LEVEL = 0.05


@dataclass(frozen=True)
class Cost:
    """Cost of a run; fit time and memory are None for baselines."""

    seconds: float
    fit_seconds: float | None = None
    peak_rss_mb: float | None = None


@dataclass(frozen=True)
class Finished:
    """A finished run with its evaluation and cost."""

    run: Run
    evaluation: Evaluation
    cost: Cost


@dataclass(frozen=True)
class Failure:
    """A failed run with the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class Estimate:
    """A mean over splits, seeds and queries with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Paired difference of a method and a reference.

    Attributes:
        difference: difference with its 95 % interval.
        p: p-value of no difference.
        p_holm: p-value corrected for all comparisons of the task on the data set.
    """

    difference: Estimate
    p: float
    p_holm: float

    @property
    def is_significant(self) -> bool:
        """Whether the corrected p-value is below 0.05."""
        return self.p_holm < LEVEL


@dataclass(frozen=True)
class Standing:
    """Result of one method at a task, over splits and its seeds.

    Attributes:
        name, kind: like in `Method`.
        value: metric of the task.
        seed_error: standard error over seeds; None for one seed.
        split_error: standard error over splits; None for one split.
        ratio: ratio to the best baseline; None without a baseline.
        against: reference -> comparison.
    """

    name: str
    kind: Kind
    value: Estimate
    seed_error: float | None
    split_error: float | None
    ratio: Estimate | None
    against: dict[str, Comparison]


@dataclass(frozen=True)
class TaskResult:
    """Comparison of the methods of a data set by one task.

    Attributes:
        task, metric: basis of the comparison.
        queries: number of queries, counted once where they ask in several splits.
        splits: number of splits.
        best_baseline: name of the best baseline, or None.
        references: methods that others are compared with, the main one first.
        standings: results, best first; methods without the task are missing.
    """

    task: str
    metric: str
    queries: int
    splits: int
    best_baseline: str | None
    references: tuple[str, ...]
    standings: tuple[Standing, ...]

    def standing(self, name: str) -> Standing | None:
        """Result of a method by name, if any."""
        return next((each for each in self.standings if each.name == name), None)


@dataclass(frozen=True)
class MethodResult:
    """All metrics of one method on one data set.

    Attributes:
        name, kind, recipe, settings: like in `Method`; `settings` are a variant's own.
        seeds: finished seeds.
        splits: finished splits.
        metrics: task -> metric -> mean over seeds, then over splits.
        cost: mean cost over both.
    """

    name: str
    kind: Kind
    recipe: str
    settings: tuple[str, ...]
    seeds: tuple[int, ...]
    splits: tuple[int, ...]
    metrics: dict[str, dict[str, float]]
    cost: Cost


@dataclass(frozen=True)
class DataResult:
    """Results of one data set.

    Attributes:
        name, digest: of the data set; the digest is that with the first finished split.
        references: references that finished.
        tasks: one comparison per task, at least one.
        methods: methods in the order of the comparisons.
    """

    name: str
    digest: str
    references: tuple[str, ...]
    tasks: tuple[TaskResult, ...]
    methods: tuple[MethodResult, ...]

    def method(self, name: str) -> MethodResult | None:
        """Result of a method by name, if it finished."""
        return next((method for method in self.methods if method.name == name), None)

    def by(self, task: str) -> TaskResult | None:
        """Comparison by a task, if any."""
        return next((each for each in self.tasks if each.task == task), None)

    @property
    def splits(self) -> int:
        """Number of splits that any method finished."""
        return len({split for method in self.methods for split in method.splits})

    @property
    def seeds(self) -> int:
        """Number of seeds that any method finished."""
        return len({seed for method in self.methods for seed in method.seeds})

    def lacking(self, result: TaskResult) -> list[str]:
        """Methods without a result in a comparison."""
        return [method.name for method in self.methods if result.standing(method.name) is None]


@dataclass(frozen=True)
class Results:
    """Results of a comparison.

    Attributes:
        made_at: UTC time, ISO 8601.
        code_version: version of this package.
        command: command that repeats the comparison.
        split: split of the queries.
        data: results per data set.
        failures: failed runs.
    """

    made_at: str
    code_version: str
    command: str
    split: str
    data: tuple[DataResult, ...]
    failures: tuple[Failure, ...] = field(default=())

    @property
    def tasks(self) -> list[str]:
        """Tasks of any data set, in the order of `COMPARED`."""
        return [task for task in COMPARED if any(data.by(task) for data in self.data)]


def references_of(methods: Sequence[Method], wanted: str | None) -> tuple[str, ...]:
    """References of the comparison: the main method, then TF-IDF, if present.

    Args:
        methods: all methods.
        wanted: name of the main method; None = transfer-plus, else the first recipe.
    """
    names = [method.name for method in methods]
    trained = [method.name for method in methods if method.kind != "baseline"]
    first = wanted or next((name for name in (REFERENCES[0], *trained) if name in names), None)
    return tuple(dict.fromkeys(name for name in (first, REFERENCES[1]) if name in names))
