"""Files of a case: tables, lines, and archives that can be checked without a service."""
