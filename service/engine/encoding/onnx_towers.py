"""Pieces to vectors, by the tower graphs of a bundle and ONNX Runtime."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from model_export.contract.bundle import Bundle
from model_export.contract.errors import BundleError, SilentContent
from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerContent
from model_export.contract.towers import (
    VECTOR,
    AudioInputs,
    Decoded,
    ImageInputs,
    Payload,
    Prepared,
    TowerInputs,
    TowerSpec,
    payload_key,
    payload_of,
    pieces_for,
    vector_piece,
)
from service.engine.encoding.length_batches import alike
from service.engine.encoding.onnx_session import Device, open_session

_MAX_BATCH = 16
"""Payloads of one run: more gain nothing, and the arena keeps the peak of any run."""
_MAX_PADDED_TOKENS = 2048
"""Texts times the longest of them, in one run: likewise. 16 texts of 128 tokens, or 4 of 512."""


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

    def prepare(self, name: str, payload: Payload) -> Prepared:
        """A payload decoded for the tower of this name; safe from several threads.

        Raises:
            UnreadableContent: it is not what it says, or over a limit; SilentContent for a sound in
                which nothing is heard.
            MissingExtra: what decodes it is not installed.
        """
        return self._towers[name].inputs.prepare(payload)

    def decode(self, name: str, payload: Payload) -> Decoded:
        """Prepare a picture or sound for its tower, with what tells copies; raises as `prepare`."""
        inputs = self._towers[name].inputs
        if isinstance(inputs, ImageInputs | AudioInputs):
            return inputs.decode(payload)
        return Decoded(inputs.prepare(payload))

    def run(self, name: str, prepared: Sequence[Prepared]) -> NDArray[np.float32]:
        """Vectors (N, width) of N decoded payloads; safe from several threads."""
        tower = self._towers[name]
        found = np.zeros((len(prepared), tower.spec.width), np.float32)
        # Pictures are of one size, and so are sounds.
        tokens = [0 if tower.spec.text is None else len(one) for one in prepared]
        for rows in alike(tokens, _MAX_BATCH, _MAX_PADDED_TOKENS):
            batch = tower.inputs.batch([prepared[i] for i in rows])
            found[rows] = tower.session.run([VECTOR], {n: batch[n] for n in tower.names})[0]
        return found

    def encode(self, name: str, payloads: Sequence[Payload]) -> NDArray[np.float32]:
        """Vectors (N, width) of N payloads; raises as `prepare` does."""
        return self.run(name, [self.prepare(name, payload) for payload in payloads])

    def read(self, profiles: Sequence[StreamerContent]) -> list[list[Piece]]:
        """The pieces of each profile, and those that the towers make of them.

        What several pieces show alike is encoded once. A sound in which nothing is heard has no
        vector, nor has a picture of one colour.

        Raises:
            UnreadableContent: as `prepare`.
        """
        found = [pieces_of(profile) for profile in profiles]
        for tower in self._towers.values():
            spec = tower.spec
            read = [pieces_for(spec, pieces) for pieces in found]
            prepared: dict[bytes, Prepared] = {}
            for profile, pieces in zip(profiles, read, strict=True):
                for piece in pieces:
                    if payload_key(piece) not in prepared:
                        with suppress(SilentContent):
                            payload = payload_of(piece, profile)
                            prepared[payload_key(piece)] = self.prepare(spec.name, payload)
            vectors = dict(zip(prepared, self.run(spec.name, list(prepared.values())), strict=True))
            for pieces, given in zip(read, found, strict=True):
                seen = ((piece, vectors.get(payload_key(piece))) for piece in pieces)
                given += [vector_piece(spec, p, v) for p, v in seen if v is not None]
        return found
