from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from model_export.contract.features import FeatureBatch, Featurizer, collate
from model_export.contract.pieces import MODALITIES, Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.contract.vocabulary import Space
from tests.unit.training.profiles import cover, pieces, vocabulary
from training.config import RecipeConfig
from training.features.bags import Bags, corpus_bags, tf_idf
from training.models.encoder import StreamerEncoder, safe_normalise
from training.models.kernel_layer import KernelShape, branch_axes
from training.preparation.stage import start_of_table

CONFIG = RecipeConfig(dim=16, table_dim=24, hidden_dim=32, content_dim=4096)
WORDS = vocabulary()


@pytest.fixture(scope="module")
def encoder() -> StreamerEncoder:
    torch.manual_seed(0)
    made = StreamerEncoder(WORDS, CONFIG, id_dim=5)
    bags, _ = corpus_bags(pieces(), WORDS)
    made.start_from(start_of_table(bags, WORDS, 24, 0), [bags.pooled[0].mean(0)])
    return made.eval()


def batch_of(profiles: Sequence[Sequence[Piece]]) -> FeatureBatch:
    return collate([Featurizer(WORDS).from_pieces(each) for each in profiles])


@torch.no_grad()
def run(encoder: StreamerEncoder, batch: FeatureBatch) -> list[np.ndarray]:
    return [out.numpy() for out in encoder(*(torch.from_numpy(a) for a in batch.values()))]


def profile(**content) -> list[Piece]:
    return pieces_of(StreamerProfile.model_validate({"streamer_id": "x", **content}))


def test_flat_bags_and_padded_batches_give_the_same_numbers(encoder: StreamerEncoder):
    everyone = [*pieces(), [], profile(language="en"), profile(bio="never seen zzz")]
    bags, _ = corpus_bags(everyone, WORDS)
    with torch.no_grad():
        flat = encoder.embed(bags).numpy()
    np.testing.assert_allclose(run(encoder, batch_of(everyone))[0], flat, atol=1e-6)


@pytest.fixture(scope="module")
def two_branches() -> StreamerEncoder:
    """An encoder with a kernel branch."""
    torch.manual_seed(0)
    made = StreamerEncoder(WORDS, CONFIG, id_dim=5, kernel=KernelShape(7, 6, 30))
    bags, _ = corpus_bags(pieces(), WORDS)
    made.start_from(start_of_table(bags, WORDS, 30, 0), [bags.pooled[0].mean(0)])
    assert made.kernel is not None
    layer = made.kernel.layer
    with torch.no_grad():
        layer.landmarks.copy_(torch.randn(layer.landmarks.shape) / 5)
        layer.dual.normal_()
        made.kernel.projection.normal_()
    return made.eval()


@pytest.mark.slow
def test_flat_bags_and_padded_batches_agree_with_a_kernel_branch(two_branches: StreamerEncoder):
    made = two_branches
    everyone = [*pieces(), [], profile(language="en"), profile(bio="never seen zzz")]
    bags, _ = corpus_bags(everyone, WORDS)
    with torch.no_grad():
        flat, behaviour = made.embed(bags), made.behaviour(bags)
        given = made.embed(replace(bags, behaviour=behaviour.numpy()))
    batch = batch_of(everyone)
    outputs = run(made, batch)
    np.testing.assert_allclose(outputs[0], flat.numpy(), atol=1e-5)
    with torch.no_grad():
        sketch = made.sketch(*(torch.from_numpy(array) for array in batch.values()))
    np.testing.assert_array_equal(sketch.numpy(), outputs[1])
    torch.testing.assert_close(given, flat)


