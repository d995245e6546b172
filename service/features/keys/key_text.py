"""The text of an API key: `ssk_`, key id, `_`, 256 random bits, and a checksum of all that."""

import hashlib
import re
import secrets
import zlib

PREFIX = "ssk_"
ID_PATTERN = r"^[0-9a-f]{12}$"
_KEY = re.compile(rf"{PREFIX}([0-9a-f]{{12}})_[0-9a-f]{{64}}[0-9a-f]{{8}}")
_CHECKSUM_CHARS = 8


def new_id() -> str:
    """A new key id: 48 random bits, which are no secret."""
    return secrets.token_hex(6)


def new_key(key_id: str) -> str:
    """A new key."""
    text = f"{PREFIX}{key_id}_{secrets.token_hex(32)}"
    return text + _checksum(text)


def id_in(key: str) -> str | None:
    """The key id in a key; None if the key is mistyped, cut off or none of this service."""
    found = _KEY.fullmatch(key)
    if found is None or _checksum(key[:-_CHECKSUM_CHARS]) != key[-_CHECKSUM_CHARS:]:
        return None
    return found[1]


def digest_of(key: str) -> str:
    """SHA-256 hex of a key.

    No slow hash with a salt as for passwords: nobody can try 2^256 random keys.
    """
    return hashlib.sha256(key.encode()).hexdigest()


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
