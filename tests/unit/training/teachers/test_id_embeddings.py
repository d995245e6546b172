from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from training.config import TransferPlusConfig
from training.data import Dataset, IdEmbeddings
from training.errors import UsageError
from training.teachers import id_embeddings
from training.teachers.id_embeddings import (
    Teacher,
    audience_directions,
    audience_of,
    find_teacher,
    swapped,
)

CONFIG = TransferPlusConfig(teacher_dim=8)


def with_relations(world: Dataset, pairs: list[tuple[int, int]]) -> Dataset:
    n = len(world.ids)
    matrix = sp.lil_matrix((n, n), dtype=np.float32)
    for a, b in pairs:
        matrix[a, b] = matrix[b, a] = 3
    return replace(world, relations=sp.csr_matrix(matrix.tocsr()), interactions=None)


def given(world: Dataset, rows: np.ndarray) -> Dataset:
    vectors = np.random.default_rng(0).standard_normal((len(rows), 6)).astype(np.float32)
    return replace(world, id_embeddings=IdEmbeddings([world.ids[r] for r in rows], vectors))


def test_those_who_share_an_audience_are_near(world: Dataset):
    known = world.rows("train")
    teacher = find_teacher(world, known, CONFIG, seed=0, threads=1)
    audience = teacher.audience
    assert audience is not None
    shared = (audience @ audience.T).toarray()
    cosine = teacher.directions @ teacher.directions.T
    off = ~np.eye(len(shared), dtype=bool)
    assert cosine[off & (shared >= 8)].mean() > cosine[off & (shared == 0)].mean() + 0.3


def test_only_known_streamers_with_an_audience_are_in_it(world: Dataset):
    known = world.rows("train")
    assert world.interactions is not None
    watched = np.diff(world.interactions.matrix.indptr) > 0
    teacher = find_teacher(world, known, CONFIG, seed=0, threads=1)
    assert teacher.rows.tolist() == [row for row in known if watched[row]]
    assert teacher.vectors.shape == (len(teacher.rows), 8)


