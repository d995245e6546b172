"""The JSON of requests and responses; see the OpenAPI document for examples."""
