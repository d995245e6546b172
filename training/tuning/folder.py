"""Saving of a tuned tower as a Hugging Face folder, loadable by `hf:FOLDER`."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from training.errors import OutputError
from training.models.checkpoint import LEARNED_FROM
from training.towers import Tower
from training.towers.image import SCALING
from training.towers.packages import hugging_face_library
from training.towers.text import MAX_TOKENS, HuggingFaceText, write_own_options
from training.tuning.trainable import hugging_face_encoder
from training.tuning.tune import Options, Tuned

RECORD = "tuning.json"


def check_free(folder: Path) -> None:
    """Check that the folder does not exist.

    Raises:
        OutputError: it exists.
    """
    if folder.exists():
        raise OutputError(f"{folder} exists already; choose another --out")


def write_tuned(tuned: Tuned, options: Options, data_digest: str, folder: Path) -> None:
    """Write model, preprocessing and training record atomically.

    Args:
        tuned: the tuned tower.
        options: options of the tuning.
        data_digest: digest of the data set.
        folder: new folder.

    Raises:
        OutputError: the folder exists, or can't be written.
    """
    check_free(folder)
    encoder: Any = hugging_face_encoder(tuned.module)
    record = {
        "tower": tuned.tower.description(),
        "options": asdict(options),
        "data_digest": data_digest,
        "metric": tuned.metric,
        "history": tuned.history,
        "step": tuned.step,
        **tuned.counts,
    }
    partial = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        encoder.save_pretrained(partial)
        _write_reading(tuned, encoder.name_or_path, partial)
        (partial / LEARNED_FROM).write_text("\n".join(tuned.learned_from), encoding="utf-8")
        (partial / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        partial.chmod(0o755)  # temporary folders are private
        partial.rename(folder)
    except OSError as error:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
        raise OutputError(
            f"{folder} can't be written: {error.strerror}; choose another folder"
        ) from error


def _write_reading(tuned: Tuned, where: str, folder: Path) -> None:
    """Write the tokenizer and its options, or the scaling of pictures."""
    spec = tuned.tower.spec
    transformers = hugging_face_library("--tower")
    if spec.image is not None:
        shutil.copyfile(transformers.utils.cached_file(where, SCALING), folder / SCALING)
    if spec.text is not None:
        tokenizer = transformers.AutoTokenizer.from_pretrained(where, use_fast=True)
        tokenizer.save_pretrained(folder)
        assert isinstance(tuned.module, HuggingFaceText)
        write_own_options(folder, tuned.module.pooling, spec.text, spec.width)


def setting_of(tower: Tower, folder: Path) -> str:
    """Setting that uses the tuned folder with the options of the original tower.

    Options that the folder itself stores are omitted.
    """
    given: Mapping[str, str] = dict(
        parse_qsl(tower.reference.partition("?")[2], keep_blank_values=True)
    )
    kept = {name: value for name, value in given.items() if name in ("modalities", "kinds")}
    if int(given.get("max_tokens", "0")) > MAX_TOKENS:
        kept["max_tokens"] = given["max_tokens"]
    options = "?" + urlencode(kept, safe=",") if kept else ""
    return f"{tower.spec.kind}_tower=hf:{folder}{options}"
