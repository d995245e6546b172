"""Quantised variants of a model: graphs in half precision (fp16) or with 8-bit weights (int8).

Their outputs deviate from the full graphs, so vectors of two variants must never be mixed: each
variant is a separate model version.
"""

import hashlib
from typing import Annotated, Literal

from pydantic import Field

from model_export.contract.calibration import Part, Share
from model_export.contract.towers import TowerSpec

VariantName = Literal["fp16", "int8"]
VARIANTS: tuple[VariantName, ...] = ("fp16", "int8")


class VariantGraph(Part):
    """Ranking check of one quantised graph, with all other graphs full.

    Attributes:
        graph: file of the full graph.
        file: file of the quantised graph; None if it was refused and the full graph is used.
        refused: reason of the refusal.
        size_bytes, full_size_bytes: sizes of the quantised and the full graph.
        per_s, full_per_s: items per second on one core, in batches of 16.
        ndcg: mean NDCG@20 of validation queries.
        overlap: mean share of the 20 nearest that are unchanged, by the kind of vector (embedding,
            a shorter one, ID-embedding) that changes most.
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
    """A quantised variant of a model.

    Attributes:
        name: of the variant.
        graphs: one entry per graph of the bundle.
        queries, gallery: numbers of validation queries with usable content, and of searched
            streamers.
        full_ndcg: mean NDCG@20 of the full graphs.
        ndcg, overlap: of all accepted graphs together, like in `VariantGraph`.
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
        """File of a full graph -> file of its accepted quantised graph."""
        return {graph.graph: graph.file for graph in self.graphs if graph.file is not None}

    def tower(self, spec: TowerSpec) -> TowerSpec:
        """Tower specification in this variant; a quantised tower is another tower version."""
        if spec.file not in self.files:
            return spec
        version = hashlib.sha256(f"{spec.version} {self.name}".encode()).hexdigest()
        return spec.model_copy(update={"version": version})
