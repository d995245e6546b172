"""Text towers: Hugging Face encoders, from a folder or by name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from model_export.contract.towers import KINDS, ReadKind, TextSpec
from training.errors import UsageError
from training.towers.base import Tower, make_tower, with_learned_from
from training.towers.packages import hugging_face_library

MODALITIES = ("bio", "videos", "lives")
"""Default modalities of a text tower; names identify streamers rather than content."""
MAX_TOKENS = 128
"""Default truncation; titles are much shorter, and the time grows with the length."""
Pooling = Literal["mean", "cls"]
_POOLING = Path("1_Pooling/config.json")
_LENGTH = Path("sentence_bert_config.json")
_PROMPTS = Path("config_sentence_transformers.json")


@dataclass(frozen=True)
class TextOptions:
    """Options of a text tower; None = from the model's folder, or the default.

    Attributes:
        pooling: `mean` over the tokens, or `cls` for the first token.
        prefix: prepended to every text, such as `query: ` for e5.
        max_tokens: longer texts are truncated.
        modalities: modalities to read.
        kinds: piece kinds to read: `text`, `tag`, `category`.
    """

    pooling: Pooling | None = None
    prefix: str | None = None
    max_tokens: int | None = None
    modalities: tuple[str, ...] = MODALITIES
    kinds: tuple[ReadKind, ...] = ("text",)

    @classmethod
    def parse(cls, reference: str, given: Mapping[str, str]) -> "TextOptions":
        """Parse options given as strings.

        Raises:
            UsageError: an option or its value is invalid.
        """
        pooling, most = given.get("pooling"), given.get("max_tokens")
        modalities = _listed(given.get("modalities"), MODALITIES)
        kinds = _listed(given.get("kinds"), ("text",))
        for option, values, valid in (
            ("option", given, [field.name for field in fields(cls)]),
            ("pooling", [pooling] if pooling is not None else [], get_args(Pooling)),
            ("modality", modalities, KINDS["text"]),
            ("kind", kinds, get_args(ReadKind)),
        ):
            unknown = sorted(set(values) - set(valid))
            if unknown:
                raise UsageError(
                    f"text_tower={reference}: unknown {option} {unknown[0]!r}; "
                    f"there are: {', '.join(valid)}"
                )
        if most is not None and not (most.isdecimal() and 3 <= int(most) <= 8192):
            raise UsageError(f"text_tower={reference}: max_tokens is a number from 3 to 8192")
        return cls(
            pooling=cast(Pooling | None, pooling),
            prefix=given.get("prefix"),
            max_tokens=None if most is None else int(most),
            modalities=modalities,
            kinds=cast(tuple[ReadKind, ...], kinds),
        )


def _listed(given: str | None, default: tuple[str, ...]) -> tuple[str, ...]:
    return default if given is None else tuple(dict.fromkeys(given.split(",")))


class HuggingFaceText(nn.Module):
    """Transformers encoder with pooling and normalisation."""

    def __init__(self, encoder: nn.Module, pooling: Pooling) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling: Pooling = pooling

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Unit vectors (B, W) of tokens (B, L) and their mask (B, L), 0 = padding."""
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask
        ).last_hidden_state  # (B, L, W)
        if self.pooling == "cls":
            return functional.normalize(hidden[:, 0], dim=-1)
        present = attention_mask.to(hidden.dtype).unsqueeze(-1)  # (B, L, 1)
        mean = (hidden * present).sum(1) / present.sum(1).clamp(min=1)
        return functional.normalize(mean, dim=-1)


def hugging_face(where: str, options: TextOptions, reference: str, name: str) -> Tower:
    """Tower of a Hugging Face text encoder.

    Args:
        where: folder, or name of a downloadable or cached model.
        options: options of the tower.
        reference: setting that recreates the tower.
        name: name of the tower.

    Raises:
        UsageError: transformers is not installed, or the model can't be loaded.
    """
    transformers = hugging_face_library("text_tower")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(where, use_fast=True)
        encoder = transformers.AutoModel.from_pretrained(where, dtype=torch.float32)
    except (OSError, ValueError, ImportError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"text_tower={reference}: {where} can't be loaded ({reason}); give the folder of an "
            "encoder, or the name of a downloadable or cached model"
        ) from error
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UsageError(
            f"text_tower={reference}: {where} has no fast tokenizer; save it with a tokenizer.json"
        )
    own = _own_options(Path(where))
    most = min(
        options.max_tokens or own.max_tokens or MAX_TOKENS,
        MAX_TOKENS if options.max_tokens is None else options.max_tokens,
        int(tokenizer.model_max_length),
        int(getattr(encoder.config, "max_position_embeddings", 8192)),
    )
    text = TextSpec(
        max_tokens=most,
        prefix=(own.prefix or "") if options.prefix is None else options.prefix,
        pad_id=int(tokenizer.pad_token_id or 0),
        kinds=list(options.kinds),
    )
    pooling = options.pooling or own.pooling or "mean"
    tower = make_tower(
        HuggingFaceText(encoder, pooling),
        text,
        tokenizer=backend.to_str().encode(),
        name=name,
        width=int(encoder.config.hidden_size),
        modalities=options.modalities,
        reference=reference,
        detail=f"pooling={pooling}",
    )
    return with_learned_from(tower, where)


def _own_options(folder: Path) -> TextOptions:
    """Options stored in a sentence-transformers folder; defaults for other folders."""
    pooling = _json(folder / _POOLING)
    length = _json(folder / _LENGTH).get("max_seq_length")
    prompts = _json(folder / _PROMPTS)
    named = prompts.get("prompts")
    prefix = named.get(prompts.get("default_prompt_name")) if isinstance(named, dict) else None
    return TextOptions(
        pooling=("cls" if pooling.get("pooling_mode_cls_token") else "mean") if pooling else None,
        prefix=prefix if isinstance(prefix, str) else None,
        max_tokens=length if isinstance(length, int) else None,
    )


def write_own_options(folder: Path, pooling: Pooling, text: TextSpec, width: int) -> None:
    """Store options in a folder, in the format of sentence-transformers.

    Raises:
        OSError: the folder is not writable.
    """
    said: dict[Path, dict[str, Any]] = {
        _POOLING: {
            "word_embedding_dimension": width,
            "pooling_mode_cls_token": pooling == "cls",
            "pooling_mode_mean_tokens": pooling == "mean",
        },
        _LENGTH: {"max_seq_length": text.max_tokens},
        _PROMPTS: {"prompts": {"text": text.prefix}, "default_prompt_name": "text"},
    }
    for file, content in said.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
