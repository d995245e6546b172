"""What endpoints share: request guard, preconditions, NDJSON, problem documents."""
