"""Commands that ask a running service; one module for each."""
