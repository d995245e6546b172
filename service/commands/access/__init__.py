"""Commands about who may ask, what is written down of it, and what is erased."""
