"""nn.Module -> a self-checking bundle folder."""

import inspect
import io
import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from google.protobuf.message import Message

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
    file_entry,
)
from model_export.contract.features import FeatureBatch, Featurizer, collate, fingerprint
from model_export.contract.vocabulary import Vocabulary
from model_export.golden import golden_profiles
from model_export.parity import check_parity
from model_export.source import ExportSource

OPSET = 18


def output_names(source: ExportSource) -> list[str]:
    """The graph's outputs, in order."""
    names = ["embedding", "content", "modality_weights"]
    return [*names, "id_embedding"] if source.id_space else names


def example_batch(vocabulary: Vocabulary, rows: int, tokens: int, vectors: int) -> FeatureBatch:
    """A random batch (B = rows, L = tokens, P = vectors) that uses every part of the graph.

    Each row has padding, so that a graph that reads it shows up in the parity check.
    """
    rng = np.random.default_rng(rows * 1000 + tokens)
    ids = rng.integers(1, vocabulary.size, (rows, tokens))
    live = np.arange(tokens)[None, :] < rng.integers(1, tokens + 1, (rows, 1))  # (B, L)
    batch: FeatureBatch = {
        "token_ids": ids * live,
        "token_counts": rng.integers(1, 9, (rows, tokens)) * live,
        "token_modality": rng.integers(1, 8, (rows, tokens)) * live,
    }
    for i, space in enumerate(vocabulary.spaces):
        live = np.arange(vectors)[None, :] < rng.integers(0, vectors + 1, (rows, 1))  # (B, P)
        values = rng.standard_normal((rows, vectors, space.width)).astype(np.float32)
        batch[f"vectors_{i}"] = values * live[:, :, None].astype(np.float32)
        batch[f"vectors_{i}_modality"] = rng.integers(8, 12, (rows, vectors)) * live
    return batch


def to_onnx(source: ExportSource) -> bytes:
    """The module as one ONNX graph with dynamic batch, token and vector axes."""
    batch = example_batch(source.vocabulary, rows=3, tokens=7, vectors=5)
    rows = torch.export.Dim("rows", min=1, max=4096)
    tokens = torch.export.Dim("tokens", min=1, max=4096)
    shapes: list[dict[int, torch.export.Dim]] = []
    for name in batch:
        inner = tokens
        if name.startswith("vectors_"):
            inner = torch.export.Dim(f"vectors_{name.split('_')[1]}", min=1, max=4096)
        shapes.append({0: rows, 1: inner})
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            source.module.eval(),
            tuple(torch.from_numpy(array) for array in batch.values()),
            input_names=list(batch),
            output_names=output_names(source),
            dynamic_shapes=_by_parameter(source.module, shapes),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    model = program.model_proto
    _drop_notes(model)
    return model.SerializeToString(deterministic=True)


def _by_parameter(module: torch.nn.Module, shapes: Sequence[object]) -> tuple[object, ...]:
    """The shapes of the inputs, those that `forward(..., *rest)` takes as `rest` in one tuple."""
    kinds = [p.kind for p in inspect.signature(module.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        return tuple(shapes)
    named = kinds.index(inspect.Parameter.VAR_POSITIONAL)
    return (*shapes[:named], tuple(shapes[named:]))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter's libraries warn of about themselves: parity is the test."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _drop_notes(message: Message) -> None:
    """Remove what the exporter notes for debugging, in subgraphs too.

    It tells paths of this machine, and would make the same model another version on the next one.
    """
    for field, value in message.ListFields():
        if field.name in ("doc_string", "metadata_props"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in (value,) if isinstance(value, Message) else value:
                _drop_notes(part)


def export_bundle(source: ExportSource, out: Path) -> Manifest:
    """Write and verify a bundle; `out` appears whole or not at all.

    Raises:
        ParityError: the graph computes something else than the module.
        FileExistsError: `out` exists and is not an empty folder.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists already; choose another folder or remove it")
    featurizer = Featurizer(source.vocabulary)
    golden = golden_profiles(source.vocabulary)
    encoder = to_onnx(source)
    parity = check_parity(
        source.module,
        encoder,
        output_names(source),
        [
            collate([featurizer(profile) for profile in golden]),
            *(collate([featurizer(profile)]) for profile in golden),
            example_batch(source.vocabulary, rows=1, tokens=1, vectors=1),
            example_batch(source.vocabulary, rows=33, tokens=300, vectors=17),
        ],
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        (partial / ENCODER).write_bytes(encoder)
        source.vocabulary.save(partial / VOCABULARY)
        lines = [json.dumps(p.dump(), ensure_ascii=False, sort_keys=True) for p in golden]
        (partial / GOLDEN).write_text("\n".join(lines) + "\n", encoding="utf-8")
        if source.established is not None:
            (partial / ESTABLISHED).write_bytes(_npz(*source.established))
        manifest = Manifest(
            schema_version=BUNDLE_SCHEMA_VERSION,
            model_version=_model_version(source.recipe, partial),
            recipe=source.recipe,
            dim=source.dim,
            content_dim=source.content_dim,
            id_space=source.id_space,
            duplicate_threshold=source.duplicate_threshold,
            data_digest=source.data_digest,
            config=source.config,
            metrics=source.metrics,
            parity=parity,
            features_fingerprint=fingerprint(featurizer, golden),
            files=_entries(partial),
            created_by=f"similar-streamer {version('similar-streamer')}",
        )
        (partial / CARD).write_text(model_card(manifest), encoding="utf-8")
        manifest = manifest.model_copy(update={"files": _entries(partial)})
        text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
        (partial / MANIFEST).write_text(text + "\n", encoding="utf-8")
        Bundle(partial)  # reads it as the service will
        _publish(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return manifest


def _npz(ids: Sequence[str], vectors: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, ids=np.array(ids, dtype=np.str_), vectors=vectors.astype(np.float32))
    return buffer.getvalue()


def _entries(folder: Path) -> dict[str, FileEntry]:
    files = sorted(p for p in folder.iterdir() if p.name != MANIFEST)
    return {p.name: file_entry(p.read_bytes()) for p in files}


def _model_version(recipe: str, folder: Path) -> str:
    """Equal for equal graphs and vocabularies, so that the same model is never two versions."""
    digests = [file_entry((folder / name).read_bytes()).sha256 for name in (ENCODER, VOCABULARY)]
    return f"{recipe}-{file_entry(''.join(digests).encode()).sha256[:12]}"


def _publish(partial: Path, out: Path) -> None:
    for path in partial.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    partial.chmod(0o755)
    if out.exists():
        out.rmdir()  # only an empty one gets here
    partial.rename(out)
    descriptor = os.open(out.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