def test_the_same_seed_gives_the_same(world: Dataset):
    known = world.rows("train")
    one, same, other = (
        find_teacher(world, known, CONFIG, seed, threads=1).vectors for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_relation_is_an_audience_both_ways(world: Dataset):
    a, b, c = world.rows("train")[:3]
    related = with_relations(world, [(a, b), (b, c)])
    audience = audience_of(related, related.rows("train"))
    assert audience is not None
    place = {row: i for i, row in enumerate(related.rows("train"))}
    assert audience[a].indices.tolist() == [place[b]]
    assert sorted(audience[b].indices) == sorted([place[a], place[c]])
    assert set(audience.data) == {1.0}


def test_a_cold_streamer_is_nobody_s_audience(world: Dataset):
    a, b = world.rows("train")[:2]
    cold = int(world.rows("test")[0])
    related = with_relations(world, [(a, b), (a, cold), (b, cold)])
    audience = audience_of(related, related.rows("train"))
    assert audience is not None
    assert audience.shape == (len(world.ids), len(world.rows("train")))
    assert audience[a].nnz == audience[b].nnz == 1
    assert audience[cold].nnz == 2  # the evaluation may know whom it is related to


def test_given_id_embeddings_are_taken_as_they_are(world: Dataset):
    known = world.rows("train")
    handed = given(world, np.concatenate([known[::2], world.rows("test")]))
    teacher = find_teacher(handed, known, CONFIG, seed=0, threads=1)
    assert teacher.space == "id_embeddings"
    assert teacher.rows.tolist() == known[::2].tolist()
    assert handed.id_embeddings is not None
    np.testing.assert_array_equal(teacher.vectors, handed.id_embeddings.vectors[: len(known[::2])])


def test_id_embeddings_of_cold_streamers_only_teach_nothing(world: Dataset):
    with pytest.raises(UsageError, match="fewer than two training streamers"):
        find_teacher(given(world, world.rows("test")), world.rows("train"), CONFIG, 0, 1)


def test_no_behaviour_at_all_says_what_to_do(world: Dataset):
    alone = replace(world, interactions=None, relations=None)
    with pytest.raises(UsageError, match="masked-views"):
        find_teacher(alone, world.rows("train"), CONFIG, seed=0, threads=1)


@pytest.mark.parametrize("audience", [0, 1])
def test_an_audience_of_too_few_says_what_to_do(world: Dataset, audience: int):
    """Of no training streamer, as a file without a line gives, or of one."""
    assert world.interactions is not None
    known, matrix = world.rows("train"), world.interactions.matrix.tolil(copy=True)
    matrix[known[audience:]] = 0
    few = replace(world.interactions, matrix=sp.csr_matrix(matrix.tocsr()))
    with pytest.raises(UsageError, match=r"fewer than two .* masked-views"):
        find_teacher(replace(world, interactions=few), known, CONFIG, seed=0, threads=1)


def numbered(n: int, audience: bool = True) -> Teacher:
    """Streamer i has the vector (i, i) and user i alone."""
    vectors = np.repeat(np.arange(n, dtype=np.float32)[:, None], 2, axis=1)
    watched = sp.csr_matrix(np.eye(n, dtype=np.float32)) if audience else None
    return Teacher("numbers", np.arange(n), vectors, watched)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_noise_swaps_exactly_the_share_and_nobody_drawn_keeps_its_own(share: float):
    clean = numbered(40)
    noisy = swapped(clean, share, np.random.default_rng(3))
    owner = noisy.vectors[:, 0].astype(int)
    assert (owner != np.arange(40)).sum() == round(share * 40)
    assert sorted(owner) == list(range(40))
    assert noisy.audience is not None
    assert noisy.audience.indices.tolist() == owner.tolist()  # its audience goes with it
    assert noisy.rows is clean.rows


def test_noise_leaves_the_clean_teacher_as_it_is():
    clean = numbered(10, audience=False)
    noisy = swapped(clean, 1.0, np.random.default_rng(0))
    assert noisy.audience is None
    assert clean.vectors[:, 0].tolist() == list(range(10))
    assert noisy.vectors.dtype == np.float32


def test_one_streamer_alone_has_nobody_to_swap_with():
    noisy = swapped(numbered(10), 0.1, np.random.default_rng(0))
    assert noisy.vectors[:, 0].tolist() == list(range(10))


def test_noise_comes_from_the_seed_and_leaves_the_rows(world: Dataset):
    known = world.rows("train")
    clean = find_teacher(world, known, CONFIG, seed=0, threads=1)
    half = replace(CONFIG, teacher_noise=0.5)
    noisy, same = (find_teacher(world, known, half, seed=0, threads=1) for _ in range(2))
    np.testing.assert_array_equal(noisy.vectors, same.vectors)
    np.testing.assert_array_equal(noisy.rows, clean.rows)
    moved = (noisy.vectors != clean.vectors).any(1)
    assert moved.sum() == round(0.5 * len(clean.rows))


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_of_noise_that_is_none_is_refused(share: float):
    with pytest.raises(UsageError, match=r"--set teacher_noise=.*: must be in \[0, 1\]"):
        replace(CONFIG, teacher_noise=share)


def test_directions_of_an_audience_of_very_many_users_are_the_same(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    taste = rng.random((5, 400)) ** 6  # five leading directions, the rest is noise
    shown = rng.random((120, 400)) < taste[rng.integers(0, 5, 120)]
    audience = sp.csr_matrix(shown.astype(np.float32))
    one = audience_directions(audience, 0, 5)
    monkeypatch.setattr(id_embeddings, "_MOST_NUMBERS", 100)
    other = audience_directions(audience, 0, 5)
    assert one.shape == other.shape == (120, 5)
    np.testing.assert_allclose(other @ other.T, one @ one.T, atol=0.02)
