"""Model card of a bundle: description, measurements and limits of use."""

from model_export.contract.bundle import Manifest
from model_export.contract.calibration import Calibration, ScoreCalibration

_PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def model_card(manifest: Manifest) -> str:
    """Render the card as Markdown from a manifest."""
    rows = "\n".join(
        f"| {name} | {value:.4f} |" for name, value in sorted(manifest.metrics.items())
    )
    space = (
        f"It also predicts a vector in the ID space `{manifest.id_space.name}` "
        f"({manifest.id_space.dim} numbers)."
        if manifest.id_space
        else "It predicts no ID-embedding."
    )
    return f"""# {manifest.model_version}

An encoder that maps a streamer's public content to one embedding ({manifest.dim} numbers, unit
length) and a content sketch ({manifest.content_dim} numbers) for near-duplicates.
{space}{_widths(manifest)}

- recipe: `{manifest.recipe}`
- data digest: `{manifest.data_digest}`
- exported by: {manifest.created_by}
- near-duplicates from a content cosine of {manifest.duplicate_threshold.value:.3f}: \
{manifest.duplicate_threshold.source}
- ONNX Runtime against PyTorch: largest difference {manifest.parity.max_abs_diff:.1e}, smallest \
cosine {manifest.parity.min_cosine:.6f}

{_towers(manifest)}{_variants(manifest)}| measured on held-out streamers | |
| --- | --- |
{rows or "| nothing was measured | |"}
{_tasks(manifest)}
{_precision(manifest.calibration)}
The vectors describe a person's public activity and are personal data. A streamer without usable
content has no vector, and the service reports that. Scores of different models can't be compared,
and vectors of different models must never be mixed.
"""


def _tasks(manifest: Manifest) -> str:
    if not any(name.startswith("test_unseen_") for name in manifest.metrics):
        return ""
    return (
        "\n`seen`: new streamers search those that the encoder learned from. `unseen`: they search "
        "each other.\n`cold_start`: established streamers vote.\n"
    )


def _towers(manifest: Manifest) -> str:
    if not manifest.towers:
        return _tower_choice(manifest)
    lines = [
        "Pretrained towers encode single pieces to vectors, which the encoder reads:",
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
    return "\n".join(lines) + "\n\n" + _tower_choice(manifest)


def _tower_choice(manifest: Manifest) -> str:
    """Candidates that `text_tower=auto` judged."""
    choice = manifest.config.get("text_tower_choice")
    if not choice or not choice["trials"]:
        return ""
    lines = [
        f"`text_tower=auto` took {choice['reference'] or 'none'}, {choice['reason']}.",
        "",
        "| text tower | NDCG@20 on val | gain | ms of one core per new profile |",
        "| --- | --- | --- | --- |",
    ]
    for trial in choice["trials"]:
        name = f"`{trial['reference']}`" if trial["reference"] else "none"
        lines.append(
            f"| {name} | {trial['ndcg']:.4f} | {trial['gain']:+.1%} | {trial['profile_ms']:.1f} |"
        )
    return "\n".join(lines) + "\n\n"


def _variants(manifest: Manifest) -> str:
    """Size, speed and ranking of each quantised graph."""
    if not manifest.variants:
        return ""
    first = manifest.variants[0]
    lines = [
        f"Quantised graphs, checked by how {first.queries} validation queries rank {first.gallery} "
        f"streamers (NDCG@20 of the full graphs {first.full_ndcg:.4f}); items per second on one "
        "core of the exporting machine:",
        "",
        "| | graph | MB | full | 1/s | full | NDCG@20 | unchanged 20 nearest | |",
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
        lines += ["", f"Serve one with {usable}; each is a separate model version."]
    return "\n".join(lines) + "\n\n"


def _widths(manifest: Manifest) -> str:
    if not manifest.dims:
        return ""
    widths = " or ".join(map(str, manifest.dims))
    return (
        f"\nThe first {widths} numbers of an embedding, scaled to unit length, are a shorter "
        "embedding: serve it with `STREAMER_DIM`."
    )


def _precision(calibration: Calibration | None) -> str:
    if calibration is None:
        return "The precision of scores was not measured.\n"
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
    """Thresholds for round lower bounds of the precision, and the highest bound."""
    if not scores.curves:
        return f"{name}: precision {scores.source}.\n"
    lines = [
        f"{name}. Precision = share of relevant streamers among all that score at least as much; "
        f"{scores.source}; {scores.base_rate or 0:.2%} of all pairs are relevant.",
        "",
        "| queries | precision promised | score | precision measured | answers per query |",
        "| --- | --- | --- | --- | --- |",
    ]
    for curve in [*scores.curves, *scores.by_coverage]:
        found = {id(k): k for p in _PRECISIONS if (k := curve.threshold(p)) is not None}
        for knot in {**found, id(curve.strictest): curve.strictest}.values():
            lines.append(
                f"| {curve.describe()} | {knot.at_least:.3f} | {knot.score:.3f} | "
                f"{knot.precision:.3f} | {knot.answers:.2g} |"
            )
    return "\n".join(lines) + "\n"
