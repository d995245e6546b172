from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.unit.training.profiles import pieces, vocabulary
from training.config import MaskedViewsConfig
from training.features.bags import Bags, corpus_bags
from training.losses.info_nce import info_nce
from training.models.encoder import StreamerEncoder
from training.models.grad_cache import embed_in_chunks

CHUNK = 5


def encoder(dropout: float) -> tuple[StreamerEncoder, Bags]:
    torch.manual_seed(0)
    words = vocabulary()
    config = MaskedViewsConfig(dim=8, table_dim=16, hidden_dim=16, content_dim=16, dropout=dropout)
    made = StreamerEncoder(words, config, None)
    made.start_from(np.random.default_rng(0).normal(size=(1 + made.known, 16)).astype("f4"), [])
    return made, corpus_bags(pieces(), words)[0]


def contrast(z: Tensor) -> Tensor:
    wanted = torch.eye(len(z)).roll(1, 1)
    return info_nce(z @ z.T, wanted, torch.eye(len(z), dtype=torch.bool), 0.1)


def gradients(
    made: StreamerEncoder, embed: Callable[[], Tensor]
) -> tuple[float, dict[str, Tensor]]:
    """Of the contrast, with the random numbers of one seed."""
    made.zero_grad()
    torch.manual_seed(3)
    loss = contrast(embed())
    torch.rand(7)  # what the loss draws must not disturb the chunks' own numbers
    loss.backward()
    found = {n: p.grad.clone() for n, p in made.named_parameters() if p.grad is not None}
    assert found["table"].abs().sum() > 0
    return float(loss.detach()), found


def assert_equal(one: tuple[float, dict[str, Tensor]], other: tuple[float, dict[str, Tensor]]):
    assert one[0] == pytest.approx(other[0], abs=1e-6)
    assert one[1].keys() == other[1].keys()
    for name, value in one[1].items():
        torch.testing.assert_close(value, other[1][name], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_the_gradient_is_that_of_the_whole_batch():
    made, bags = encoder(dropout=0.0)
    whole = gradients(made, lambda: made.embed(bags))
    assert_equal(gradients(made, lambda: embed_in_chunks(made.embed, bags, CHUNK)), whole)


@pytest.mark.slow
def test_the_dropout_of_a_chunk_is_the_same_when_it_is_computed_again():
    made, bags = encoder(dropout=0.5)

    def kept_whole() -> Tensor:
        rows = [np.arange(i, min(i + CHUNK, len(bags))) for i in range(0, len(bags), CHUNK)]
        return torch.cat([made.embed(bags.take(part)) for part in rows])

    whole = gradients(made, kept_whole)
    assert_equal(gradients(made, lambda: embed_in_chunks(made.embed, bags, CHUNK)), whole)
    torch.manual_seed(4)
    assert float(contrast(kept_whole()).detach()) != pytest.approx(whole[0], abs=1e-3)


def test_no_chunk_is_kept_until_the_gradient_is_known():
    """Each chunk is encoded twice, one at a time, and nothing of the first time is kept."""
    made, bags = encoder(dropout=0.5)
    sizes: list[int] = []

    def embed(rows: Bags) -> Tensor:
        sizes.append(len(rows))
        return made.embed(rows)

    z = embed_in_chunks(embed, bags, CHUNK)
    assert sizes == [5, 5, 5, 3]
    contrast(z).backward()
    assert sorted(sizes) == sorted([5, 5, 5, 3] * 2)


@pytest.mark.parametrize("chunk_size", [0, 18, 100])
def test_off_or_larger_than_the_batch_it_is_encoded_at_once(chunk_size: int):
    made, bags = encoder(dropout=0.0)
    sizes: list[int] = []

    def embed(rows: Bags) -> Tensor:
        sizes.append(len(rows))
        return made.embed(rows)

    embed_in_chunks(embed, bags, chunk_size).sum().backward()
    assert sizes == [len(bags)]
