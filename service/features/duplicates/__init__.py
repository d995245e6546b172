"""Duplicates over the whole corpus: groups with stable ids, and judgements of people."""
