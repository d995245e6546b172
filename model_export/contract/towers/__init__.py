"""Towers: frozen encoders that map one piece of a profile to one vector in a named space.

A tower's vector is added as a vector piece beside the piece that it encodes, so the featuriser and
the encoder treat it like a ready-made vector. Operations in this package are exact (tokenising,
padding, decoding, casts); all float operations, pooling and normalising included, are in the graph:

    text     input_ids, attention_mask int64 (B, L)   -> vector float32 (B, width)
    image    pixels uint8 (B, S, S, 3)                -> vector float32 (B, width)
    audio    samples float32 (B, N)                   -> vector float32 (B, width)

Vectors are rounded to float16 before use, as in the training cache, so serving and training see the
same numbers.
"""

from model_export.contract.towers.golden import golden_payloads, inputs_fingerprint
from model_export.contract.towers.inputs import (
    AudioInputs,
    Decoded,
    ImageInputs,
    Payload,
    Prepared,
    TowerBatch,
    TowerInputs,
    inputs_of,
)
from model_export.contract.towers.pieces import (
    media_at,
    payload_key,
    payload_of,
    pieces_for,
    vector_piece,
)
from model_export.contract.towers.spec import (
    KINDS,
    TOWERS,
    VECTOR,
    ReadKind,
    TextSpec,
    TowerKind,
    TowerSpec,
)

__all__ = [
    "KINDS",
    "TOWERS",
    "VECTOR",
    "AudioInputs",
    "Decoded",
    "ImageInputs",
    "Payload",
    "Prepared",
    "ReadKind",
    "TextSpec",
    "TowerBatch",
    "TowerInputs",
    "TowerKind",
    "TowerSpec",
    "golden_payloads",
    "inputs_fingerprint",
    "inputs_of",
    "media_at",
    "payload_key",
    "payload_of",
    "pieces_for",
    "vector_piece",
]
