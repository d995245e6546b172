"""The report of a comparison: Markdown with tables, and charts as SVG."""
