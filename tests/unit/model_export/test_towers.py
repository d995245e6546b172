"""A tower's module becomes a graph of the bundle that computes the same, or nothing is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from model_export.contract.bundle import CARD, Bundle
from model_export.contract.towers import Payload
from model_export.contract.vocabulary import Space
from model_export.errors import ParityError, SourceError
from model_export.export import export_bundle
from model_export.golden import golden_profiles
from model_export.source import ExportSource, TowerSource
from model_export.towers import tower_to_onnx
from tests.support import towers
from tests.unit.model_export import modules

GOLDEN = golden_profiles(modules.vocabulary())


class Bag(nn.Module):
    """What `tests.support.towers.graph` computes, in PyTorch."""

    def __init__(self, then: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.from_numpy(towers.table()), requires_grad=False)
        self.then = then

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        rows = self.table[input_ids] * attention_mask.unsqueeze(-1)  # (B, L, W)
        total = functional.normalize(rows.sum(1), dim=-1)
        return total if self.then is None else self.then(total, input_ids)


def tower(module: nn.Module | None = None, **change: Any) -> TowerSource:
    return TowerSource(towers.spec(**change), module or Bag(), towers.tokenizer())


def source(
    *sources: TowerSource, spaces: tuple[Space, ...] = (Space("test-text", 4),)
) -> ExportSource:
    words = modules.vocabulary(spaces)
    return modules.source(vocabulary=words, towers=sources)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "bundle"
    export_bundle(source(tower()), out)
    return out


def test_the_bundle_has_the_graph_and_its_tokenizer(exported: Path) -> None:
    bundle = Bundle(exported)
    spec = towers.spec()
    assert bundle.manifest.towers == [spec]
    assert set(spec.files) <= set(bundle.manifest.files)
    assert {p.name for p in (exported / "towers").iterdir()} == {
        "test-text.onnx",
        "test-text.tokenizer.json",
    }
    check = bundle.manifest.tower_checks[0]
    assert check.max_abs_diff < 1e-6
    assert check.min_cosine > 1 - 1e-6
    assert "| `test-text` | text of bio, videos | 4 | 0.0 |" in (exported / CARD).read_text()


def test_the_graph_computes_what_the_module_computes(exported: Path) -> None:
    bundle = Bundle(exported)
    session = onnxruntime.InferenceSession(bundle.tower_bytes("test-text"))
    inputs = bundle.tower_inputs("test-text")
    for texts in (["boss"], ["cooking noodles", "", "music boss zzz gaming 6 7 8"] * 20):
        prepared = [inputs.prepare(Payload("bio", text=text)) for text in texts]
        found = np.asarray(session.run(None, dict(inputs.batch(prepared)))[0])
        expected = np.stack([towers.vector(*text.split()[:4]) for text in texts])
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_equal_towers_are_equal_graphs_and_others_another_version(
    exported: Path, tmp_path: Path
) -> None:
    """That equal files are of one version, `test_export` shows."""
    bundle = Bundle(exported)
    golden = golden_profiles(source(tower()).vocabulary)
    assert tower_to_onnx(tower(), golden)[0] == bundle.tower_bytes("test-text")
    changed = Bag()
    changed.table.data[4] += 1
    other = export_bundle(source(tower(changed)), tmp_path / "other")
    assert other.model_version != bundle.manifest.model_version


def test_the_encoder_must_read_what_its_towers_give(tmp_path: Path) -> None:
    message = "tower test-text gives 4 numbers, but the vocabulary has no such space of its own"
    for wrong in (
        source(tower(), spaces=()),
        source(tower(), spaces=(Space("test-text", 8),)),
        source(tower(), tower()),
    ):
        with pytest.raises(SourceError, match=message):
            export_bundle(wrong, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def check(module: nn.Module, **change: Any) -> None:
    tower_to_onnx(tower(module, **change), GOLDEN)


@pytest.mark.parametrize(("factor", "length"), [(2.0, "2.0000"), (float("nan"), "nan")])
def test_a_module_whose_vectors_are_not_normalised(factor: float, length: str) -> None:
    with pytest.raises(SourceError, match=f"must have length 1, one has {length}"):
        check(Bag(lambda v, _: v * factor))


def test_a_graph_that_computes_something_else() -> None:
    def odd(vectors: Tensor, ids: Tensor) -> Tensor:
        """Another thing while it is made into a graph."""
        return -vectors if torch.compiler.is_exporting() else vectors

    with pytest.raises(ParityError, match="'vector of tower test-text'") as caught:
        check(Bag(odd))
    assert caught.value.max_abs_diff > 0.1
    assert caught.value.min_cosine < -0.99
