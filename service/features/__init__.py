"""What a caller can ask for; one folder per feature."""
