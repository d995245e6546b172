"""Device, precision and data-parallel processes of a fit.

    torchrun --nproc-per-node 2 -m training fit ...

All processes draw the same batch. Each embeds its share of the rows, the embeddings are gathered,
and every process computes the losses of the whole batch. Loss and gradient therefore equal those of
one process, except for the random numbers of dropout.

Code that depends on CUDA is covered by tests marked `gpu`, which have not been run on a GPU yet.
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
"""Timeout of collective operations: reading the data may differ by minutes."""
_ALONE = timedelta(days=30)
"""Timeout of `Compute.wait`: process 0 may encode a large data set for days. A process that ends
cuts its connections, so the others don't wait for one that is dead."""


@dataclass(frozen=True)
class Compute:
    """Device, precision and processes of a fit.

    Attributes:
        device: device of parameters and batches.
        precision: of the encoder's matrix products while training; everything else is float32.
        rank: number of this process; only process 0 writes and reports.
        processes: number of processes.
        waiting: group of all processes that `wait` uses; None for one process.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: Precision = "float32"
    rank: int = 0
    processes: int = 1
    waiting: dist.ProcessGroup | None = field(default=None, repr=False, compare=False)

    @property
    def is_first(self) -> bool:
        """Whether this is process 0, which writes and reports."""
        return self.rank == 0

    @property
    def cuda_devices(self) -> list[torch.device]:
        """CUDA devices whose random state must be saved and restored."""
        return [self.device] if self.device.type == "cuda" else []

    def description(self) -> dict[str, Any]:
        """Properties that influence the trained weights."""
        return {
            "device": self.device.type,
            "precision": self.precision,
            "processes": self.processes,
        }

    def autocast(self) -> AbstractContextManager[object]:
        """Context in which matrix products use the precision."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def by_shares(self, rows: Callable[[Bags], Tensor], bags: Bags) -> Tensor:
        """Apply a row-wise function to all rows (R, width), sharing the work between processes.

        After `average_gradients`, the gradient equals that of a single process.

        Args:
            rows: function that treats each row independently.
            bags: R rows, equal in all processes.
        """
        if self.processes == 1:
            return rows(bags)
        first, end = (len(bags) * each // self.processes for each in (self.rank, self.rank + 1))
        seed = int(torch.randint(2**62, ())) + self.rank  # dropout differs between rows
        with torch.random.fork_rng(self.cuda_devices):
            torch.manual_seed(seed)
            share = rows(bags.take(np.arange(first, end)))  # (S, width)
        return _Gather.apply(share, first, len(bags), self.processes)

    def average_gradients(self, module: nn.Module) -> None:
        """Average the gradients over the processes, in place."""
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        if self.processes > 1 and gradients:
            together = torch.cat(
                [each.flatten() for each in gradients]
            )  # one collective, not one per tensor
            dist.all_reduce(together)
            together /= self.processes
            parts = together.split([each.numel() for each in gradients])
            for gradient, mean in zip(gradients, parts, strict=True):
                gradient.copy_(mean.view_as(gradient))

    def start_alike(self, module: nn.Module) -> None:
        """Broadcast the weights of process 0."""
        if self.processes > 1:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, 0)

    def wait(self) -> None:
        """Wait for all processes, however long process 0 works alone."""
        if self.processes > 1:
            dist.barrier(self.waiting)


class _Gather(torch.autograd.Function):
    """Differentiable all-gather of row shares (R, width).

    Every process computes the same loss over all rows and thus the whole gradient of its share. The
    gradient is scaled by the number of processes, because parameter gradients are averaged later;
    parts computed identically everywhere, such as a head on the gathered rows, then count once.
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
    """Set up device, precision and the processes started by `torchrun`.

    Raises:
        UsageError: the device is missing, there are fewer GPUs than processes, or the GPU lacks
            bfloat16.
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
        waiting = dist.new_group(backend="gloo", timeout=_ALONE)
        assert isinstance(waiting, dist.ProcessGroup)
        yield Compute(place, precision, dist.get_rank(), processes, waiting)
        dist.barrier()  # leaving early would cut connections that others still use
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
