"""Smaller graphs of the same model: in half precision, and with weights of 8 bits.

They don't compute quite the same, so vectors of two variants must never be mixed: each is a model
version of its own.
"""

import hashlib
from typing import Annotated, Literal

from pydantic import Field

from model_export.contract.calibration import Part, Share
from model_export.contract.towers import TowerSpec

VariantName = Literal["fp16", "int8"]
VARIANTS: tuple[VariantName, ...] = ("fp16", "int8")


class VariantGraph(Part):
    """One graph in a variant, all others being the full ones.

    Attributes:
        graph: the file of the full graph.
        file: of the smaller one; None where it was refused, and the full one is used.
        refused: why it was.
        size_bytes, full_size_bytes: of the two.
        per_s, full_per_s: items a second of one core, in batches of 16.
        ndcg: mean NDCG@20 on held-out streamers.
        overlap: share of the 20 nearest that are the same as with the full graphs.
    """

    graph: str
    file: str | None
    refused: str = ""
    size_bytes: Annotated[int, Field(ge=0)] = 0
    full_size_bytes: Annotated[int, Field(ge=0)]
    per_s: Annotated[float, Field(ge=0)] = 0.0
    full_per_s: Annotated[float, Field(ge=0)]
    ndcg: Share = 0.0
    overlap: Share = 0.0


class Variant(Part):
    """What of a model is smaller.

    Attributes:
        name: of the variant.
        graphs: each graph of the bundle.
        queries, gallery: how many held-out streamers asked how many, on which it was judged.
        full_ndcg: mean NDCG@20 of the full graphs.
        ndcg, overlap: of all that are smaller together, as in `VariantGraph`.
    """

    name: VariantName
    graphs: list[VariantGraph]
    queries: Annotated[int, Field(gt=0)]
    gallery: Annotated[int, Field(gt=0)]
    full_ndcg: Share
    ndcg: Share
    overlap: Share

    @property
    def files(self) -> dict[str, str]:
        """File of a full graph -> file of the smaller one, where it was accepted."""
        return {graph.graph: graph.file for graph in self.graphs if graph.file is not None}

    def tower(self, spec: TowerSpec) -> TowerSpec:
        """A tower of this variant: its vectors are others, so it is another version."""
        if spec.file not in self.files:
            return spec
        version = hashlib.sha256(f"{spec.version} {self.name}".encode()).hexdigest()
        return spec.model_copy(update={"version": version})
