"""Queues, threads and worker processes for CPU work beside the event loop."""
