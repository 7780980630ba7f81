"""Certificates of smoothed networks under attack, and by a second implementation.

    python -m experiments.train --config=configs/certified.py
    python -m benchmarks.certificates --workdir=runs/certified

Certifies both twins of the first test patients with many votes, attacks the smoothed
classifier within every certificate, and demands that none is refuted and no two twins
contradict each other. A second implementation of the algorithm, one image and one block
of draws at a time in NumPy and SciPy, gets the same noise and must find the same. The
other arms, and those of a run that was trained without noise (`--plain`), are there for
comparison: fewer images, a tenth of the votes. Writes
`benchmarks/results/certificates.json`; the certificates in the folders are replaced.
"""

import argparse
import json
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import pyarrow.parquet as pq
from scipy import stats

from benchmarks.measure import refuse_unoptimised, write_report
from configs.default import Config
from experiments import cohort, settings
from experiments.certify import certify_run, first_examples
from experiments.certify_arms import CERTIFY, base_key
from experiments.run_folder import load_config
from experiments.train_arm import restore_arm
from wbad_jax import devices
from wbad_jax.evaluation import Examples, wilson_interval
from wbad_jax.evaluation.smoothing import draw_noise

RESULTS = pathlib.Path(__file__).parent / "results" / "certificates.json"
_ALPHA = 1e-7
_OTHER_IMAGES = 100
_BLOCK = 250  # draws of an image that the second implementation takes at once


