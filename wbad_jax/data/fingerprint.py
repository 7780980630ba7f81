"""Short names for what data are made from."""

import hashlib

_LENGTH = 12


def digest(text: str) -> str:
    """The first characters of a hash of a text, to name a folder by."""
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]
