"""An index saved to a checksummed folder, and read back."""
