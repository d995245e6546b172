"""HTTP: routers, schemas and dependencies. No logic."""
