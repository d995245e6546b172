"""Which model serves, and which one is about to: the store's interface."""
