"""Rate limits by key and scope: counted in the process, settled with the store."""
