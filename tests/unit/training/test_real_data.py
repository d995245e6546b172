"""One short fit on real streamers; `python -m training compare` measures with intervals."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.baselines import corpus_of
from training.baselines.kernel import kernel
from training.config import BaselineConfig, TransferPlusConfig
from training.data import Dataset, load_dataset
from training.evaluation.run import evaluate
from training.inference.load import load_checkpoint
from training.inference.representation import represent
from training.teachers.id_embeddings import audience_of
from training.trainer.fit import Request, fit

DATA = Path(os.environ.get("STREAMER_DATA") or Path(__file__).parents[4] / "shared" / "data")
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(
        not (DATA / "lastfm").is_dir(), reason=f"there is no data set {DATA / 'lastfm'}"
    ),
]


@pytest.fixture(scope="module")
def lastfm() -> Dataset:
    return load_dataset(DATA / "lastfm")


def short_fit(dataset: Dataset, folder: Path, **changes: Any) -> Path:
    tower = "use-multilingual?modalities=name,bio,videos,lives"
    config = replace(TransferPlusConfig(evaluate_every=30, text_tower=tower), **changes)
    fit(Request("transfer-plus", config, 0, 1, folder, tower_cache=folder.parent), dataset)
    return folder


@pytest.fixture(scope="module")
def fitted(lastfm: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lastfm") / "c"
    return short_fit(lastfm, folder, steps=60, kernel_landmarks=1000)


def test_a_short_fit_is_far_above_tf_idf_on_real_data(fitted: Path):
    metrics = load_checkpoint(fitted).metrics
    assert metrics["test_seen_NDCG@20"] >= 0.245
    assert metrics["test_seen_NDCG@20"] > 1.2 * metrics["test_seen_TF-IDF_NDCG@20"]


def test_kernel_ridge_is_what_an_independent_scorer_measures(lastfm: Dataset):
    """Another implementation has 0.347 and 0.331 with these settings and other words."""
    corpus = corpus_of(lastfm, "test", 0, BaselineConfig(text_tower=""))
    summary = evaluate(lastfm, kernel(corpus, width=2.0, penalty=0.3, rank=256)).summary
    assert summary["seen"]["NDCG@20"] == pytest.approx(0.347, abs=0.01)
    assert summary["unseen"]["NDCG@20"] == pytest.approx(0.331, abs=0.01)


def on_test(dataset: Dataset, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of test streamers (Q,) with train + val (G,), as served, and which are right."""
    vectors = represent(load_checkpoint(folder), dataset, tower_cache=folder.parent).query
    assert isinstance(vectors, np.ndarray)
    usable = vectors.any(1)
    learned = dataset.rows("train", "val")
    audience = audience_of(dataset, learned)
    assert audience is not None
    judged = usable & (np.diff(audience.indptr) >= 2)
    query, gallery = (rows[judged[rows]] for rows in (dataset.rows("test"), learned))
    right = (audience[query] @ audience[gallery].T).toarray() >= 2
    return vectors[query] @ vectors[gallery].T, right


def test_what_is_promised_holds_for_streamers_that_nobody_has_seen(lastfm: Dataset, fitted: Path):
    """Test streamers search train + val; of those from a threshold on, the share is right."""
    calibration = load_checkpoint(fitted).calibration
    assert calibration is not None
    curve = calibration.embedding.curves[0]
    assert curve.strictest.at_least > 0.5
    score, right = on_test(lastfm, fitted)
    for wanted in (0.3, 0.4, 0.5, curve.strictest.at_least):
        knot = curve.threshold(wanted)
        assert knot is not None
        reached = score >= knot.score  # (Q, G)
        found, hits = reached.sum(1), (reached & right).sum(1)
        share = hits.sum() / found.sum()
        error = np.sqrt(((hits - share * found) ** 2).sum()) / found.sum()
        assert share >= wanted - 2 * error, f"{share:.3f} +- {error:.3f} of promised {wanted}"
        assert share <= wanted + 0.2  # and it is not kept by answering with next to nobody
