"""What the demo tells a person in one line."""


class DemoError(Exception):
    """Something that the person at the terminal can mend; one line."""
