"""Export of a trained encoder to a self-checking bundle folder."""

import json
import math
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from model_export.card import model_card
from model_export.contract.bundle import (
    BUNDLE_SCHEMA_VERSION,
    CARD,
    ENCODER,
    ESTABLISHED,
    GOLDEN,
    MANIFEST,
    VOCABULARY,
    Bundle,
    FileEntry,
    Manifest,
    Parity,
    TowerCheck,
    file_entry,
)
from model_export.contract.errors import first_problem
from model_export.contract.evidence import EVIDENCE, evidence_of
from model_export.contract.features import Featurizer, collate, fingerprint
from model_export.contract.streamer import StreamerProfile
from model_export.contract.towers import TOWERS
from model_export.errors import SourceError
from model_export.folder import new_folder
from model_export.golden import golden_profiles
from model_export.graph import check_outputs, example_batch, output_names, to_onnx
from model_export.parity import check_parity
from model_export.source import ExportSource, TowerSource
from model_export.towers import check_towers, tower_to_onnx


def export_bundle(source: ExportSource, out: Path) -> Manifest:
    """Write and verify a bundle; `out` appears whole or not at all.

    Raises:
        SourceError: the source violates its contract.
        GraphError: the module can't be converted to a graph that ONNX Runtime runs.
        ParityError: the graph deviates from the module.
        BundleError: the written folder can't be read as a bundle.
        OSError: `out` exists and is not an empty folder, or can't be written.
    """
    with new_folder(out) as partial:
        golden = golden_profiles(source.vocabulary)
        check_towers(source)
        encoder, parity = _checked_graph(source, golden)
        towers = [tower_to_onnx(tower, golden) for tower in source.towers]
        (partial / ENCODER).write_bytes(encoder)
        source.vocabulary.save(partial / VOCABULARY)
        lines = [json.dumps(p.dump(), ensure_ascii=False, sort_keys=True) for p in golden]
        (partial / GOLDEN).write_text("\n".join(lines) + "\n", encoding="utf-8")
        if source.established is not None:
            (partial / ESTABLISHED).write_bytes(source.established.dump())
        if source.evidence is not None:
            text = source.evidence.model_dump_json(indent=2)
            (partial / EVIDENCE).write_text(text + "\n", encoding="utf-8")
        for tower, (graph, _) in zip(source.towers, towers, strict=True):
            _write_tower(partial, tower, graph)
        manifest = _manifest(source, partial, golden, parity, [found for _, found in towers])
        (partial / CARD).write_text(model_card(manifest), encoding="utf-8")
        manifest = manifest.model_copy(update={"files": _entries(partial)})
        text = manifest.model_dump_json(indent=2)
        (partial / MANIFEST).write_text(text + "\n", encoding="utf-8")
        bundle = Bundle(partial)  # verifies like the service
        bundle.established()
        evidence_of(bundle)
        for spec in manifest.towers:
            bundle.tower_inputs(spec.name)
    return bundle.manifest


def _checked_graph(source: ExportSource, golden: Sequence[StreamerProfile]) -> tuple[bytes, Parity]:
    featurizer = Featurizer(source.vocabulary, source.folding_version)
    features = [featurizer(profile) for profile in golden]
    usable = [f for f in features if f.usable]
    if not usable:
        raise SourceError("the vocabulary knows no token and no space: there is nothing to encode")
    check_outputs(source, usable)
    encoder = to_onnx(source)
    batches = [
        collate(features),
        *(collate([f]) for f in features),
        example_batch(source.vocabulary, rows=1, tokens=1, vectors=1),
        example_batch(source.vocabulary, rows=33, tokens=300, vectors=17),
    ]
    return encoder, check_parity(source.module, encoder, output_names(source), batches)


def _write_tower(folder: Path, tower: TowerSource, graph: bytes) -> None:
    (folder / TOWERS).mkdir(exist_ok=True)
    (folder / tower.spec.file).write_bytes(graph)
    if tower.spec.tokenizer_file is not None and tower.tokenizer is not None:
        (folder / tower.spec.tokenizer_file).write_bytes(tower.tokenizer)


def _manifest(
    source: ExportSource,
    folder: Path,
    golden: Sequence[StreamerProfile],
    parity: Parity,
    tower_checks: Sequence[TowerCheck],
) -> Manifest:
    featurizer = Featurizer(source.vocabulary, source.folding_version)
    try:
        return Manifest(
            schema_version=BUNDLE_SCHEMA_VERSION,
            model_version=_model_version(source, folder),
            recipe=source.recipe,
            dim=source.dim,
            dims=list(source.dims),
            content_dim=source.content_dim,
            id_space=source.id_space,
            duplicate_threshold=source.duplicate_threshold,
            calibration=source.calibration,
            data_digest=source.data_digest,
            config=source.config,
            # NaN stands for "not measured" and is not valid JSON.
            metrics={k: v for k, v in source.metrics.items() if math.isfinite(v)},
            parity=parity,
            towers=[tower.spec for tower in source.towers],
            tower_checks=list(tower_checks),
            features_fingerprint=fingerprint(featurizer, golden),
            files=_entries(folder),
            folding_version=source.folding_version,
            created_by=f"similar-streamer {version('similar-streamer')}",
        )
    except ValidationError as error:
        raise SourceError(f"the manifest is invalid: {first_problem(error)}") from error


def _entries(folder: Path) -> dict[str, FileEntry]:
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    return {n: file_entry((folder / n).read_bytes()) for n in names if n != MANIFEST}


def _model_version(source: ExportSource, folder: Path) -> str:
    """Version derived from graphs and vocabulary, so equal models have equal versions."""
    names = [ENCODER, VOCABULARY, *(name for t in source.towers for name in t.spec.files)]
    digests = [file_entry((folder / name).read_bytes()).sha256 for name in names]
    return f"{source.recipe}-{file_entry(''.join(digests).encode()).sha256[:12]}"
