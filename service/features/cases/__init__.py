"""Cases of anti-fraud: from seeds to everyone who hangs together with them, with verdicts."""
