"""What the first bytes of a file tell: that it has no lines of text, and what to do."""

import codecs

PARQUET = b"PAR1"
BEGIN_BYTES = 4
_REMEDIES = {
    b"\x1f\x8b": "is compressed with gzip: unpack it first (gunzip)",
    b"\x28\xb5\x2f\xfd": "is compressed with Zstandard: unpack it first (unzstd)",
    codecs.BOM_UTF16_LE: "is UTF-16: save it as UTF-8",
    codecs.BOM_UTF16_BE: "is UTF-16: save it as UTF-8",
}


def no_lines(begin: bytes, of_parquet: str = "is a Parquet file") -> str | None:
    """Why the file that begins so has no lines of UTF-8, and what to do; None if it may have.

    Args:
        begin: its first `BEGIN_BYTES`.
        of_parquet: what to say of a Parquet file.
    """
    for magic, told in {PARQUET: of_parquet, **_REMEDIES}.items():
        if begin.startswith(magic):
            return told
    return None
