"""Commands that need no running service, or bring what they made into one."""
