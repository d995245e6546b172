"""Nearest neighbours and products of large matrices, in blocks."""
