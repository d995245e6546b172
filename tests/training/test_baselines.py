import numpy as np
import scipy.sparse as sp

from model_export.contract.pieces import pieces_of
from training.bags import corpus_bags
from training.baselines import baselines
from training.data import Dataset
from training.evaluation.metrics import ndcg
from training.evaluation.tasks import cold_start_task
from training.teacher import audience_of
from training.vocabulary import build_vocabulary


def measured(world: Dataset) -> dict[str, np.ndarray | sp.csr_matrix]:
    known = world.rows("train", "val")
    pieces = [pieces_of(profile) for profile in world.profiles]
    vocabulary = build_vocabulary([pieces[row] for row in known])
    audience = audience_of(world, known)
    assert audience is not None
    return dict(baselines(corpus_bags(pieces, vocabulary)[0], vocabulary, audience, known, 0))


def test_behaviour_beats_words_and_words_beat_chance(world: Dataset):
    known = world.rows("train", "val")
    audience = audience_of(world, known)
    assert audience is not None
    task = cold_start_task(audience, world.rows("test"), known)
    value = {
        name: float(ndcg(task.ranking(vectors), task.relevant).mean())
        for name, vectors in measured(world).items()
    }
    assert list(value) == ["random", "TF-IDF", "SVD", "ridge"]
    assert value["random"] < value["TF-IDF"]
    assert value["random"] < value["SVD"]
    assert value["TF-IDF"] < value["ridge"]


def test_rows_have_length_one_or_nothing(world: Dataset):
    for vectors in measured(world).values():
        dense = vectors.toarray() if isinstance(vectors, sp.csr_matrix) else vectors
        norm = np.linalg.norm(dense, axis=1)
        assert np.all((np.abs(norm - 1) < 1e-4) | (norm < 1e-6))
