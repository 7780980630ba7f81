"""The exception for a file that is not as it was written."""


class DamagedFileError(ValueError):
    """A file of a run cannot be read as what it should be; the message names it."""
