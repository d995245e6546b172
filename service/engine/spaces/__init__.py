"""ID-embeddings that the recommender hands over, by generation, as a replica serves them."""
