"""What a recommender does by the command line."""
