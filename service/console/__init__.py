"""The web console: sources of the page in `web`, what was built of them, and how it is served."""
