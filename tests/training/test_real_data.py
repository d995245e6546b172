"""One short fit on real streamers; `python -m tests.benchmarks.quality` measures with intervals."""

import os
from pathlib import Path

import pytest

from training.config import TransferPlusConfig
from training.data import load_dataset
from training.fit import Request, fit

DATA = Path(os.environ.get("STREAMER_DATA") or Path(__file__).parents[3] / "shared" / "data")


@pytest.mark.real_data
@pytest.mark.skipif(
    not (DATA / "lastfm").is_dir(), reason=f"there is no data set {DATA / 'lastfm'}"
)
def test_a_short_fit_is_far_above_tf_idf_on_real_data(tmp_path: Path):
    config = TransferPlusConfig(steps=100, evaluate_every=50)
    metrics = fit(
        Request("transfer-plus", config, 0, 2, tmp_path / "c"), load_dataset(DATA / "lastfm")
    ).metrics
    assert metrics["test_NDCG@20"] >= 0.245
    assert metrics["test_NDCG@20"] > 1.2 * metrics["test_TF-IDF_NDCG@20"]
    assert metrics["test_hubness"] < 5
