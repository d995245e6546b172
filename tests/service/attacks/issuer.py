"""An identity provider: its key, the document that publishes it, and parts of tokens."""

import base64
import json
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

ISSUER = "https://login.example.org/"
GRANTS = {"team": "admin"}
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def published() -> str:
    """The document with the provider's public key."""
    public = RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
    return json.dumps({"keys": [{**public, "kid": "a", "alg": "RS256", "use": "sig"}]})


def claims(**changes: Any) -> dict[str, Any]:
    """Claims of an admin; what is None is left out."""
    now = time.time()
    known = {"iss": ISSUER, "aud": "similar-streamer", "sub": "somebody", "scope": "team"}
    wanted = {**known, "iat": now - 60, "exp": now + 600, **changes}
    return {name: value for name, value in wanted.items() if value is not None}


def coded(value: Any) -> str:
    """A part of a token: bytes, or what becomes JSON."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
