"""Prediction of ID-embeddings from content, fitted on a generation of a recommender's vectors."""
