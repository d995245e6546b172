"""Spaces: ID-embeddings that the recommender hands over, by generation."""
