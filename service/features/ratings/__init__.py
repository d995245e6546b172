"""Judgements of relevance: how well answers fit their questions, as people say."""
