"""The durable record of every streamer, and the log that indexes follow."""
