"""A folder of 100,000 small pictures, and the memory held over a long evaluation.

    python -m benchmarks.large_folder

Pictures of 8 x 8 pixels, a hundred of each of a thousand patients: prepared once, read
twice, each in a process of its own. Then the same attack again and again, a hundred
times: what a process holds must not grow with the number of batches.
"""

import argparse
import gc
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.measure import write_report

REPOSITORY = pathlib.Path(__file__).parents[1]
RESULTS = pathlib.Path(__file__).parent / "results" / "large_folder.json"
_EACH = 100  # pictures of a patient
_SIDE = 8
# Noise of the allocator, on a process of some hundred MiB.
MOST_GROWTH_MIB = 8.0


def write_pictures(folder: pathlib.Path, count: int) -> None:
    """Pictures of two classes in two sub-folders."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for label in ("healthy", "tumour"):
        (folder / label).mkdir(parents=True)
    for number in range(count):
        patient = number // _EACH
        label = ("healthy", "tumour")[patient % 2]
        levels = rng.integers(0, 256, (_SIDE, _SIDE), np.uint8)
        Image.fromarray(levels).save(folder / label / f"P{patient}_{number}.png")


def load_folder(folder: pathlib.Path) -> dict[str, Any]:
    """Load the pictures in this process, preparing them on the first call."""
    from wbad_jax import data

    begin, before = time.monotonic(), _peak_mib()
    settings = {
        "patient_pattern": r"(?P<patient>P\d+)_",
        "height": _SIDE,
        "width": _SIDE,
    }
    dataset = data.load("image_folder", folder / "data", folder / "raw",
                        settings=settings)  # fmt: skip
    return {
        "seconds": round(time.monotonic() - begin, 1),
        "more_mib": round(_peak_mib() - before),
        "images": len(dataset),
        "patients": len(np.unique(dataset.patient_ids)),
        "arrays_mib": round(dataset.images.nbytes / 2**20),
    }


def evaluate_long(calls: int) -> dict[str, Any]:
    """Attack the same examples again and again in this process."""
    import jax
    import jax.numpy as jnp

    from wbad_jax.attacks import PGD
    from wbad_jax.evaluation import Evaluator, Examples

    images = np.random.default_rng(0).random((64, 32, 32, 1), np.float32)
    examples = Examples(
        images=images,
        labels=np.arange(64) % 2,
        example_ids=np.arange(64).astype(str),
        patient_ids=np.arange(64),
    )
    evaluator = Evaluator(lambda w: lambda x: x.mean((1, 2)) @ w, batch_size=16)
    weights, held = jnp.array([[-1.0, 1.0]]), []
    for call in range(calls):
        key = jax.random.fold_in(jax.random.key(0), call)
        evaluator.attack(PGD(num_steps=5), weights, examples, key, epsilon=0.01)
        gc.collect()
        held.append(_held_mib())
    # The first fifth warms up allocators and caches.
    start = held[calls // 5]
    return {
        "calls": calls,
        "batches": 4 * calls,
        "held_mib": [round(x, 1) for x in (held[0], start, held[-1])],
        "growth_mib": round(held[-1] - start, 1),
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _held_mib() -> float:
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def in_a_process(*arguments: str) -> dict[str, Any]:
    """What a part of this script found in a process of its own.

    Raises:
        RuntimeError: If it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.large_folder", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{arguments} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(folder: pathlib.Path, images: int, calls: int) -> dict[str, Any]:
    """All parts, one after another.

    Args:
        folder: Empty.
        images: Number of pictures.
        calls: Of the attack.
    """
    write_pictures(folder / "raw", images)
    first = in_a_process(f"--load={folder}")
    prepared = _files(folder)
    again = in_a_process(f"--load={folder}")
    return {
        "first_load": first,
        "second_load": again,
        "prepared_once": _files(folder) == prepared,
        "evaluation": in_a_process(f"--evaluate={calls}"),
    }


def _files(folder: pathlib.Path) -> dict[str, int]:
    """Prepared files and when they were written."""
    files = (p for p in (folder / "data").rglob("*") if p.is_file())
    return {str(path): path.stat().st_mtime_ns for path in files}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Many pictures, a long evaluation.")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=100, help="of the attack")
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--load", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--evaluate", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the drill and write the JSON file; 0 if nothing grew or was made twice."""
    options = parse(argv)
    if options.load or options.evaluate:
        found = (
            load_folder(options.load)
            if options.load
            else evaluate_long(options.evaluate)
        )
        print(json.dumps(found))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        report = measure(pathlib.Path(folder), options.images, options.calls)
    print(json.dumps(report, indent=1))
    write_report(report, options.output)
    grown = report["evaluation"]["growth_mib"] > MOST_GROWTH_MIB
    whole = report["second_load"]["images"] == options.images
    return 0 if report["prepared_once"] and whole and not grown else 1


if __name__ == "__main__":
    sys.exit(main())
