"""Teachers: a recommender's ID-embeddings, and noise in what they tell."""
