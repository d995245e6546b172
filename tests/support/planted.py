"""Bundles with tables of tokens as a training would leave them, good or broken."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from model_export.contract.bundle import ENCODER, MANIFEST, Bundle, file_entry
from model_export.contract.calibration import Calibration
from model_export.contract.text import label_token, text_tokens
from model_export.contract.vocabulary import Vocabulary
from tests.support.bundles import CALIBRATION, TOPICS, write_bundle, write_manifest

Table = NDArray[np.float32]


def learned(table: Table, words: Vocabulary) -> Table:
    """A table whose words of one topic have similar vectors."""
    rng = np.random.default_rng(1)
    number = {token: i for i, token in enumerate(words.tokens, start=1)}
    for topic, text in TOPICS.items():
        center = rng.standard_normal(table.shape[1])
        tokens = {*text_tokens(f"{topic} {text}")}
        for tag in (topic, *text.split()):
            tokens.update(label_token("t", tag))
        for token in sorted(tokens & number.keys()):
            table[number[token]] = center + 0.8 * rng.standard_normal(table.shape[1])
    return table


def learned_again(table: Table, words: Vocabulary) -> Table:
    """As if the training had been repeated: similar, not equal."""
    found = learned(table, words)
    noise = 0.2 * np.random.default_rng(5).standard_normal(found.shape)
    noise[1 + len(words.tokens) :] = noise[0] = 0  # as unknown tokens
    return (found + noise).astype(np.float32)


def shuffled(table: Table, words: Vocabulary) -> Table:
    """As if rows and words had been mixed up after the training."""
    found, known = learned(table, words), len(words.tokens)
    found[1 : 1 + known] = found[1 + np.random.default_rng(2).permutation(known)]
    return found


def constant(table: Table, words: Vocabulary) -> Table:
    """As if the training had collapsed: any profile gets one vector, almost."""
    table[1 : 1 + len(words.tokens)] += 100
    return table


def model(
    folder: Path,
    change: Callable[[Table, Vocabulary], Table],
    calibration: Calibration | None = CALIBRATION,
    seed: int = 0,
) -> Path:
    """A bundle, whole and self-consistent, with another table; its seed is its version."""
    write_bundle(folder, calibration=calibration, seed=seed)
    words = Bundle(folder).featurizer.vocabulary
    graph = onnx.load_model_from_string((folder / ENCODER).read_bytes())
    for tensor in graph.graph.initializer:
        if tensor.name == "table":
            table = change(numpy_helper.to_array(tensor).copy(), words)
            tensor.CopyFrom(numpy_helper.from_array(table.astype(np.float32), "table"))
    content = graph.SerializeToString()
    (folder / ENCODER).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][ENCODER] = file_entry(content).model_dump()
    write_manifest(folder, manifest)
    return folder
