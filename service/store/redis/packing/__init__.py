"""Values of records, packed by a dictionary."""
