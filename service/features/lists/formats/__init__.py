"""Lists as JSON, as lines, and as tables for spreadsheets."""
