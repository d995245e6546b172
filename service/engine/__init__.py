"""What answers: encoding, evidence, scoring, the replica of the store, CPU work."""
