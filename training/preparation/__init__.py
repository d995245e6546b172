"""What a fit needs before its first step: stages of data, checks of leaks."""
