"""The encoder, its checkpoints, chunked gradients and devices."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model_export.contract.established import Established
from model_export.contract.features import FeatureBatch, Featurizer, collate
from model_export.contract.pieces import MODALITIES, Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from tests.unit.training.helpers import (
    cover,
    make_steps,
    pieces,
    settings_of,
    stage_of,
    vocabulary,
)
from training.config import MaskedViewsConfig, RecipeConfig, TransferPlusConfig
from training.data import Dataset
from training.errors import CheckpointError
from training.features.bags import Bags, corpus_bags
from training.inference.load import load_checkpoint
from training.losses.info_nce import info_nce
from training.models.checkpoint import (
    STATE,
    Checkpoint,
    is_finished,
    load_state,
    save_state,
)
from training.models.distributed import Compute, computing
from training.models.encoder import StreamerEncoder
from training.models.grad_cache import embed_in_chunks
from training.models.kernel_layer import KernelShape, branch_axes
from training.preparation.stage import start_of_table
from training.tasks.recipes import RECIPES
from training.trainer.fit import Request, fit

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


def test_outputs_have_the_shapes_and_norms_of_the_contract(encoder: StreamerEncoder):
    outputs, n = run(encoder, batch_of(pieces())), len(pieces())
    assert [out.shape for out in outputs] == [(n, 16), (n, 4096), (n, len(MODALITIES)), (n, 5)]
    z, content, weights, _ = outputs
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(content, axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    for one, other in zip(run(encoder, batch_of(pieces()[:1])), outputs, strict=True):
        np.testing.assert_allclose(one[0], other[0], atol=1e-5)  # padding contributes nothing


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


def test_unknown_words_reach_the_content_only(encoder: StreamerEncoder):
    known = profile(bio="noodles soup")
    more = profile(bio="noodles soup qqqq")
    (z_known, z_more), (c_known, c_more), weights, _ = run(encoder, batch_of([known, more]))
    np.testing.assert_allclose(z_known, z_more, atol=1e-6)
    assert c_known @ c_more < 0.95
    np.testing.assert_allclose(weights[0], weights[1], atol=1e-6)


def test_modality_weights_say_where_the_evidence_is(encoder: StreamerEncoder):
    tags_only = profile(tags=["cooking", "soup"])
    covers_only = profile(videos=[{"video_id": "v", "cover": cover(0, 1, 0, 0)}])
    weights = run(encoder, batch_of([tags_only, covers_only, pieces()[2]]))[2]
    assert weights[0][MODALITIES.index("tags")] == pytest.approx(1)
    assert weights[1][MODALITIES.index("covers")] == pytest.approx(1)
    shown = {one.modality for one in pieces()[2]}
    for name, weight in zip(MODALITIES, weights[2], strict=True):
        assert name in shown or weight == 0


VECTORS = np.arange(6, dtype=np.float32).reshape(2, 3)
ESTABLISHED = Established(["a", "b"], VECTORS)


def checkpoint() -> Checkpoint:
    tensors = {"table": torch.arange(6.0).reshape(2, 3), "signs": torch.ones(2, dtype=torch.int8)}
    return Checkpoint(tensors, vocabulary(), {"recipe": "r"}, {"m": 0.5}, ESTABLISHED)


def test_what_was_saved_is_read(tmp_path: Path):
    checkpoint().save(tmp_path / "c")
    found = Checkpoint.load(tmp_path / "c")
    assert all(torch.equal(found.tensors[n], t) for n, t in checkpoint().tensors.items())
    assert found.vocabulary == vocabulary()
    assert (found.config, found.metrics) == ({"recipe": "r"}, {"m": 0.5})
    assert found.established is not None
    assert found.established.ids == ["a", "b"]
    np.testing.assert_array_equal(found.established.vectors, VECTORS)


@pytest.mark.parametrize(
    ("name", "share", "told"),
    [
        ("model.safetensors", 0.5, r"is damaged .* train it again"),
        ("vocabulary.json", 0.5, r"is damaged .* train it again"),
        ("config.json", 0.5, r"is damaged .* train it again"),
        ("established.npz", 0.5, r"is damaged .* train it again"),
        ("model.safetensors", None, r"model\.safetensors"),
    ],
)
def test_a_damaged_or_missing_file_is_told(
    tmp_path: Path, name: str, share: float | None, told: str
):
    checkpoint().save(tmp_path)
    file = tmp_path / name
    if share is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(CheckpointError, match=told):
        load_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "nothing")


def test_the_state_of_an_unfinished_fit_comes_back_unless_it_is_damaged(tmp_path: Path):
    assert load_state(tmp_path) is None
    save_state(tmp_path, {"x": torch.arange(30)}, {"step": 7, "history": [[0, 0.5]]})
    tensors, progress = load_state(tmp_path) or ({}, {})
    assert tensors["x"].tolist() == list(range(30))
    assert progress == {"step": 7, "history": [[0, 0.5]]}
    assert not is_finished(tmp_path)
    (tmp_path / STATE).write_bytes((tmp_path / STATE).read_bytes()[:60])
    with pytest.raises(CheckpointError, match="start over with --overwrite"):
        load_state(tmp_path)


CHUNK = 5


def dropping_encoder(dropout: float) -> tuple[StreamerEncoder, Bags]:
    torch.manual_seed(0)
    words = vocabulary()
    config = MaskedViewsConfig(dim=8, table_dim=16, hidden_dim=16, content_dim=16, dropout=dropout)
    made = StreamerEncoder(words, config, None)
    made.start_from(np.random.default_rng(0).normal(size=(1 + made.known, 16)).astype("f4"), [])
    return made, corpus_bags(pieces(), words)[0]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_gradient_in_chunks_is_that_of_the_whole_batch(dropout: float):
    """With the same numbers when a chunk is computed again."""
    made, bags = dropping_encoder(dropout)

    def kept_whole() -> Tensor:
        rows = [np.arange(i, min(i + CHUNK, len(bags))) for i in range(0, len(bags), CHUNK)]
        return torch.cat([made.embed(bags.take(part)) for part in rows])

    found: list[tuple[float, dict[str, Tensor]]] = []
    for embed in (kept_whole, lambda: embed_in_chunks(made.embed, bags, CHUNK)):
        made.zero_grad()
        torch.manual_seed(3)
        z = embed()
        loss = info_nce(z @ z.T, torch.eye(len(z)).roll(1, 1), torch.eye(len(z)).bool(), 0.1)
        torch.rand(7)  # what the loss draws must not disturb the chunks' own numbers
        loss.backward()
        slopes = {n: p.grad.clone() for n, p in made.named_parameters() if p.grad is not None}
        found.append((float(loss.detach()), slopes))
    (whole, expected), (chunked, slopes) = found
    assert chunked == pytest.approx(whole, abs=1e-6)
    assert expected["table"].any()
    torch.testing.assert_close(slopes, expected, atol=1e-5, rtol=1e-5)


LONGER = TransferPlusConfig(
    dim=16, table_dim=32, hidden_dim=32, content_dim=64, batch_size=64, teacher_dim=16,
    steps=40, evaluate_every=10,
)  # fmt: skip


def quality(world: Dataset, out: Path, compute: Compute) -> float:
    config = replace(LONGER, patience=10, refit=False)
    return fit(Request("transfer-plus", config, 1, 1, out, compute=compute), world).metrics[
        "validation_NDCG@20"
    ]


@pytest.mark.gpu
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_gpu_computes_what_the_cpu_does(world: Dataset, recipe: str):
    dropout = {"token_dropout": 0.5} if recipe == "simcse" else {}
    config = settings_of(recipe, dropout=0.0, **dropout)
    losses = []
    for device in ("cpu", "cuda"):
        with computing(device) as compute:
            task = RECIPES[recipe].build(stage_of(world, config, compute), config, None)
            task.module.to(compute.device)
            losses += make_steps(task, 2)
    assert losses[2] == pytest.approx(losses[0], rel=1e-3, abs=1e-4)
    assert losses[3] == pytest.approx(losses[1], rel=1e-2, abs=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_fit_on_a_gpu_is_as_good(world: Dataset, tmp_path: Path, precision: Any):
    with computing("cuda", precision) as compute:
        found = quality(world, tmp_path / "gpu", compute)
    assert found == pytest.approx(quality(world, tmp_path / "cpu", Compute()), rel=0.05)
    assert load_checkpoint(tmp_path / "gpu").config["compute"]["device"] == "cuda"
