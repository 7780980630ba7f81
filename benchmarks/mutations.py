"""Seeded ways to spoil a file: as disks, editors, transfers and attackers do it."""

import re
from collections.abc import Callable

import numpy as np

# What may stand where a number is expected.
_TOKENS = (
    b"nan", b"-inf", b"1e999", b"-5", b"0", b"", b"x", b"9" * 400, b"3_1.5", b"0x1F",
    b"31,5", b"1e5", b"\xef\xbc\x93\xef\xbc\x91", b"null", b"true", b"[]", b"{}",
    b'"text"', b"[[1]]", b"-1e-320", b"\x00",
)  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_WORD = re.compile(rb"[A-Za-z_]{3,}")
_DEEP = 100_000
Mutation = Callable[[bytes, np.random.Generator], bytes]


def _place(content: bytes, rng: np.random.Generator) -> int:
    return int(rng.integers(0, max(1, len(content))))


def _span(content: bytes, rng: np.random.Generator) -> tuple[int, int]:
    start = _place(content, rng)
    return start, start + int(rng.integers(1, max(2, len(content) // 4)))


def truncate(content: bytes, rng: np.random.Generator) -> bytes:
    """A transfer that broke off."""
    return content[: _place(content, rng)]


def cut_end(content: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes missing at the end."""
    return content[: -int(rng.integers(1, 12))]


def flip_bits(content: bytes, rng: np.random.Generator) -> bytes:
    """One to eight bits changed."""
    spoiled = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        if spoiled:
            spoiled[_place(content, rng)] ^= 1 << int(rng.integers(0, 8))
    return bytes(spoiled)


def zero_block(content: bytes, rng: np.random.Generator) -> bytes:
    """A block never written."""
    start, stop = _span(content, rng)
    stop = min(stop, len(content))
    return content[:start] + b"\x00" * (stop - start) + content[stop:]


def random_block(content: bytes, rng: np.random.Generator) -> bytes:
    """A block of something else."""
    start, stop = _span(content, rng)
    return content[:start] + rng.bytes(min(stop, len(content)) - start) + content[stop:]


def remove_block(content: bytes, rng: np.random.Generator) -> bytes:
    """A block missing."""
    start, stop = _span(content, rng)
    return content[:start] + content[stop:]


def repeat_block(content: bytes, rng: np.random.Generator) -> bytes:
    """A block twice."""
    start, stop = _span(content, rng)
    return content[:stop] + content[start:]


def append(content: bytes, rng: np.random.Generator) -> bytes:
    """Something behind the end."""
    return content + rng.bytes(int(rng.integers(1, 200)))


def replace_all(content: bytes, rng: np.random.Generator) -> bytes:
    """Another file by that name."""
    others = (b"", b"\n", b"<html>not found</html>", rng.bytes(300), b"\xff\xfe" * 50)
    return others[int(rng.integers(0, len(others)))]


def replace_number(content: bytes, rng: np.random.Generator) -> bytes:
    """Another token where a number stood."""
    return _replace(_NUMBER, content, rng)


def replace_word(content: bytes, rng: np.random.Generator) -> bytes:
    """Another token where a word stood."""
    return _replace(_WORD, content, rng)


def _replace(pattern, content: bytes, rng: np.random.Generator) -> bytes:
    found = list(pattern.finditer(content[:200_000]))
    if not found:
        return flip_bits(content, rng)
    match = found[int(rng.integers(0, len(found)))]
    token = _TOKENS[int(rng.integers(0, len(_TOKENS)))]
    return content[: match.start()] + token + content[match.end() :]


def remove_line(content: bytes, rng: np.random.Generator) -> bytes:
    """A line missing."""
    lines = content.splitlines(keepends=True)
    if len(lines) > 1:
        del lines[int(rng.integers(0, len(lines)))]
    return b"".join(lines)


def nest(content: bytes, rng: np.random.Generator) -> bytes:
    """Brackets without end, for parsers that call themselves."""
    start = _place(content, rng)
    bracket = (b"[", b'{"a":')[int(rng.integers(0, 2))]
    return content[:start] + bracket * _DEEP + content[start:]


MUTATIONS: tuple[Mutation, ...] = (
    truncate, cut_end, flip_bits, zero_block, random_block, remove_block, repeat_block,
    append, replace_all, replace_number, replace_number, replace_word, remove_line,
    nest,
)  # fmt: skip


def mutate(content: bytes, seed: int) -> tuple[str, bytes]:
    """Spoils the content of a file.

    Args:
        content: Of a valid file.
        seed: All kinds come in turn; the same seed does the same.

    Returns:
        The name of the kind, and what the file holds now.
    """
    mutation = MUTATIONS[seed % len(MUTATIONS)]
    return mutation.__name__, mutation(content, np.random.default_rng(seed))
