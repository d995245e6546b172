"""The audit log: hash chains in files, anchored in the store; reading, export and verification."""
