"""Lists and records of outreach of the client."""
