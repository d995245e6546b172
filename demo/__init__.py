"""The whole path in one command; see `demo.__main__`."""