def test_half_precision_keeps_the_content_of_the_kernel_branch(two_branches: StreamerEncoder):
    bags, _ = corpus_bags(pieces(), WORDS)
    start = start_of_table(bags, WORDS, 30, 0)
    assert two_branches.kernel is not None
    layer = two_branches.kernel.layer
    assert layer.table.dtype == torch.float16
    sums = torch.zeros(len(bags), layer.table.shape[1])
    sums[:, : start.shape[1]] = torch.from_numpy(np.asarray(tf_idf(bags, WORDS) @ start))
    centred = two_branches.kernel_content(bags)[:, layer.table.shape[1] + CONFIG.table_dim :]
    exact = layer.content(sums, [safe_normalise(centred)])
    cosines = (safe_normalise(two_branches.kernel_content(bags)) * safe_normalise(exact)).sum(1)
    assert cosines.min() > 0.99999


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_cosines_are_those_of_the_branches_by_their_weights(
    two_branches: StreamerEncoder, share: float
):
    bags, _ = corpus_bags(pieces()[: CONFIG.dim // 2], WORDS)  # as many axes as they span
    with torch.no_grad():
        branches = two_branches.branches(bags).numpy()
        two_branches.axes.copy_(torch.from_numpy(branch_axes(branches, share)))
        z = two_branches.embed(bags).numpy()
    u, v = branches[:, : CONFIG.dim], branches[:, CONFIG.dim :]
    wanted = (1 - share) * u @ u.T + share * v @ v.T
    np.testing.assert_allclose(z @ z.T, wanted, atol=1e-4)


def test_a_trained_table_is_not_moved_by_the_kernel_branch(two_branches: StreamerEncoder):
    bags, _ = corpus_bags(pieces(), WORDS)
    two_branches.zero_grad()
    two_branches.branches(bags)[:, CONFIG.dim :].sum().backward()
    assert two_branches.table.grad is not None
    assert not two_branches.table.grad.any()
    assert two_branches.kernel is not None
    assert two_branches.kernel.projection.grad is not None
    assert two_branches.kernel.projection.grad.any()


def test_the_shape_of_a_kernel_branch_is_read_from_its_weights(two_branches: StreamerEncoder):
    assert KernelShape.of(two_branches.state_dict()) == KernelShape(7, 6, 30)
    assert KernelShape.of({}) is None


def test_behaviour_is_forgotten_where_rows_change():
    bags, _ = corpus_bags(pieces(), WORDS)
    bags = replace(bags, behaviour=np.ones((len(bags), 2), np.float16))
    assert bags.take(np.array([1, 0])).behaviour is not None
    assert bags.keep(np.ones(len(bags.ids), bool)).behaviour is None
    assert bags.merge(np.zeros(len(bags), np.int64), 1).behaviour is None


def test_raw_outputs_are_the_embeddings_before_they_are_normalised(encoder: StreamerEncoder):
    bags, _ = corpus_bags(pieces(), WORDS)
    with torch.no_grad():
        raw, z = encoder.raw(bags), encoder.embed(bags)
    torch.testing.assert_close(safe_normalise(raw), z)


def test_outputs_have_the_shapes_and_norms_of_the_contract(encoder: StreamerEncoder):
    z, content, weights, predicted = run(encoder, batch_of(pieces()))
    n = len(pieces())
    assert (z.shape, content.shape, weights.shape, predicted.shape) == (
        (n, 16),
        (n, 4096),
        (n, len(MODALITIES)),
        (n, 5),
    )
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(content, axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)


def test_padding_contributes_nothing(encoder: StreamerEncoder):
    alone = run(encoder, batch_of(pieces()[:1]))
    beside_longer = run(encoder, batch_of(pieces()))
    for one, other in zip(alone, beside_longer, strict=True):
        np.testing.assert_allclose(one[0], other[0], atol=1e-5)


def test_a_row_without_anything_is_finite_also_in_its_gradient():
    torch.manual_seed(0)
    encoder = StreamerEncoder(WORDS, CONFIG, id_dim=5)
    inputs = [torch.from_numpy(a) for a in batch_of([[], *pieces()[:2]]).values()]
    outputs = encoder(*inputs)
    torch.stack([out.sum() for out in outputs]).sum().backward()
    assert all(torch.isfinite(out).all() for out in outputs)
    for parameter in encoder.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
    np.testing.assert_allclose(outputs[2][0].detach(), 1 / len(MODALITIES))


def test_starts_at_the_geometry_of_the_content(encoder: StreamerEncoder):
    bags, _ = corpus_bags(pieces(), WORDS)
    lexical = Bags(bags.indptr, bags.ids, bags.counts, bags.modality, (bags.pooled[0] * 0,))
    with torch.no_grad():
        h = encoder.fused(lexical).numpy()
    x = tf_idf(bags, WORDS).toarray()
    assert np.corrcoef((h @ h.T).ravel(), (x @ x.T).ravel())[0, 1] > 0.98


def test_unknown_words_reach_the_content_only(encoder: StreamerEncoder):
    known = profile(bio="noodles soup")
    more = profile(bio="noodles soup qqqq")
    (z_known, z_more), (c_known, c_more), weights, _ = run(encoder, batch_of([known, more]))
    np.testing.assert_allclose(z_known, z_more, atol=1e-6)
    assert c_known @ c_more < 0.95
    np.testing.assert_allclose(weights[0], weights[1], atol=1e-6)


def test_two_who_share_a_never_seen_word_have_alike_content(encoder: StreamerEncoder):
    one, two, other = (profile(bio=f"soup {word}") for word in ("qqqq", "qqqq", "zzzz"))
    content = run(encoder, batch_of([one, two, other]))[1]
    assert content[0] @ content[1] > 0.99
    assert content[0] @ content[2] < 0.7


def test_content_approximates_the_lexical_cosine(encoder: StreamerEncoder):
    texts = [[one for one in each if one.kind == "text"] for each in pieces()]
    bags, _ = corpus_bags(texts, WORDS)
    words = bags.keep(bags.ids <= len(WORDS.tokens))
    known = [f"{i}" for i in range(len(texts)) if words.lengths[i] == bags.lengths[i]]
    content = run(encoder, batch_of(texts))[1]
    x = tf_idf(bags, WORDS).toarray()
    rows = [int(i) for i in known]
    assert len(rows) > 3
    np.testing.assert_allclose(
        (content @ content.T)[rows][:, rows], (x @ x.T)[rows][:, rows], atol=0.1
    )


def test_a_language_is_no_shared_content(encoder: StreamerEncoder):
    one = profile(tags=["cooking"], language="en")
    other = profile(tags=["gaming"], language="en")
    content = run(encoder, batch_of([one, other, profile(tags=["cooking"])]))[1]
    assert abs(content[0] @ content[1]) < 0.1
    np.testing.assert_allclose(content[0], content[2], atol=1e-6)


def test_the_same_picture_is_shared_content_and_an_alike_one_is_not(encoder: StreamerEncoder):
    def shows(*numbers: float) -> list[Piece]:
        return profile(videos=[{"video_id": "v", "cover": cover(*numbers)}])

    pictures = [shows(1, 0, 0, 0), shows(2, 0.02, 0, 0), shows(1, 0.7, 0, 0)]
    content = run(encoder, batch_of(pictures))[1]
    assert content[0] @ content[1] > 0.95
    assert content[0] @ content[2] < 0.3


def test_modality_weights_say_where_the_evidence_is(encoder: StreamerEncoder):
    tags_only = profile(tags=["cooking", "soup"])
    covers_only = profile(videos=[{"video_id": "v", "cover": cover(0, 1, 0, 0)}])
    weights = run(encoder, batch_of([tags_only, covers_only, pieces()[2]]))[2]
    assert weights[0][MODALITIES.index("tags")] == pytest.approx(1)
    assert weights[1][MODALITIES.index("covers")] == pytest.approx(1)
    shown = {one.modality for one in pieces()[2]}
    for name, weight in zip(MODALITIES, weights[2], strict=True):
        assert name in shown or weight == 0


@pytest.mark.slow
def test_what_is_fixed_is_the_same_for_every_seed():
    torch.manual_seed(1)
    one = StreamerEncoder(WORDS, CONFIG, None)
    torch.manual_seed(2)
    two = StreamerEncoder(WORDS, CONFIG, None)
    assert torch.equal(one.fixed_projection, two.fixed_projection)
    assert torch.equal(one.content.signs, two.content.signs)
    assert one.content.signs.dtype == torch.int8
    assert not torch.equal(one.state_dict()["mlp.0.weight"], two.state_dict()["mlp.0.weight"])


def test_without_a_teacher_there_is_no_id_embedding():
    made = StreamerEncoder(WORDS, CONFIG, None).eval()
    assert len(run(made, batch_of(pieces()))) == 3


def aligned(encoder: StreamerEncoder, bags: Bags) -> np.ndarray:
    """What the aligned output keeps of the sums, before the MLP."""
    with torch.no_grad():
        fused = encoder.fused(bags)
        encoder.align_output(fused.numpy())
        return (fused @ encoder.fixed_projection).numpy()


def test_an_aligned_output_carries_the_most_first_and_as_much_as_so_few_axes_can():
    encoder = StreamerEncoder(WORDS, CONFIG, id_dim=5).eval()
    bags, _ = corpus_bags(pieces(), WORDS)
    encoder.start_from(start_of_table(bags, WORDS, 24, 0), [bags.pooled[0].mean(0)])
    singular = np.linalg.svd(encoder.fused(bags).detach().numpy(), compute_uv=False)
    carried = (aligned(encoder, bags) ** 2).sum(0)  # (16,) of 24
    np.testing.assert_allclose(carried, singular[:16] ** 2, atol=1e-4)


@pytest.mark.parametrize("dim", [24, 40])
def test_an_output_as_wide_as_the_table_keeps_every_cosine(dim: int):
    encoder = StreamerEncoder(WORDS, replace(CONFIG, dim=dim), id_dim=None).eval()
    bags, _ = corpus_bags(pieces(), WORDS)
    encoder.start_from(start_of_table(bags, WORDS, 24, 0), [bags.pooled[0].mean(0)])
    fused = encoder.fused(bags).detach().numpy()
    after = aligned(encoder, bags)
    np.testing.assert_allclose(after @ after.T, fused @ fused.T, atol=1e-5)


def test_a_space_wider_than_the_table_keeps_the_axes_that_its_vectors_share():
    rng = np.random.default_rng(0)
    shared = np.linalg.qr(rng.normal(size=(60, 5)))[0].T  # (5, 60)
    vectors = (rng.normal(size=(300, 5)) @ shared).astype(np.float32)
    words = replace(WORDS, spaces=(Space("wide", 60),))
    encoder = StreamerEncoder(words, replace(CONFIG, table_dim=8), None)
    encoder.align_spaces([vectors])
    shown = safe_normalise(torch.from_numpy(vectors))
    with torch.no_grad():
        kept = shown @ encoder.spaces[0]
        assert float(kept.norm(dim=1).min()) > 0.999
        encoder.scale_spaces(4)
        torch.testing.assert_close(shown @ encoder.spaces[0], 4 * kept)
