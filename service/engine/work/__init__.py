"""Queues and threads for CPU work beside the event loop."""
