"""The model card of a bundle: what it is, what it was measured to do, and what it must not do."""

from model_export.contract.bundle import Manifest
from model_export.contract.calibration import Calibration, ScoreCalibration

_PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def model_card(manifest: Manifest) -> str:
    """Markdown, made from the manifest alone."""
    rows = "\n".join(
        f"| {name} | {value:.4f} |" for name, value in sorted(manifest.metrics.items())
    )
    space = (
        f"It also predicts a vector in the ID space `{manifest.id_space.name}` "
        f"({manifest.id_space.dim} numbers)."
        if manifest.id_space
        else "It knows no ID space."
    )
    return f"""# {manifest.model_version}

One vector ({manifest.dim} numbers, unit length) per streamer, from what the streamer shows, and a
content sketch ({manifest.content_dim} numbers) for near-duplicates. {space}{_widths(manifest)}

- recipe: `{manifest.recipe}`
- data digest: `{manifest.data_digest}`
- made by: {manifest.created_by}
- near-duplicates from a content cosine of {manifest.duplicate_threshold.value:.3f}: \
{manifest.duplicate_threshold.source}
- ONNX Runtime against PyTorch: largest difference {manifest.parity.max_abs_diff:.1e}, smallest \
cosine {manifest.parity.min_cosine:.6f}

{_towers(manifest)}{_variants(manifest)}| measured on held-out streamers | |
| --- | --- |
{rows or "| nothing was measured | |"}

{_precision(manifest.calibration)}
The vectors describe a person's public activity and are personal data. A streamer without usable
content has no vector; the service says so instead of guessing. Scores of two models can't be
compared, and vectors of two models must never be mixed.
"""


def _towers(manifest: Manifest) -> str:
    if not manifest.towers:
        return ""
    lines = [
        "Pretrained towers turn single pieces into vectors, which the encoder reads:",
        "",
        "| tower | reads | numbers | MB | largest difference from PyTorch |",
        "| --- | --- | --- | --- | --- |",
    ]
    checks = {check.name: check for check in manifest.tower_checks}
    for spec in manifest.towers:
        entry = manifest.files.get(spec.file)
        size = "" if entry is None else f"{entry.size_bytes / 1e6:.1f}"
        check = checks.get(spec.name)
        gap = "" if check is None else f"{check.max_abs_diff:.1e}"
        reads = f"{spec.kind} of {', '.join(spec.modalities)}"
        lines.append(f"| `{spec.name}` | {reads} | {spec.width} | {size} | {gap} |")
    return "\n".join(lines) + "\n\n"


def _variants(manifest: Manifest) -> str:
    """Size, speed and ranking of each smaller graph."""
    if not manifest.variants:
        return ""
    first = manifest.variants[0]
    lines = [
        f"Smaller graphs, judged by how {first.queries} held-out streamers rank {first.gallery} "
        f"others (NDCG@20 with the full graphs {first.full_ndcg:.4f}); items a second of one core "
        "where it was exported:",
        "",
        "| | graph | MB | full | 1/s | full | NDCG@20 | same of the 20 nearest | |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for variant in manifest.variants:
        for graph in variant.graphs:
            size, full = (f"{n / 1e6:.1f}" for n in (graph.size_bytes, graph.full_size_bytes))
            measured = f"{size} | {full} | {graph.per_s:.0f} | {graph.full_per_s:.0f} | "
            measured += f"{graph.ndcg:.4f} | {graph.overlap:.1%}"
            if not graph.size_bytes:
                measured = f"| {full} | | {graph.full_per_s:.0f} | |"
            said = f"refused: {graph.refused}" if graph.refused else ""
            lines.append(f"| {variant.name} | `{graph.graph}` | {measured} | {said} |")
        if variant.files:
            ranked = f"{variant.ndcg:.4f} | {variant.overlap:.1%}"
            lines.append(f"| {variant.name} | together | | | | | {ranked} | |")
    usable = " or ".join(f"`STREAMER_VARIANT={v.name}`" for v in manifest.variants if v.files)
    if usable:
        lines += ["", f"Serve them with {usable}: another model version."]
    return "\n".join(lines) + "\n\n"


def _widths(manifest: Manifest) -> str:
    if not manifest.dims:
        return ""
    widths = " or ".join(map(str, manifest.dims))
    return (
        f"\nThe first {widths} numbers of a vector, scaled to unit length, are a shorter one: "
        "serve it with `STREAMER_DIM`."
    )


def _precision(calibration: Calibration | None) -> str:
    if calibration is None:
        return "Which precision a score promises was not measured.\n"
    return "\n".join(
        _table(name, scores)
        for name, scores in (
            ("Similar streamers: cosine of embeddings", calibration.embedding),
            *(
                (f"Similar streamers: cosine of embeddings of {width} numbers", scores)
                for width, scores in calibration.shorter.items()
            ),
            ("Near-duplicates: cosine of content sketches", calibration.content),
        )
    )


def _table(name: str, scores: ScoreCalibration) -> str:
    """Thresholds for round precisions, and the highest that can be promised."""
    if not scores.curves:
        return f"{name}: precision {scores.source}.\n"
    lines = [
        f"{name}. Precision = share of right ones among all that score at least so much; "
        f"{scores.source}; {scores.base_rate or 0:.2%} of all pairs are right.",
        "",
        "| queries | precision promised | score | precision measured | answers per query |",
        "| --- | --- | --- | --- | --- |",
    ]
    for curve in scores.curves:
        found = {id(k): k for p in _PRECISIONS if (k := curve.threshold(p)) is not None}
        for knot in {**found, id(curve.strictest): curve.strictest}.values():
            lines.append(
                f"| {curve.describe()} | {knot.at_least:.3f} | {knot.score:.3f} | "
                f"{knot.precision:.3f} | {knot.answers:.2g} |"
            )
    return "\n".join(lines) + "\n"
