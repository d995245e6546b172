"""Towers: frozen encoders that turn one piece of a profile into one vector in a named space.

A tower's vector becomes a vector piece beside the piece that it was made of, so to the featuriser
and the encoder it is as if it had come ready-made. What is done here is exact (tokenising, padding,
decoding, casts); every float operation, the pooling and the norm too, is inside the tower's graph:

    text     input_ids, attention_mask int64 (B, L)   -> vector float32 (B, width)
    image    pixels uint8 (B, S, S, 3)                -> vector float32 (B, width)
    audio    samples float32 (B, N)                   -> vector float32 (B, width)

Vectors are rounded to float16 before they are used, since training keeps them so: what is served is
what was learned from.
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
