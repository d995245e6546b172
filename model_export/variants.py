"""`python -m model_export.variants --bundle B --trial MODULE:FUNCTION --data DIR --out B2`.

Writes a copy of a bundle with quantised graphs beside the full ones. Each graph is checked alone,
and the accepted ones once more together, by how validation queries rank a gallery: NDCG@20 may fall
by less than 0.5 %, and 95 % of the 20 nearest must stay the same, also by shorter embeddings and by
predicted ID-embeddings. Refused graphs are left out; their figures are kept in the manifest.
"""

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_export.card import model_card
from model_export.contract.bundle import CARD, ENCODER, MANIFEST, Bundle, Manifest, file_entry
from model_export.contract.errors import ContractError
from model_export.contract.variants import VARIANTS, Variant, VariantGraph, VariantName
from model_export.errors import ExportError, GraphError, SourceError
from model_export.folder import new_folder
from model_export.loading import resolved, told
from model_export.quantize import quantize
from model_export.ranking_check import Ranked, RankingCheck, TowerVectors, Trial

MOST_LOST = 0.005
"""Largest relative loss of NDCG@20."""
LEAST_OVERLAP = 0.95
"""Smallest mean share of the 20 nearest that stay the same."""


def add_variants(bundle: Path, trial: Trial, out: Path) -> Manifest:
    """Write a copy of a bundle with quantised variants; `out` appears whole or not at all.

    Raises:
        BundleError: the bundle is damaged.
        SourceError: the trial is too small, or the full graphs find nobody relevant in it.
        GraphError: the full graphs can't be run.
        OSError: `out` exists and is not an empty folder, or can't be written.
    """
    with new_folder(out) as partial:
        full = Bundle(bundle)
        found = _Variants(full, RankingCheck(full, trial), trial)
        shutil.copytree(bundle, partial, dirs_exist_ok=True)
        variants: list[Variant] = []
        files = dict(full.manifest.files)
        for name in VARIANTS:
            variant, graphs = found.make(name)
            variants.append(variant)
            for file, graph in graphs.items():
                (partial / file).write_bytes(graph)
                files[file] = file_entry(graph)
        manifest = full.manifest.model_copy(update={"variants": variants, "files": files})
        card = model_card(manifest).encode()
        (partial / CARD).write_bytes(card)
        manifest = manifest.model_copy(update={"files": {**files, CARD: file_entry(card)}})
        text = manifest.model_dump_json(indent=2)
        (partial / MANIFEST).write_text(text + "\n", encoding="utf-8")
        for variant in variants:
            Bundle(partial, variant.name if variant.files else None)  # verifies like the service
    return manifest


@dataclass
class _Tried:
    """A quantised graph: manifest entry, bytes, and the vectors of a tower's graph."""

    entry: VariantGraph
    graph: bytes = b""
    vectors: TowerVectors | None = None

    @property
    def accepted(self) -> bool:
        return self.entry.file is not None

    def refuse(self, why: str) -> None:
        self.entry = self.entry.model_copy(update={"file": None, "refused": why})


