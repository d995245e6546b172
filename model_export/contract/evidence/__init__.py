"""Evidence: what two profiles have in common, channel by channel, and what it is worth.

Two profiles get one match weight in the manner of Fellegi and Sunter ("A theory for record
linkage", 1969): each channel gives one of its levels, worth log2(m / u) bits, where m is the chance
of the level among pairs that are the same and u that among other pairs. Absent channels are worth
0. Training estimates the chances and the service applies them, so both compare by this package.

channels    channels and their levels
languages   what a translation leaves
keys        hashes of what can be shared, and how many bits sharing one is worth
sides       what is compared of one profile
comparison  levels of many pairs
shared_keys, shared_vectors  what the sides of pairs have in common
parameters  m, u, prior, threshold: `evidence.json`
packaged    parameters of bundles without that file
matching    weights, probabilities, verdicts
"""

from model_export.contract.evidence.channels import (
    ABSENT,
    CHANNELS,
    DIRECT,
    IDENTITY,
    MEDIA,
    NAMES_OF_CHANNELS,
    STYLE_CHANNELS,
    Channel,
    Levels,
)
from model_export.contract.evidence.comparison import SAME_VECTOR, Comparison
from model_export.contract.evidence.keys import (
    Frequencies,
    Worth,
    count_keys,
    key_of,
    letters_of,
    shingles,
)
from model_export.contract.evidence.languages import NO_LETTERS, are_two_scripts
from model_export.contract.evidence.matching import (
    JOINING,
    MATCHING_VERSION,
    VERDICTS,
    Matcher,
    Matches,
    Verdict,
)
from model_export.contract.evidence.packaged import packaged
from model_export.contract.evidence.parameters import (
    EVIDENCE,
    EVIDENCE_VERSION,
    ChannelParameters,
    EvidenceParameters,
    evidence_of,
)
from model_export.contract.evidence.sides import (
    CHANNELS_OF_KEYS,
    KEYED,
    VECTOR_KEYS,
    Side,
    all_folded,
    all_sound_like,
    as_read,
    contact_key,
    contact_texts,
    is_text,
    is_title,
    side_of,
    sounds_like,
    tag_key,
    telling_contacts,
    telling_pieces,
    title_letters,
)

__all__ = [
    "ABSENT",
    "CHANNELS",
    "CHANNELS_OF_KEYS",
    "DIRECT",
    "EVIDENCE",
    "EVIDENCE_VERSION",
    "IDENTITY",
    "JOINING",
    "KEYED",
    "MATCHING_VERSION",
    "MEDIA",
    "NAMES_OF_CHANNELS",
    "NO_LETTERS",
    "SAME_VECTOR",
    "STYLE_CHANNELS",
    "VECTOR_KEYS",
    "VERDICTS",
    "Channel",
    "ChannelParameters",
    "Comparison",
    "EvidenceParameters",
    "Frequencies",
    "Levels",
    "Matcher",
    "Matches",
    "Side",
    "Verdict",
    "Worth",
    "all_folded",
    "all_sound_like",
    "are_two_scripts",
    "as_read",
    "contact_key",
    "contact_texts",
    "count_keys",
    "evidence_of",
    "is_text",
    "is_title",
    "key_of",
    "letters_of",
    "packaged",
    "shingles",
    "side_of",
    "sounds_like",
    "tag_key",
    "telling_contacts",
    "telling_pieces",
    "title_letters",
]
