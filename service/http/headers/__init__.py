"""Request and response headers with a meaning for the API: versions, repeated writes, ids."""
