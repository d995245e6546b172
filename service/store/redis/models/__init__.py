"""Vectors of a second model beside those that are served, and which model serves."""
