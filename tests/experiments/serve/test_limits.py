"""Uploads are read as data sets are, and nothing is unbounded."""

import asyncio
import io
import struct
import threading
import time
import types
import zlib

import numpy as np
import pytest
from PIL import Image

from experiments.serve.limits import (
    Limits,
    OneAtATime,
    RateLimit,
    RefusedError,
    read_body,
)
from experiments.serve.uploads import read_upload, shown_name
from wbad_jax.data import DataError

pytestmark = pytest.mark.fast
RUN = types.SimpleNamespace(image_shape=(32, 32, 1), window=(22.0, 38.0))


def as_text(celsius, separator=","):
    return "\n".join(
        separator.join(f"{v:.3f}" for v in row) for row in celsius
    ).encode()


def as_picture(array, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind)
    return file.getvalue()


def person(height, width):
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return np.where(np.abs(columns) < 0.7 - 0.1 * rows, 31 + columns, 22.5)


def bomb(width, height):
    """A small PNG that says it holds very many pixels."""

    def chunk(kind, content):
        total = zlib.crc32(kind + content)
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", total)
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packed = zlib.compress(b"\0" * 2**20)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed)
        + chunk(b"IEND", b"")
    )  # fmt: skip


def test_a_matrix_of_the_right_size_is_taken_as_it_is():
    celsius = np.linspace(20, 40, 1024).reshape(32, 32)
    for separator in (",", ";", " "):
        made = read_upload(as_text(celsius, separator), "a.csv", RUN)
        expected = np.clip((celsius - 22) / 16, 0, 1)[..., None]
        np.testing.assert_allclose(made.image, expected, atol=1e-4)
        assert made.image.dtype == np.float32
        assert any("as it is" in note for note in made.notes)
        assert any("were clipped" in note for note in made.notes)


def test_other_sizes_are_resized_and_masked_as_data_sets_are():
    made = read_upload(as_text(person(60, 80)), "a.txt", RUN)
    assert made.image.shape == (32, 32, 1)
    assert made.image[0, 0, 0] == pytest.approx(0.5, abs=1e-4)  # background
    assert made.image[16, 16, 0] == pytest.approx((31 - 22) / 16, abs=0.02)
    text = " ".join(made.notes)
    assert "Resized from 60 x 80 to 32 x 32" in text
    assert "proportions changed" in text
    assert "warm region" in text
    kept = read_upload(as_text(person(60, 80)), "a.txt", RUN, "frame")
    assert kept.image[0, 0, 0] == pytest.approx((22.5 - 22) / 16, abs=0.01)


def test_grey_levels_come_with_a_warning():
    levels = np.round(65535 * (person(32, 32) - 22) / 16).astype(np.uint16)
    made = read_upload(as_picture(levels), "a.PNG", RUN)
    np.testing.assert_allclose(made.image[..., 0], levels / 65535, atol=1e-4)
    assert "no temperatures" in made.notes[0]
    floats = person(32, 32).astype(np.float32)
    made = read_upload(as_picture(floats, "TIFF"), "a.tiff", RUN)
    assert not any("no temperatures" in note for note in made.notes)


BAD = {
    "empty": (b"", "a.csv", "is empty"),
    "nan": (as_text(np.full((32, 32), np.nan)), "a.csv", "row 1, column 1.*nan"),
    "implausible": (as_text(np.full((32, 32), 300.0)), "a.csv", "5 .. 45.*300"),
    "prose": (b"Dear doctor,", "a.txt", "'Dear doctor' is not a number"),
    "binary": (b"\xff\xfe\x00", "a.csv", "plain text.*0xff"),
    "ragged": (b"30,31\n30\n", "a.csv", "row 2.*2 temperatures, got 1"),
    "picture that is text": (b"30,31\n30,31\n", "a.png", "cannot be read"),
    "pickle": (b"\x80\x04K\x01.", "a.npy", "must end in .png"),
    "no ending": (b"30", "csv", "must end in"),
    "bomb": (bomb(5000, 5000), "a.png", "2097152 pixels, got 5000 x 5000"),
    "larger bomb": (bomb(60000, 60000), "a.png", "cannot be read.*3600000000 pixels"),
    "wide and long": (b"30 " * 3000 + b"\n30" * 3000, "a.txt", "may have 2097152"),
    "colours": (
        as_picture(np.arange(12, dtype=np.uint8).reshape(2, 2, 3)),
        "a.png",
        "colour map",
    ),
    "one value": (as_text(np.full((50, 50), 30.0)), "a.csv", "must differ"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_told_by_name_and_reason(name):
    content, file, message = BAD[name]
    with pytest.raises(DataError, match=message) as caught:
        read_upload(content, file, RUN)
    assert file in str(caught.value)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd.csv", "passwd.csv"),
        ("C:\\x\\y.csv", "y.csv"),
        ("a\0b\n.csv", "ab.csv"),
        ("x" * 500 + ".csv", "x" * 76 + ".csv"),
        ("///", "unnamed"),
    ],
)
def test_names_are_never_paths(given, shown):
    assert shown_name(given) == shown


def test_requests_are_counted_over_a_minute():
    now = [0.0]
    rate = RateLimit(2, lambda: now[0])
    rate.take()
    now[0] = 30.0
    rate.take()
    with pytest.raises(RefusedError, match="2 requests a minute") as caught:
        rate.take()
    assert (caught.value.status, caught.value.retry_after) == (429, 31)
    now[0] = 60.0
    rate.take()
    with pytest.raises(RefusedError):
        rate.take()


async def _parts(*parts, wait=0.0):
    for part in parts:
        await asyncio.sleep(wait)
        yield part


def test_bodies_are_bounded_in_size_and_time():
    limits = Limits(upload_bytes=10, upload_seconds=0.05)
    assert asyncio.run(read_body(_parts(b"12345", b"67890"), "10", limits)) == (
        b"1234567890"
    )
    for parts, declared in (((b"123456", b"123456"), "5"), ((), "11")):
        with pytest.raises(RefusedError) as caught:
            asyncio.run(read_body(_parts(*parts), declared, limits))
        assert caught.value.status == 413
    with pytest.raises(RefusedError) as caught:
        asyncio.run(read_body(_parts(b"1", wait=1.0), None, limits))
    assert caught.value.status == 408


def test_work_is_done_one_at_a_time_and_does_not_pile_up():
    release, running = threading.Event(), []

    def slow():
        running.append(1)
        assert len(running) == 1
        release.wait(5)
        running.pop()
        return "done"

    async def scenario():
        work = OneAtATime(Limits(waiting=2, work_seconds=0.05))
        with pytest.raises(RefusedError) as caught:
            await work.run(slow)
        assert caught.value.status == 504
        with pytest.raises(RefusedError):
            await work.run(slow)
        with pytest.raises(RefusedError) as caught:
            await work.run(slow)
        assert caught.value.status == 503
        release.set()
        end = time.monotonic() + 5
        while work._waiting and time.monotonic() < end:
            await asyncio.sleep(0.01)
        assert await work.run(lambda: 7) == 7

    asyncio.run(scenario())


def test_limits_must_be_limits():
    with pytest.raises(ValueError, match="waiting must be positive, got 0"):
        Limits(waiting=0)
