"""Runs all gates on a bundle."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from model_export.contract.bundle import Bundle
from service.engine.evidence.engine import Evidence
from service.features.release import gates
from service.features.release.encoder import ReleaseEncoder
from service.features.release.gates import Gate, Thresholds
from service.features.release.held_out import held_out

MOST_STREAMERS = 4000


@dataclass(frozen=True)
class Release:
    """The outcome.

    Attributes:
        model_version: of the bundle, at the width that was tested.
        gates: in the order in which they ran.
    """

    model_version: str
    gates: list[Gate]

    @property
    def failed(self) -> list[Gate]:
        """Those that keep the model from being served."""
        return [gate for gate in self.gates if gate.status == "failed"]

    @property
    def not_run(self) -> list[Gate]:
        """Those that could not be measured."""
        return [gate for gate in self.gates if gate.status == "not_run"]


def _established_ids(bundle: Bundle) -> frozenset[str]:
    """Ids alone, so that the vectors beside them don't stay in memory."""
    established = bundle.established()
    return frozenset(() if established is None else established.ids)


def check_release(
    bundle: Bundle,
    folder: Path,
    *,
    dim: int | None = None,
    most: int = MOST_STREAMERS,
    seed: int = 0,
    limits: Thresholds | None = None,
    tell: Callable[[Gate], None] = lambda _: None,
) -> Release:
    """Test a bundle on the held-out streamers of a data set folder.

    Args:
        bundle: the model.
        folder: of the data set.
        dim: a shorter width of the model; None = the full one.
        most: streamers that are drawn from the folder.
        seed: of the draw.
        limits: what the model must reach.
        tell: is called with each gate as it is done.

    Raises:
        UnusableData, UnreadableTable: the folder has nothing to test on, or can't be read.
        ContractError: the bundle's graphs can't be loaded, or a profile can't be read.
        OSError: a file can't be read.
    """
    limits = limits or Thresholds()
    manifest, encoder = bundle.manifest.at(dim), ReleaseEncoder(bundle, dim)

    def run() -> Iterator[Gate]:
        first = gates.golden(encoder, limits)
        yield first
        if first.status == "failed" and first.measured is None:
            return  # numbers that are none can't be compared
        data = held_out(folder, most, seed, _established_ids(bundle))
        vectors = encoder.vectors(data.profiles)
        yield from gates.copies(data, Evidence(bundle), vectors, limits)
        yield from gates.absent_modalities(data, encoder, vectors, limits)
        known = manifest.calibration
        yield from gates.ranking(data, vectors, known and known.embedding, limits)

    done: list[Gate] = []
    for gate in run():
        done.append(gate)
        tell(gate)
    return Release(manifest.model_version, done)
