"""Devices and precisions."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.fx.experimental import _config as fx_settings

from model_export.contract.pieces import pieces_of
from tests.unit.training.trainer.parallel_worker import build, record, tiny
from training.commands.cli import main
from training.config import TransferPlusConfig
from training.data import Dataset, load_dataset
from training.errors import UsageError
from training.inference.load import load_checkpoint
from training.models.distributed import Compute, computing
from training.preparation.stage import all_rows, prepare
from training.tasks.recipes import RECIPES
from training.trainer.fit import Request, fit

pytestmark = pytest.mark.slow

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
CONFIG = TransferPlusConfig(
    dim=16, table_dim=32, hidden_dim=32, content_dim=64, batch_size=64, teacher_dim=16,
    steps=40, evaluate_every=10,
)  # fmt: skip


@without_gpu
def test_a_gpu_that_is_not_there_is_named(
    world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = ["--data", str(world_folder), "--out", str(tmp_path / "c")]
    assert main(["fit", "--recipe", "transfer-plus", *out, "--device", "cuda"]) == 2
    error = capsys.readouterr().err
    assert "--device cuda: PyTorch finds no NVIDIA GPU here" in error
    assert "use --device cpu" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("option", [["--device", "tpu"], ["--precision", "float16"]])
def test_unknown_choices_list_the_known(
    world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: list[str]
):
    out = ["--data", str(world_folder), "--out", str(tmp_path / "c")]
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--recipe", "transfer-plus", *out, *option])
    assert ended.value.code == 2
    assert "choose from" in capsys.readouterr().err


def test_alone_on_the_cpu_by_default():
    with computing() as compute:
        assert compute == Compute()
    assert compute.is_first
    assert compute.description() == {"device": "cpu", "precision": "float32", "processes": 1}


def quality(world: Dataset, out: Path, compute: Compute) -> float:
    config = replace(CONFIG, patience=10, refit=False)
    return fit(Request("transfer-plus", config, 1, 1, out, compute=compute), world).metrics[
        "validation_NDCG@20"
    ]


def test_bfloat16_trains_as_well_and_its_checkpoint_says_so(world: Dataset, tmp_path: Path):
    exact = quality(world, tmp_path / "float32", Compute())
    rounded = quality(world, tmp_path / "bfloat16", Compute(precision="bfloat16"))
    assert rounded == pytest.approx(exact, rel=0.05)
    source = load_checkpoint(tmp_path / "bfloat16")
    assert source.config["compute"]["precision"] == "bfloat16"
    kept = {value.dtype for value in source.module.state_dict().values()}
    assert kept == {torch.float32, torch.float16, torch.int8}  # the kernel's table is a half


def test_bfloat16_is_used_while_training_and_only_then(world: Dataset):
    pieces = [pieces_of(profile) for profile in world.profiles[:60]]
    known = np.arange(60)
    part = replace(world, ids=world.ids[:60])
    config = tiny("masked-views")
    encoders = []
    for precision in ("float32", "bfloat16"):
        compute = Compute(precision=precision)
        stage = prepare(part, pieces, known, None, config, 0, 1, compute)
        encoders.append((stage, stage.encoder.train().embed(stage.bags)))
    (exact, z), (rounded, z_rounded) = encoders
    assert z_rounded.dtype == torch.float32
    assert 1e-4 < (z - z_rounded).abs().max() < 0.05
    served = [all_rows(s.encoder, s.encoder.embed, s.bags, s.usable) for s in (exact, rounded)]
    np.testing.assert_array_equal(served[0], served[1])


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_step_computes_on_the_device_alone(tiny_world_folder: Path, recipe: str):
    """On PyTorch's device without data, which refuses to mix with another as a GPU does."""
    task = build(load_dataset(tiny_world_folder), recipe, Compute())
    meta = torch.device("meta")
    task.encoder.move_to(Compute(device=meta))
    task.module.to(meta).train()
    # Without data, a mask is taken to select as many rows as there could be.
    assumed = {"meta_nonzero_assume_all_nonzero": True}
    with fx_settings.patch(assumed):  # pyright: ignore[reportAttributeAccessIssue]
        losses = {n: v for n, v in task.losses(0).items() if n.endswith("_loss")}
        torch.stack(list(losses.values())).sum().backward()
    assert losses
    assert all(value.device == meta for value in losses.values())


@pytest.mark.gpu
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_gpu_computes_what_the_cpu_does(small_world_folder: Path, recipe: str):
    dataset = load_dataset(small_world_folder)
    expected = record(dataset, recipe, Compute())
    with computing("cuda") as compute:
        found = record(dataset, recipe, compute)
    for name, value in expected.items():
        if name.startswith(("loss.0", "gradient.")):
            torch.testing.assert_close(found[name].cpu(), value, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_fit_on_a_gpu_is_as_good(world: Dataset, tmp_path: Path, precision: Any):
    with computing("cuda", precision) as compute:
        found = quality(world, tmp_path / "gpu", compute)
    assert found == pytest.approx(quality(world, tmp_path / "cpu", Compute()), rel=0.05)
    assert load_checkpoint(tmp_path / "gpu").config["compute"]["device"] == "cuda"


@pytest.mark.gpu
def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCAL_RANK", str(torch.cuda.device_count()))
    with pytest.raises(UsageError, match="at most one process per GPU"), computing("cuda"):
        pass
