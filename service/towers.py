"""Pieces to vectors, by the tower graphs of a bundle and ONNX Runtime."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from model_export.contract.bundle import Bundle
from model_export.contract.errors import BundleError
from model_export.contract.pieces import Piece
from model_export.contract.text import readable
from model_export.contract.towers import (
    VECTOR,
    Payload,
    TowerInputs,
    TowerSpec,
    payload_key,
    pieces_for,
    vector_piece,
)
from service.sessions import Device, open_session

_MAX_BATCH = 16
"""Payloads of one run: more gain nothing, and the arena keeps the peak of any run."""


@dataclass(frozen=True)
class _Tower:
    spec: TowerSpec
    inputs: TowerInputs
    session: Any
    names: tuple[str, ...]


class OnnxTowers:
    """The towers of a verified bundle; none where it has none."""

    def __init__(self, bundle: Bundle, *, threads: int = 1, device: Device = "cpu") -> None:
        """Load the graphs; `threads` is per run.

        Raises:
            BundleError: a graph can't be loaded or has other outputs, what makes its inputs is not
                installed, or a GPU was asked for and ONNX Runtime would silently use the CPU.
        """
        self._towers: dict[str, _Tower] = {}
        for spec in bundle.manifest.towers:
            where = f"{bundle.path}/{spec.file}"
            graph = bundle.tower_bytes(spec.name)
            session = open_session(graph, where, threads=threads, device=device)
            if [output.name for output in session.get_outputs()] != [VECTOR]:
                raise BundleError(f"{where} has not the one output {VECTOR!r}; export again")
            names = tuple(cast(str, given.name) for given in session.get_inputs())
            inputs = bundle.tower_inputs(spec.name)
            self._towers[spec.name] = _Tower(spec, inputs, session, names)

    @property
    def specs(self) -> list[TowerSpec]:
        """What there is."""
        return [tower.spec for tower in self._towers.values()]

    def encode(self, name: str, payloads: Sequence[Payload]) -> NDArray[np.float32]:
        """Vectors (N, width) of N payloads by the tower of this name; safe from several threads.

        They are run in batches of alike size.
        """
        tower = self._towers[name]
        order = sorted(range(len(payloads)), key=lambda i: len(payloads[i]))
        found = np.zeros((len(payloads), tower.spec.width), np.float32)
        for start in range(0, len(order), _MAX_BATCH):
            rows = order[start : start + _MAX_BATCH]
            batch = tower.inputs([payloads[i] for i in rows])
            found[rows] = tower.session.run([VECTOR], {n: batch[n] for n in tower.names})[0]
        return found

    def read(self, profiles: Sequence[Sequence[Piece]]) -> list[list[Piece]]:
        """The pieces of each profile, and those that the towers make of them.

        What several pieces show alike is encoded once.
        """
        found = [list(pieces) for pieces in profiles]
        for tower in self._towers.values():
            spec = tower.spec
            read = [pieces_for(spec, pieces) for pieces in profiles]
            payloads = {payload_key(spec, p): readable(p.text) for pieces in read for p in pieces}
            vectors = self.encode(spec.name, list(payloads.values()))
            row = {key: i for i, key in enumerate(payloads)}
            for pieces, given in zip(read, found, strict=True):
                given += [vector_piece(spec, p, vectors[row[payload_key(spec, p)]]) for p in pieces]
        return found
