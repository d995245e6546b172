"""What the first bytes of a file tell: that it has no lines of text, and what to do."""

PARQUET = b"PAR1"
BEGIN_BYTES = 4
_REMEDIES = {
    PARQUET: "is a Parquet file, which `encode` and imports (POST /v1/jobs/imports) read: "
    "give lines of JSON",
    b"\x1f\x8b": "is compressed with gzip: unpack it first (gunzip)",
    b"\x28\xb5\x2f\xfd": "is compressed with Zstandard: unpack it first (unzstd)",
    b"\xff\xfe": "is UTF-16: save it as UTF-8",
    b"\xfe\xff": "is UTF-16: save it as UTF-8",
}


def no_lines(begin: bytes) -> str | None:
    """Why the file that begins so has no lines of UTF-8, and what to do; None if it may have."""
    for magic, told in _REMEDIES.items():
        if begin.startswith(magic):
            return told
    return None
