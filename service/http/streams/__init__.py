"""Answers that go on until there is no more to tell."""
