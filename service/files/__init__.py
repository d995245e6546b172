"""Files and folders: checksums, atomic replacement, locks."""
