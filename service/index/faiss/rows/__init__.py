"""Rows of the index: vectors, attributes as bitmaps, rarely read fields on disk."""
