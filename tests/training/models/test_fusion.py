"""Pieces that are weighed and fused one by one."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model_export.contract.bundle import Bundle
from model_export.contract.features import FeatureBatch, Featurizer, collate
from model_export.contract.piece_table import AGES
from model_export.contract.pieces import MODALITIES, Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.export import export_bundle
from service.engine.encoding.onnx_encoder import OnnxEncoder
from tests.training.profiles import cover, pieces, vocabulary
from tests.training.small import SMALL
from training.config import (
    MaskedViewsConfig,
    MlmConfig,
    PtumConfig,
    RecipeConfig,
    TransferPlusConfig,
    override,
)
from training.data import Dataset
from training.features.bags import corpus_bags
from training.features.padding import blocks_of_alike
from training.inference.load import load_checkpoint
from training.models.encoder import StreamerEncoder
from training.models.fusion import Recency, Transformer
from training.preparation.stage import start_of_table
from training.trainer.fit import Request, fit

FUSIONS = ("recency", "transformer")
WIDTHS: dict[str, Any] = {
    "dim": 16,
    "table_dim": 24,
    "hidden_dim": 32,
    "content_dim": 64,
    "fusion_dim": 16,
}


def words(fusion: str):
    return dataclasses.replace(vocabulary(), piece_table=fusion != "sum")


def encoder_of(fusion: str) -> StreamerEncoder:
    torch.manual_seed(0)
    config = override(RecipeConfig(**WIDTHS), [f"fusion={fusion}"])
    made = StreamerEncoder(words(fusion), config, id_dim=5)
    bags, _ = corpus_bags(pieces(), words(fusion))
    made.start_from(start_of_table(bags, words(fusion), 24, 0), [bags.pooled[0].mean(0)])
    return made.eval()


def trained(fusion: str) -> StreamerEncoder:
    """As after some steps: no gate is 1 any more, and much is added."""
    made = encoder_of(fusion)
    torch.manual_seed(1)
    with torch.no_grad():
        if isinstance(made.fusion, Recency):
            made.fusion.logits.normal_(std=0.2)
        else:
            assert isinstance(made.fusion, Transformer)
            made.fusion.gate.weight.normal_(std=0.1)
            made.fusion.add.weight.mul_(10)
    return made


def profile(**content) -> list[Piece]:
    return pieces_of(StreamerProfile.model_validate({"streamer_id": "x", **content}))


def video(title: str, day: int, **more) -> dict[str, object]:
    moment = f"2024-{1 + day // 28:02}-{1 + day % 28:02}T00:00:00Z"
    return {"video_id": f"v{day}", "title": title, "published_at": moment, **more}


EVERYONE = [
    *pieces(),
    [],
    profile(language="en"),
    profile(bio="never seen zzz"),
    profile(videos=[video("noodles soup", d, cover=cover(d, 1, 2, 3)) for d in (0, 9, 99, 200)]),
]


def batch_of(fusion: str, profiles: Sequence[Sequence[Piece]]) -> FeatureBatch:
    return collate([Featurizer(words(fusion)).from_pieces(each) for each in profiles])


@torch.no_grad()
def run(encoder: StreamerEncoder, batch: FeatureBatch) -> list[np.ndarray]:
    return [out.numpy() for out in encoder(*(torch.from_numpy(a) for a in batch.values()))]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_flat_pieces_and_padded_batches_give_the_same_numbers(fusion: str):
    encoder = trained(fusion)
    bags, _ = corpus_bags(EVERYONE, words(fusion))
    with torch.no_grad():
        flat = encoder.embed(bags).numpy()
        some = encoder.embed(bags.take(np.array([7, 7, 2]))).numpy()
    np.testing.assert_allclose(run(encoder, batch_of(fusion, EVERYONE))[0], flat, atol=1e-5)
    np.testing.assert_allclose(some, flat[[7, 7, 2]], atol=1e-5)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_padding_and_other_rows_contribute_nothing(fusion: str):
    encoder = trained(fusion)
    alone = run(encoder, batch_of(fusion, EVERYONE[:1]))
    beside_longer = run(encoder, batch_of(fusion, EVERYONE))
    for one, other in zip(alone, beside_longer, strict=True):
        np.testing.assert_allclose(one[0], other[0], atol=1e-5)


def test_starts_at_the_plain_sum():
    plain = run(encoder_of("sum"), batch_of("sum", EVERYONE))
    bags, _ = corpus_bags(EVERYONE, words("sum"))
    with torch.no_grad():
        h = encoder_of("sum").fused(bags)
    for fusion, least in (("recency", 1 - 1e-5), ("transformer", 0.98)):
        encoder = encoder_of(fusion)
        _, content, weights, _ = run(encoder, batch_of(fusion, EVERYONE))
        np.testing.assert_allclose(content, plain[1], atol=1e-5)  # the sketch stays as it is
        if fusion == "recency":
            np.testing.assert_allclose(weights, plain[2], atol=1e-5)
        with torch.no_grad():
            near = (encoder.fused(corpus_bags(EVERYONE, words(fusion))[0]) * h).sum(1)
        shows = (h * h).sum(1) > 0.5
        assert near[shows].min() > least


@pytest.mark.parametrize("fusion", FUSIONS)
def test_modality_weights_are_shares_of_what_is_shown(fusion: str):
    encoder = trained(fusion)
    weights = run(encoder, batch_of(fusion, EVERYONE))[2]
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    for row, each in enumerate(EVERYONE):
        shown = {one.modality for one in each}
        if weights[row].max() < 0.5 and len(shown) < 3:
            continue  # nothing known: uniform
        for name, weight in zip(MODALITIES, weights[row], strict=True):
            assert name in shown or weight == 0
    tags_only = profile(tags=["cooking", "soup"])
    covers_only = profile(videos=[{"video_id": "v", "cover": cover(0, 1, 0, 0)}])
    weights = run(encoder, batch_of(fusion, [tags_only, covers_only]))[2]
    assert weights[0][MODALITIES.index("tags")] == pytest.approx(1)
    assert weights[1][MODALITIES.index("covers")] == pytest.approx(1)


def test_what_gates_hide_has_no_weight_and_no_influence():
    encoder = encoder_of("recency")
    assert isinstance(encoder.fusion, Recency)
    with torch.no_grad():
        encoder.fusion.logits[1 + MODALITIES.index("videos"), 2:] = -10  # older than a week
    now, before = video("noodles soup", 100), video("guitar vocal", 10)
    both, one = (profile(bio="raid boss", videos=each) for each in ([now, before], [now]))
    found = run(encoder, batch_of("recency", [both, one]))
    np.testing.assert_allclose(found[0][0], found[0][1], atol=1e-4)
    np.testing.assert_allclose(found[2][0], found[2][1], atol=1e-4)
    swapped = profile(bio="raid boss", videos=[video("noodles soup", 10), video("guitar", 100)])
    other = run(encoder, batch_of("recency", [swapped]))[0][0]
    assert found[0][0] @ other < 0.95


def test_the_transformer_reads_pieces_beside_each_other_ages_and_what_is_absent():
    encoder = trained("transformer")
    fusion = encoder.fusion
    assert isinstance(fusion, Transformer)
    torch.manual_seed(2)
    contents, age = torch.randn(1, 3, 24), torch.ones(1, 3, dtype=torch.long)
    modality = torch.tensor([[2, 3, 0]])
    contents[0, 2] = 0
    with torch.no_grad():
        gates, added = fusion(contents, modality, age)
        beside = contents.clone()
        beside[0, 1] += 1
        assert not torch.allclose(fusion(beside, modality, age)[0][0, 0], gates[0, 0])
        assert not torch.allclose(fusion(contents, modality, age + 1)[0][0, 0], gates[0, 0])
        fusion.null[MODALITIES.index("bio")].normal_()  # is shown: its null token is not read
        torch.testing.assert_close(fusion(contents, modality, age)[0][:, :2], gates[:, :2])
        fusion.null[MODALITIES.index("audio")].normal_()
        assert not torch.allclose(fusion(contents, modality, age)[0][0, 0], gates[0, 0])
    assert not added[0, 2].any()
    turned = [1, 0, 2]
    with torch.no_grad():
        again = fusion(contents[:, turned], modality[:, turned], age)[0]
        torch.testing.assert_close(again[0, :2], fusion(contents, modality, age)[0][0, [1, 0]])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_gradients_are_finite_and_reach_everything(fusion: str):
    encoder = trained(fusion).train()
    inputs = [torch.from_numpy(a) for a in batch_of(fusion, [[], *EVERYONE]).values()]
    torch.stack([(out * torch.randn_like(out)).sum() for out in encoder(*inputs)]).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name
    if isinstance(encoder.fusion, Recency):
        assert encoder.fusion.logits.grad is not None
        assert encoder.fusion.logits.shape == (1 + len(MODALITIES), AGES)


@pytest.mark.parametrize("sizes", [[], [0], [0, 0, 3], [1] * 9000, [1, 2, 8000, 9000, 9001]])
def test_blocks_cover_all_rows_and_stay_small(sizes: list[int]):
    blocks = blocks_of_alike(np.array(sizes, np.int64))
    assert [i for b in blocks for i in range(b.start, b.stop)] == list(range(len(sizes)))
    for block in blocks:
        part = sizes[block]
        assert len(part) <= 1 or len(part) * max(part) <= 1 << 13


RECIPES: dict[str, RecipeConfig] = {
    "transfer-plus": TransferPlusConfig(
        **SMALL, steps=4, evaluate_every=2, teacher_dim=8, fusion="transformer", fusion_dim=16
    ),
    "masked-views": MaskedViewsConfig(**SMALL, steps=2, evaluate_every=2, fusion="recency"),
    "mlm": MlmConfig(
        **SMALL, steps=2, evaluate_every=2, sample=64, fusion="transformer", fusion_dim=8
    ),
    "ptum": PtumConfig(**SMALL, steps=2, evaluate_every=2, fusion="recency"),
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_from_fit_to_the_service(world: Dataset, tmp_path: Path, recipe: str):
    config = RECIPES[recipe]
    fit(Request(recipe, config, 1, threads=1, out=tmp_path / "c"), world)
    source = load_checkpoint(tmp_path / "c")
    assert source.vocabulary.piece_table
    manifest = export_bundle(source, tmp_path / "b")
    assert manifest.parity.max_abs_diff < 1e-5
    bundle = Bundle(tmp_path / "b")
    served = OnnxEncoder(bundle)
    some = [bundle.featurizer(p) for p in world.profiles[:40]]
    encoded = served.encode([f for f in some if f.usable])
    with torch.no_grad():
        bags, usable = corpus_bags([pieces_of(p) for p in world.profiles[:40]], source.vocabulary)
        assert isinstance(source.module, StreamerEncoder)
        expected = source.module.embed(bags).numpy()[usable]
    np.testing.assert_allclose([e.embedding for e in encoded], expected, atol=1e-4)
