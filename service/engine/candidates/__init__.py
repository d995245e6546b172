"""Who may be a duplicate of whom, over the whole corpus."""
