"""What a fit computes on: a device, a precision, and one process or several.

    torchrun --nproc-per-node 2 -m training fit ...

Several processes train as one does. All draw the same batch, each embeds its share of the rows, the
embeddings are gathered and every process computes the losses of the whole batch. So loss and
gradient are those of one process with that batch; only dropout draws other numbers.

Not yet run on a GPU: what depends on CUDA has tests marked `gpu` that await one.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist

from training.errors import UsageError
from training.features.bags import Bags

Precision = Literal["float32", "bfloat16"]
DEVICES = ("cpu", "cuda")
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
_PATIENCE = timedelta(minutes=30)
"""Processes wait so long for each other: the first reads may differ by minutes."""


@dataclass(frozen=True)
class Compute:
    """What a fit computes on.

    Attributes:
        device: where parameters and batches are.
        precision: of the encoder's matrix products while it trains; losses, weights and
            everything else are float32.
        rank: which of the processes this is; the first one alone writes and reports.
        processes: how many train together.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: Precision = "float32"
    rank: int = 0
    processes: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    @property
    def cuda_devices(self) -> list[torch.device]:
        """Those whose random state is at stake."""
        return [self.device] if self.device.type == "cuda" else []

    def description(self) -> dict[str, Any]:
        """What has an influence on the weights."""
        return {
            "device": self.device.type,
            "precision": self.precision,
            "processes": self.processes,
        }

    def autocast(self) -> AbstractContextManager[object]:
        """Matrix products in the precision, of tensors that are float32."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def by_shares(self, rows: Callable[[Bags], Tensor], bags: Bags) -> Tensor:
        """What a function makes of all rows (R, width), each process doing its share of them.

        The gradient is that of one process, once `average_gradients` was called.

        Args:
            rows: a function of each row on its own.
            bags: R rows, the same in all processes.
        """
        if self.processes == 1:
            return rows(bags)
        first, end = (len(bags) * each // self.processes for each in (self.rank, self.rank + 1))
        seed = int(torch.randint(2**62, ())) + self.rank  # the rows' dropout is not the same
        with torch.random.fork_rng(self.cuda_devices):
            torch.manual_seed(seed)
            share = rows(bags.take(np.arange(first, end)))  # (S, width)
        return _Gather.apply(share, first, len(bags), self.processes)

    def average_gradients(self, module: nn.Module) -> None:
        """The mean over the processes, in place."""
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        if self.processes > 1 and gradients:
            together = torch.cat([each.flatten() for each in gradients])  # waits once, not for each
            dist.all_reduce(together)
            together /= self.processes
            parts = together.split([each.numel() for each in gradients])
            for gradient, mean in zip(gradients, parts, strict=True):
                gradient.copy_(mean.view_as(gradient))

    def start_alike(self, module: nn.Module) -> None:
        """Every process takes the first one's weights, and waits for it."""
        if self.processes > 1:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, 0)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.processes > 1:
            dist.barrier()


class _Gather(torch.autograd.Function):
    """The rows of all processes (R, width) from the share of each, with gradient.

    Every process computes the same loss of all rows, so each has the whole gradient of its share.
    It hands it on once for every process, since the gradients of the parameters are averaged: what
    is computed alike everywhere, as a head on the gathered rows, then counts once as well.
    """

    @staticmethod
    def forward(ctx: Any, share: Tensor, first: int, rows: int, processes: int) -> Tensor:
        ctx.part, ctx.processes = slice(first, first + len(share)), processes
        gathered = share.new_zeros((rows, *share.shape[1:]))
        gathered[ctx.part] = share
        dist.all_reduce(gathered)  # adds zeros to each row: exact
        return gathered

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return gradients[0][ctx.part] * ctx.processes, None, None, None


@contextmanager
def computing(device: str = "cpu", precision: Precision = "float32") -> Iterator[Compute]:
    """The device and precision asked for, together with the processes that `torchrun` started.

    Raises:
        UsageError: there is no such device, or not one for each process, or it lacks bfloat16.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    place = _device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if place.type == "cuda" and precision == "bfloat16" and not torch.cuda.is_bf16_supported():
        raise UsageError("--precision bfloat16: this GPU has no bfloat16; use float32")
    if processes == 1:
        yield Compute(place, precision)
        return
    if place.type == "cuda":
        dist.init_process_group("nccl", timeout=_PATIENCE, device_id=place)
    else:
        dist.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield Compute(place, precision, dist.get_rank(), processes)
        dist.barrier()  # who leaves first cuts the connections that others may still use
    finally:
        dist.destroy_process_group()


def _device(name: str, local_rank: int) -> torch.device:
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UsageError(
            "--device cuda: PyTorch finds no NVIDIA GPU here, or was built without CUDA; "
            "use --device cpu"
        )
    if local_rank >= torch.cuda.device_count():
        raise UsageError(
            f"--device cuda: {torch.cuda.device_count()} GPUs are too few for the processes; "
            "torchrun --nproc-per-node takes at most one process per GPU"
        )
    device = torch.device("cuda", local_rank)
    torch.cuda.set_device(device)
    return device
