"""A device like a GPU, made of the CPU: one thread owns what it holds; it may fill up or fail."""

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from service.index.faiss.ann.device import DeviceName, Owned, Owner, Placed


class OwnedDevice:
    """See the module. `full`: nothing more fits; `broken`: every search fails."""

    name: DeviceName = "gpu"

    def __init__(self) -> None:
        self.full = False
        self.broken = False
        self._owner = Owner()

    def fail(self) -> None:
        self.broken = True

    def factory_for(self, rows: int) -> str:
        assert rows > 0
        return "Flat"

    def place(self, index: Any) -> Placed:
        if self.full:
            raise RuntimeError("Error in StandardGpuResources.cpp:1: out of memory")
        return Owned(self._owner, _Held(self, index), _Parameters(), most=2048)


class _Held:
    def __init__(self, device: OwnedDevice, index: Any) -> None:
        self.device, self.index = device, index

    def search(self, queries: NDArray[np.float32], k: int) -> Any:
        if self.device.broken:
            raise RuntimeError("CUDA error 719")
        return self.index.search(queries, k)


class _Parameters:
    def set_index_parameter(self, held: _Held, name: str, value: int) -> None:
        faiss.ParameterSpace().set_index_parameter(held.index, name, value)
