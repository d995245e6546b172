"""What somebody may try against the service, over real sockets; docs/security.md has the list."""
