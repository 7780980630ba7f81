"""Short digests that name a folder after what its contents were made from."""

import dataclasses
import hashlib
import json
from typing import Any

_HASH_LENGTH = 12


def fingerprint(value: Any) -> str:
    """Hashes settings, the same in every process.

    Args:
        value: Numbers, strings, lists, dicts and dataclasses of these. The order of a
            dict does not matter, and a tuple counts as a list.

    Returns:
        Twelve hexadecimal digits.
    """
    text = json.dumps(value, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: getattr(value, field.name) for field in fields}
    return repr(value)
