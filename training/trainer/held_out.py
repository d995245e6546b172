"""Metrics of a finished fit on the test split, for the checkpoint and the model card."""

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import normalize

from training.cold_start.vote import Ballot, Vote
from training.config import ContrastConfig
from training.evaluation.metrics import hubness, ndcg, recall
from training.evaluation.setting import Setting
from training.evaluation.subject import Representation
from training.evaluation.tasks import ColdStartTask
from training.features.bags import tf_idf
from training.preparation.stage import MOST_ASKED, MOST_SEARCHED, Stage, embeddings, sample
from training.teachers.id_embeddings import audience_of


def held_out_metrics(stage: Stage, vote: Vote, edges: sp.csr_matrix | None) -> dict[str, float]:
    """Metrics of the tasks by audience, and NDCG@20 of TF-IDF; empty without audiences.

    The test split searches the streamers that the stage has learned from.

    In large data sets, a random part of the test split searches a random part of the gallery.

    Args:
        stage: with a trained encoder.
        vote: parameters of the cold-start vote.
        edges: weighted behaviour graph; None without a teacher.
    """
    known = stage.known
    if audience_of(stage.dataset, known) is None:
        return {}
    asking = sample(stage.dataset.rows("test"), MOST_ASKED, stage.seed)
    gallery = sample(known, MOST_SEARCHED, stage.seed)
    setting = Setting(stage.dataset, asking, gallery, known=known)
    tasks = {"seen": setting.seen, "unseen": setting.unseen}
    found = {name: task for name, task in tasks.items() if task is not None}
    metrics = {f"test_{name}_queries": float(len(task.queries)) for name, task in found.items()}
    for name, task in found.items():  # before the vectors are computed, to free the matrices
        metrics[f"test_{name}_TF-IDF_NDCG@20"] = _lexical_ndcg(stage, task)
    # As they are served: training keeps what the kernel layer predicts in half precision.
    vectors = embeddings(replace(stage, bags=replace(stage.bags, behaviour=None)))
    widths = stage.config.widths if isinstance(stage.config, ContrastConfig) else ()
    shorter = {width: np.asarray(normalize(vectors[:, :width]), np.float32) for width in widths}
    for name, task in found.items():
        ranking = task.ranking(vectors)
        metrics[f"test_{name}_NDCG@20"] = float(ndcg(ranking, task.relevant).mean())
        metrics[f"test_{name}_recall@20"] = float(recall(ranking, task.relevant).mean())
        metrics[f"test_{name}_hubness"] = hubness(ranking, len(task.gallery))
        for width, first in shorter.items():
            metrics[f"test_{name}_NDCG@20_d{width}"] = float(task.ndcg(first).mean())
    if stage.teacher is not None and edges is not None and setting.seen is not None:
        content = Representation.symmetric(vectors)
        ballot = Ballot.of(content, stage.teacher.rows, edges, setting.seen.queries)
        voted = setting.seen.ndcg(*ballot.matrices(vote))
        metrics["test_cold_start_NDCG@20"] = float(voted.mean())
    return metrics


def _lexical_ndcg(stage: Stage, task: ColdStartTask) -> float:
    """NDCG@20 of TF-IDF, computed for queries and gallery only."""
    rows = np.union1d(task.queries, task.gallery)
    asking, searched = (np.searchsorted(rows, part) for part in (task.queries, task.gallery))
    among = ColdStartTask(asking, searched, task.relevant)
    return float(among.ndcg(tf_idf(stage.bags.take(rows), stage.vocabulary)).mean())
