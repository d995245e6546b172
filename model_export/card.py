"""The model card of a bundle: what it is, what it was measured to do, and what it must not do."""

from model_export.contract.bundle import Manifest


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
content sketch ({manifest.content_dim} numbers) for near-duplicates. {space}

- recipe: `{manifest.recipe}`
- data digest: `{manifest.data_digest}`
- made by: {manifest.created_by}
- near-duplicates from a content cosine of {manifest.duplicate_threshold.value:.3f}: \
{manifest.duplicate_threshold.source}
- ONNX Runtime against PyTorch: largest difference {manifest.parity.max_abs_diff:.1e}, smallest \
cosine {manifest.parity.min_cosine:.6f}

| measured on held-out streamers | |
| --- | --- |
{rows or "| nothing was measured | |"}

The vectors describe a person's public activity and are personal data. A streamer without usable
content has no vector; the service says so instead of guessing. Scores of two models can't be
compared, and vectors of two models must never be mixed.
"""