def main(argv: Sequence[str] | None = None) -> int:
    """Certify, attack, certify again, and write what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--plain", type=pathlib.Path, help="run trained without noise")
    parser.add_argument("--arm", default="denoise", help="that with many votes")
    parser.add_argument("--images", type=int, default=220)
    parser.add_argument("--again", type=int, default=220, help="images certified twice")
    parser.add_argument("--num_samples", type=int, default=10_000)
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    options = parser.parse_args(argv)
    if refuse_unoptimised():
        return 2
    devices.use_all_cores()
    start = time.perf_counter()
    config = settings_of(options.workdir, options.images, options.num_samples)
    others = tuple(arm for arm in config.arms if arm != options.arm)
    record, lines = certified(config, options.workdir, (options.arm,))
    again = certify_again(config, options.workdir, options.arm, options.again)
    runs = [record]
    for workdir, arms in ((options.workdir, others), (options.plain, None)):
        if workdir:
            fewer = settings_of(workdir, _OTHER_IMAGES, options.num_samples // 10)
            runs.append(certified(fewer, workdir, arms or fewer.arms)[0])
    report = {
        "runs": runs,
        "second_implementation": compare(record, lines, again),
        "minutes": (time.perf_counter() - start) / 60,
    }
    report["holds"] = holds(report)
    write_report(report, options.output)
    print("All certificates hold." if report["holds"] else "NOT ALL HOLD.")
    return 0 if report["holds"] else 1


def settings_of(workdir: pathlib.Path, images: int, num_samples: int) -> Config:
    """The config of a run with the certificates asked for."""
    config = load_config(workdir)
    config.certificates.max_examples = images
    config.certificates.num_samples = num_samples
    config.certificates.alpha = _ALPHA
    return config


def certified(config: Config, workdir: pathlib.Path, arms: tuple[str, ...]):
    """What `experiments.certify` writes about some arms of a run."""
    config = config.copy_and_resolve_references()
    config.arms = arms
    start = time.perf_counter()
    certify_run(config, workdir)
    record = json.loads((workdir / "certificates.json").read_text("utf-8"))
    lines = pq.read_table(workdir / "certificates.parquet").to_pylist()
    return {**record, "minutes": (time.perf_counter() - start) / 60}, lines


def certify_again(
    config: Config, workdir: pathlib.Path, name: str, count: int
) -> dict[str, Any]:
    """Certificates of one arm by plain loops, on the noise of the compiled ones."""
    dataset = cohort.load(config)
    fold, *_ = cohort.make_folds(config, dataset)
    examples = first_examples(config, fold).subset(slice(count))
    built = settings.build_arms(config, dataset.images.shape[1:])
    (arm,) = (arm for arm in built if arm.name == name)
    params = restore_arm(arm, workdir=workdir, run=fold.run_name(name), earlier={})
    forward = jax.jit(arm.evaluated.apply)
    start = time.perf_counter()
    found = [
        slow_certify(lambda x: forward(params, x), image, keys, config)
        for image, keys in zip(examples.images, _keys(config, examples), strict=True)
    ]
    predicted, radius = (np.array(column) for column in zip(*found, strict=True))
    return {
        "labels": examples.labels,
        "predicted": predicted,
        "radius": radius,
        "minutes": (time.perf_counter() - start) / 60,
    }


def _keys(config: Config, examples: Examples):
    """Of each image, the keys of its two samples."""
    key = jax.random.fold_in(base_key(config), CERTIFY)
    parts = [jax.random.fold_in(key, part) for part in range(2)]
    every = [examples.keys(part) for part in parts]
    return zip(*every, strict=True)


def slow_certify(network, image: np.ndarray, keys, config: Config):
    """CERTIFY of Cohen, Rosenfeld and Kolter (2019): class, or -1, and radius."""
    values = config.certificates
    sigma = values.sigmas[0]
    selection, votes = (
        sample_under_noise(network, image, key, sigma, count)
        for key, count in zip(
            keys, (values.num_selection, values.num_samples), strict=True
        )
    )
    chosen = int(np.argmax(selection))
    test = stats.binomtest(int(votes[chosen]), int(votes.sum()), alternative="greater")
    bound = test.proportion_ci(1 - values.alpha, method="exact").low
    return (chosen, sigma * stats.norm.ppf(bound)) if bound > 0.5 else (-1, 0.0)


def sample_under_noise(network, image: np.ndarray, key, sigma: float, count: int):
    """Votes for each class."""
    votes = []
    for first in range(0, count, _BLOCK):
        index = np.arange(first, first + _BLOCK)
        noise = np.asarray(draw_noise(key, index, image.shape))
        answers = np.argmax(np.asarray(network(image + np.float32(sigma) * noise)), 1)
        votes.append(answers[index < count])
    return np.bincount(np.concatenate(votes), minlength=2)


def compare(record, lines, again) -> dict[str, Any]:
    """How far two implementations differ."""
    (curve,) = record["curves"]
    n = len(again["labels"])
    radius = np.array([line["radius"] for line in lines[:n]])
    predicted = np.array(
        [-1 if line["abstained"] else line["predicted"] for line in lines[:n]]
    )
    first, second = (
        [
            int(np.sum((answer == again["labels"]) & (r >= least)))
            for least in curve["radius"]
        ]
        for answer, r in ((predicted, radius), (again["predicted"], again["radius"]))
    )
    pairs = [
        (wilson_interval(one, n), other / n)
        for one, other in zip(first, second, strict=True)
    ]
    return {
        "arm": curve["arm"],
        "n": n,
        "certified_accuracy": [other for _, other in pairs],
        "within_interval": all(low <= share <= high for (low, high), share in pairs),
        "largest_difference_of_radii": float(np.abs(radius - again["radius"]).max()),
        "images_of_equal_radius": int(np.isclose(radius, again["radius"]).sum()),
        "minutes": again["minutes"],
    }


def holds(report: dict[str, Any]) -> bool:
    """Whether nothing refutes a certificate, of as many images as were asked for."""
    checks = [curve["checks"] for run in report["runs"] for curve in run["curves"]]
    fine = not any(
        check["violations"]
        or check["contradictory_twins"]
        or check["radii_certified_above_empirical"]
        or check["radii_above_pair_bound"]
        for check in checks
    )
    return fine and report["second_implementation"]["within_interval"]


if __name__ == "__main__":
    sys.exit(main())
