"""Spoiled files of every kind are refused by name, or read as what they say."""

import numpy as np
import pytest

from benchmarks import malformed_files, mutations
from benchmarks.file_readers import READERS

CONTENT = b'{"step": 12, "loss": 0.5}\n' * 40


@pytest.mark.fast
def test_a_seed_spoils_a_file_in_one_way():
    for seed in range(len(mutations.MUTATIONS)):
        kind, spoiled = mutations.mutate(CONTENT, seed)
        assert (kind, spoiled) == mutations.mutate(CONTENT, seed)
        assert spoiled != CONTENT, kind
    assert mutations.mutate(b"", 0)[1] == b""


@pytest.mark.fast
def test_garbage_and_other_errors_are_told_from_refusals(tmp_path):
    from benchmarks.file_readers import Reader
    from wbad_jax.data import DataError

    path = tmp_path / "file.txt"

    def reader(read):
        return Reader(lambda folder: [path], read, lambda value, *_: value == 1)

    def refuse(*_):
        raise DataError(f"{path.name} is damaged")

    def say_nothing(*_):
        raise DataError("damaged")

    def fail(*_):
        raise KeyError("loss")

    expected = {"right": lambda *_: 1, "garbage": lambda *_: 2, "refused": refuse}
    for verdict, read in expected.items():
        assert malformed_files.judge(reader(read), path, None)[0] == verdict
    for read in (say_nothing, fail):
        assert malformed_files.judge(reader(read), path, None)[0] == "unclear"


@pytest.mark.parametrize("name", ["matrix, spaces", "diagnosis.csv", "looks.jsonl"])
def test_a_few_spoiled_files(name, tmp_path):
    reader = READERS[name]
    (path,) = reader.make(tmp_path)
    whole = path.read_bytes()
    valid = reader.read(path, tmp_path)
    for seed in range(len(mutations.MUTATIONS)):
        kind, content = mutations.mutate(whole, seed)
        path.write_bytes(content)
        verdict = malformed_files.judge(reader, path, valid)
        assert verdict[0] in malformed_files.GOOD, (kind, verdict)


@pytest.mark.slow
def test_two_hundred_spoiled_files_of_each_kind(tmp_path):
    found = malformed_files.drill(list(READERS), 200)
    failed = {
        name: malformed_files.summarise(cases)["failed"]
        for name, cases in found.items()
    }
    assert {name: len(cases) for name, cases in failed.items() if cases} == {}, failed
    assert all(len(cases) == 200 for cases in found.values())
    seconds = [case["seconds"] for cases in found.values() for case in cases]
    assert np.max(seconds) < 60
