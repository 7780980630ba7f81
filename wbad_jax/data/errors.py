"""The exception for data that breaks a rule."""


class DataError(ValueError):
    """A file, folder or split breaks a rule; the message names it, rule and value."""
