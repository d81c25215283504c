"""The error of a file that cannot be read."""


class Unreadable(Exception):
    """A file that cannot be read; the message names it and says why, in one line."""
