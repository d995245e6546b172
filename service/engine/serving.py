"""One served model: its encoder, its index, and what keeps that index fresh."""

from dataclasses import dataclass

from model_export.contract.bundle import Manifest
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.encoding.stored_profiles import StoredProfiles
from service.engine.encoding.tower_pool import TowerPool
from service.engine.replica.follower import Follower
from service.engine.replica.snapshots import Snapshots


@dataclass(frozen=True, eq=False)
class Serving:
    """The parts that belong to one model version; several may be open at once.

    Attributes:
        manifest: of the model's bundle, at the width that is served.
        device: where the encoder really runs, `cpu` or `gpu`.
        pipeline: from profiles to vectors.
        stored: stored streamers as this model reads them.
        towers: encoders of single pieces.
        follower: the live index, kept equal to the store.
        snapshots: of that index.
    """

    manifest: Manifest
    device: str
    pipeline: EncodingPipeline
    stored: StoredProfiles
    towers: TowerPool
    follower: Follower
    snapshots: Snapshots

    @property
    def model_version(self) -> str:
        """The version of the model, as it is tagged onto each vector."""
        return self.manifest.model_version
