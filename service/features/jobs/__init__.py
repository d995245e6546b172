"""Long work: jobs that are queued, run by one process at a time, watched, cancelled and retried."""
