"""What two profiles have in common: copied media, shared labels and titles."""
