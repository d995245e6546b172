"""Pictures and sounds: how they come in from outside."""