class _Variants:
    """Quantises and checks the graphs of one bundle."""

    def __init__(self, bundle: Bundle, check: RankingCheck, trial: Trial) -> None:
        """Rank by the full graphs.

        Raises:
            SourceError: they find nobody relevant, so nothing can be lost.
            GraphError: they can't be run.
        """
        self._check, self._trial = check, trial
        self._specs = {spec.file: spec for spec in bundle.manifest.towers}
        self._graphs = {ENCODER: bundle.encoder_bytes()}
        self._graphs |= {file: bundle.tower_bytes(s.name) for file, s in self._specs.items()}
        self._vectors = {s.name: check.read(s, self._graphs[f]) for f, s in self._specs.items()}
        self._full = check.rank(self._graphs[ENCODER], self._vectors)
        if not self._full.queries:
            raise SourceError(
                f"none of {len(trial.queries)} queries shows content that the model reads; "
                "take the data set that it was trained on"
            )
        if not self._full.ndcg:
            raise SourceError(
                f"the full graphs find nobody relevant for any of {self._full.queries} queries "
                "(NDCG@20 is 0), so that nothing tells what a smaller graph loses; take more "
                "--streamers, or the data set that the model was trained on"
            )

    def make(self, name: VariantName) -> tuple[Variant, dict[str, bytes]]:
        """A variant, and file -> content of its graphs."""
        tried = [self._try(name, file) for file in self._graphs]
        while True:
            chosen = [one for one in tried if one.accepted]
            together = self._rank(chosen) if chosen else self._full
            why = self._why_not(together)
            if not why:
                break
            worst = min(chosen, key=lambda one: (one.entry.overlap, one.entry.ndcg))
            worst.refuse(f"with the others: {why}")
        variant = Variant(
            name=name,
            graphs=[one.entry for one in tried],
            queries=self._full.queries,
            gallery=len(self._trial.gallery),
            full_ndcg=self._full.ndcg,
            ndcg=together.ndcg,
            overlap=together.overlap(self._full),
        )
        return variant, {str(one.entry.file): one.graph for one in chosen}

    def _try(self, name: VariantName, file: str) -> _Tried:
        """Quantise and check one graph, with all others full."""
        spec, full = self._specs.get(file), self._graphs[file]
        entry = VariantGraph(
            graph=file,
            file=f"{file.removesuffix('.onnx')}.{name}.onnx",
            full_size_bytes=len(full),
            full_per_s=self._full.per_s if spec is None else self._vectors[spec.name].per_s,
        )
        tried = _Tried(entry)
        try:
            tried.graph = quantize(full, name)
            if spec is not None:
                tried.vectors = self._check.read(spec, tried.graph)
            ranked = self._rank([tried])
        except GraphError as error:
            tried.refuse(" ".join(str(error).split())[:300])
            return tried
        tried.entry = entry.model_copy(
            update={
                "size_bytes": len(tried.graph),
                "per_s": ranked.per_s if tried.vectors is None else tried.vectors.per_s,
                "ndcg": ranked.ndcg,
                "overlap": ranked.overlap(self._full),
            }
        )
        why = self._why_not(ranked)
        if why:
            tried.refuse(why)
        return tried

    def _rank(self, smaller: Sequence[_Tried]) -> Ranked:
        """Ranking with these graphs instead of the full ones."""
        encoder, vectors = self._graphs[ENCODER], dict(self._vectors)
        for one in smaller:
            spec = self._specs.get(one.entry.graph)
            if spec is None:
                encoder = one.graph
            elif one.vectors is not None:
                vectors[spec.name] = one.vectors
        return self._check.rank(encoder, vectors)

    def _why_not(self, ranked: Ranked) -> str:
        """Reason to refuse a ranking; empty if it is close enough to the full graphs."""
        overlaps = ranked.overlaps(self._full)
        changed = min(overlaps, key=lambda name: overlaps[name])
        if ranked.ndcg <= (1 - MOST_LOST) * self._full.ndcg:
            return f"NDCG@20 {ranked.ndcg:.4f}, with the full graphs {self._full.ndcg:.4f}"
        if overlaps[changed] < LEAST_OVERLAP:
            return (
                f"{overlaps[changed]:.1%} of the 20 nearest by {changed} stay, "
                f"{LEAST_OVERLAP:.0%} must"
            )
        return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Add variants to a bundle; exit status 0 = done, 1 = failed, 2 = wrong usage."""
    parser = argparse.ArgumentParser(
        prog="python -m model_export.variants",
        description="Add quantised graphs (fp16, int8) to a bundle.",
    )
    parser.add_argument(
        "--bundle", type=Path, required=True, help="bundle folder of the exported model"
    )
    parser.add_argument(
        "--trial",
        type=resolved,
        required=True,
        help="import string of a function (data set folder, number of streamers) -> Trial, such as "
        "training.inference.trial:load_trial",
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="data set folder with a validation split"
    )
    parser.add_argument(
        "--streamers", type=int, default=1000, help="most streamers to use (default: 1000)"
    )
    parser.add_argument("--out", type=Path, required=True, help="bundle folder to write")
    args = parser.parse_args(arguments)
    make: Callable[[Path, int], Trial] = args.trial
    try:
        manifest = add_variants(args.bundle, make(args.data, args.streamers), args.out)
    except (ExportError, ContractError, OSError, ValueError) as error:
        sys.stderr.write(f"error: {told(error, '--bundle, --data and --out')}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    for variant in manifest.variants:
        kept = ", ".join(variant.files) or "nothing accepted"
        sys.stdout.write(
            f"{variant.name}: {kept}; NDCG@20 {variant.ndcg:.4f} of {variant.full_ndcg:.4f}\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
