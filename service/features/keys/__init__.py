"""API keys: made, listed, changed, rotated and revoked; tokens of an identity provider."""
