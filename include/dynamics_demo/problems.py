"""What the demo tells a person instead of a traceback."""


class DemoError(Exception):
    """Something that the person at the terminal can do something about; the message says what."""


class DifferenceError(DemoError):
    """Both sides were compared and are not equal, or the counts are not those of the changes made."""
