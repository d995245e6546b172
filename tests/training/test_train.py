from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.profiles import pieces, vocabulary
from training.bags import corpus_bags
from training.config import MaskedViewsConfig
from training.encoder import StreamerEncoder
from training.progress import Progress
from training.tasks.base import Task
from training.train import Journal, Trained, train

WIDTHS: dict[str, Any] = {"dim": 8, "table_dim": 16, "hidden_dim": 16, "content_dim": 16}
CONFIG = MaskedViewsConfig(**WIDTHS, steps=12, evaluate_every=3, patience=100, learning_rate=1e-2)


class Killed(Exception):
    pass


class WithHead(Task):
    """Predicts random numbers with a head beside the encoder."""

    def __init__(self, killed_at: int | None = None) -> None:
        torch.manual_seed(0)
        words = vocabulary()
        self.encoder = StreamerEncoder(words, CONFIG, None)
        self.head = nn.Linear(CONFIG.dim, 1)
        self._module = nn.ModuleDict({"encoder": self.encoder, "head": self.head})
        self._bags = corpus_bags(pieces(), words)[0]
        self._target = torch.linspace(-1, 1, len(self._bags))[:, None]
        self._killed_at = killed_at

    @property
    def module(self) -> nn.Module:
        return self._module

    def losses(self, step: int) -> dict[str, Tensor]:
        if step == self._killed_at:
            raise Killed
        predicted = self.head(self.encoder.embed(self._bags))
        return {"fit_loss": ((predicted - self._target) ** 2).mean()}

    def validate(self) -> float:
        with torch.no_grad():
            return -float(self.losses(-1)["fit_loss"])


def run(task: Task, folder: Path, chosen: Trained | None = None) -> Trained:
    journal = Journal(folder, "run", save_every_s=0)
    with Progress("select", CONFIG.steps, "fit") as progress:
        return train(task, CONFIG, 1, "select", journal, progress, chosen)


def test_a_head_is_trained_with_the_encoder(tmp_path: Path):
    task, start = WithHead(), WithHead()
    result = run(task, tmp_path)
    assert result.value > result.history[0][1]
    for name, value in start.module.named_parameters():
        assert name.startswith(("encoder.", "head."))
        if name.endswith(("weight", "bias", "table")):
            assert not torch.equal(task.module.state_dict()[name], value), name


@pytest.mark.parametrize("killed_at", [4, 11])
@pytest.mark.parametrize("chosen", [None, Trained(12)])
def test_killed_with_a_head_it_goes_on_to_the_same_weights(
    tmp_path: Path, killed_at: int, chosen: Trained | None
):
    with pytest.raises(Killed):
        run(WithHead(killed_at=killed_at), tmp_path / "killed", chosen)
    resumed, whole = WithHead(), WithHead()
    for task, folder in ((resumed, "killed"), (whole, "whole")):
        run(task, tmp_path / folder, chosen)
    states = resumed.module.state_dict(), whole.module.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])
