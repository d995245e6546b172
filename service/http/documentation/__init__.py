"""The OpenAPI document for people: links between operations, and the page that follows them."""
