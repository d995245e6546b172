"""What work takes its time for: traces for an OpenTelemetry collector, and times of its stages."""
