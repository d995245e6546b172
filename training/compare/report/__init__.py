"""The report of a comparison: tables, charts and figures as one HTML file and as Markdown."""
