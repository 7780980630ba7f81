"""Writes the files of a run, with made-up but plausible numbers."""

import itertools
import json

import numpy as np
import pywt
from sklearn.metrics import roc_auc_score

from wbad_jax import evaluation
from wbad_jax.evaluation import Condition, Outcome

WINDOW = (22.0, 38.0)
EPSILON = {"linf": 2 / 255, "l2": 0.19}
MULTIPLES = (0.5, 1.0, 2.0, 4.0)
ATTACKS = {"linf": ("pgd", "subband"), "l2": ("cw",)}
# Margin without attack, and what a headline epsilon takes from it, by protocol.
ARMS = {
    "undefended": (4.0, {"graybox": 5.0, "adaptive": 6.0}),
    "denoise": (3.8, {"graybox": 1.5, "adaptive": 5.5}),
    "wbad": (3.2, {"graybox": 0.6, "adaptive": 1.4}),
}
PATIENTS = 80


def outcomes(names=tuple(ARMS)):
    """Of all arms, on both twins of some patients."""
    rng = np.random.default_rng(0)
    n = 2 * PATIENTS
    labels = np.tile([0, 1], PATIENTS)
    margin = rng.normal(0, 2, n)
    made = []
    for name, (height, falls) in zip(names, ARMS.values(), strict=True):
        for set_name in ("test", "test_pairs"):
            for protocol, attack, norm, multiple in _conditions(falls):
                own = height + margin
                fall = falls.get(protocol, 0.0) * multiple
                fall *= 0.9 if attack == "subband" else 1.0
                left = (own - fall * rng.uniform(0.8, 1, n)) * (2 * labels - 1) / 2
                epsilon = EPSILON[norm] * multiple if norm else None
                condition = Condition(
                    arm=name, set=set_name, protocol=protocol, attack=attack, norm=norm,
                    epsilon=epsilon, seed=0,
                )  # fmt: skip
                made.append(
                    Outcome(
                        condition=condition,
                        example_ids=np.array(
                            [f"patient{i // 2}-{i}" for i in range(n)]
                        ),
                        patient_ids=np.arange(n) // 2,
                        labels=labels,
                        logits=np.stack([-left, left], axis=-1),
                        distance=(epsilon or 0.0)
                        * np.clip(own / max(fall, 1e-9), 0, 1),
                        seconds=1.0,
                    )
                )
    return made


def _conditions(falls):
    yield "clean", "none", None, 0.0
    for protocol, (norm, attacks), multiple in itertools.product(
        falls, ATTACKS.items(), MULTIPLES
    ):
        for attack in attacks:
            yield protocol, attack, norm, multiple


def row(outcome):
    """A row of results.json, by the definitions."""
    condition = outcome.condition
    correct, positive = outcome.correct, outcome.labels == 1
    n, k = len(correct), int(correct.sum())
    low, high = evaluation.wilson_interval(k, n)
    epsilon = condition.epsilon
    bounded = condition.protocol == "adaptive" and condition.set == "test_pairs"
    return {
        "arm": condition.arm,
        "set": condition.set,
        "protocol": condition.protocol,
        "attack": condition.attack,
        "norm": condition.norm,
        "epsilon": epsilon,
        "epsilon_celsius": None if epsilon is None else 16 * epsilon,
        "unit": "image",
        "n": n,
        "accuracy": k / n,
        "ci_low": low,
        "ci_high": high,
        "sensitivity": float(correct[positive].mean()),
        "specificity": float(correct[~positive].mean()),
        "auc": float(roc_auc_score(positive, outcome.logits[:, 1])),
        "auc_low": 0.4,
        "auc_high": 0.99,
        "median_distance": float(np.median(outcome.distance)),
        "ceiling": 1 - 2 * epsilon if bounded and condition.norm == "linf" else None,
        "seconds": 1.0,
        "seed": 0,
        "brier": 0.08,
        "ece": 0.03,
    }


def results(made, names):
    """Content of results.json."""
    rows = [row(outcome) for outcome in evaluation.add_worst_cases(made)]
    comparisons = [
        {
            "arm": arm,
            "reference": names[0],
            "protocol": protocol,
            "attack": "worst_case" if norm else "none",
            "norm": norm,
            "epsilon": EPSILON[norm] if norm else None,
            "difference": difference,
            "ci_low": difference - 0.08,
            "ci_high": difference + 0.07,
            "p_value": 0.00002,
            "p_holm": 0.0004,
            "n": PATIENTS,
        }
        for arm, gain in zip(names[1:], (0.05, 0.6), strict=True)
        for protocol, norm, difference in (
            ("clean", None, -0.02),
            ("graybox", "linf", gain),
            ("adaptive", "linf", gain),
        )
    ]
    bracket = [
        {
            "norm": norm,
            "epsilon": EPSILON[norm] * multiple,
            "pair_bound": 1 - 0.02 * multiple,
            "ceiling": 1 - 0.04 * multiple,
            "certified": 0.8 - 0.06 * multiple,
        }
        for norm in EPSILON
        for multiple in MULTIPLES
    ]
    meta = {
        "name": "quickstart",
        "headline_epsilon": EPSILON["linf"],
        "headline_epsilon_celsius": 16 * EPSILON["linf"],
        "headline_epsilon_l2": EPSILON["l2"],
        "window_celsius": list(WINDOW),
        "data": {"name": "simulated_thermograms/quickstart", "version": "2.0.0"},
        "num_examples": {"train": [800], "validation": [190], "test": [210]},
        "parameters_sha256": {name: "0f" * 32 for name in names},
        "surrogate": "arm 'undefended' of this run",
        "versions": {"python": "3.11.9", "jax": "0.10.2"},
        "device": "cpu cpu x 2",
        "commit": "0123456789ab",
        "seed": 0,
    }
    return {"meta": meta, "rows": rows, "comparisons": comparisons, "bracket": bracket}


def checks(arm):
    """Content of checks.json: one failed, one warns of nothing, one not run."""
    told = [
        ("C7", "Iterative attacks beat single steps", arm, "pass", "PGD breaks all."),
        ("C13", "Random noise finds nothing new", arm, "fail", "Noise breaks 3 more."),
        ("C20", "Binarization test", None, "not_run", "Needs more memory."),
    ]
    names = ("id", "title", "arm", "status", "sentence")
    return {
        "meta": {},
        "checks": [dict(zip(names, c, strict=True), evidence={"n": 3}) for c in told],
    }


def audit():
    """Content of audit.json."""
    findings = [
        (
            "duplicates",
            "Duplicates across splits",
            "pass",
            "No image is in two splits.",
        ),
        ("background", "Background tells the label", "warn", "AUC 0.61 from corners."),
    ]
    names = ("id", "title", "status", "sentence")
    return {
        "meta": {},
        "findings": [
            dict(zip(names, f, strict=True), evidence={"auc": 0.61}) for f in findings
        ],
    }


def certificates(arm):
    """Content of certificates.json."""
    radius = np.linspace(0, 0.4, 9)
    certified = 0.9 * np.exp(-4 * radius)
    return {
        "meta": {"num_samples": 10000},
        "curves": [
            {
                "arm": arm,
                "sigma": sigma,
                "noise_trained": sigma > 0.1,
                "n": 200,
                "radius": radius.tolist(),
                "radius_celsius": (16 * radius).tolist(),
                "certified_accuracy": (certified * scale).tolist(),
                "ci_low": np.maximum(certified * scale - 0.05, 0).tolist(),
                "ci_high": (certified * scale + 0.05).tolist(),
                "empirical_accuracy": (certified * scale + 0.04).tolist(),
                "abstained": 0.02,
            }
            for sigma, scale in ((0.05, 0.9), (0.12, 1.0))
        ],
    }


def detection(arm):
    """Content of detection.json."""
    fpr = np.linspace(0, 1, 21)
    return {
        "meta": {},
        "detectors": [
            {
                "arm": arm,
                "score": score,
                "attack": "pgd",
                "norm": "linf",
                "epsilon": EPSILON["linf"],
                "aware": aware,
                "auc": 0.55 if aware else 0.93,
                "ci_low": 0.5 if aware else 0.9,
                "ci_high": 0.6 if aware else 0.96,
                "broken_and_undetected": 0.3 if aware else 0.02,
                "fpr": fpr.tolist(),
                "tpr": (fpr ** (0.8 if aware else 0.15)).tolist(),
            }
            for score in ("removed_energy", "prediction_change")
            for aware in (False, True)
        ],
    }


def gallery(example_id):
    """Arrays of gallery-<arm>.npz."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[-1:1:64j, -1:1:64j]
    body = np.where(np.abs(columns) < 0.8 - 0.1 * rows, 0.6, 0.05)
    spots = [(0.3, 0.2), (-0.3, 0.4), (0.2, -0.3), (-0.4, -0.1)]
    images = np.stack(
        [
            body + 0.15 * label * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 0.03)
            for label, (x, y) in enumerate(spots)
        ]
    )
    images += rng.normal(0, 0.003, images.shape)
    adversarial = images + EPSILON["linf"] * rng.choice([-1, 1], images.shape)

    def smooth(stack):
        return np.stack(
            [pywt.idwt2((pywt.dwt2(i, "haar")[0], (None,) * 3), "haar") for i in stack]
        )

    arrays = {
        "images": images,
        "adversarial": adversarial,
        "denoised": smooth(images),
        "denoised_adversarial": smooth(adversarial),
    }
    return {name: a[..., None].astype(np.float32) for name, a in arrays.items()} | {
        "attack": np.array("pgd"),
        "norm": np.array("linf"),
        "epsilon": np.array(EPSILON["linf"]),
        "labels": np.array([0, 1, 1, 1]),
        "example_ids": np.array([example_id, "b", "c", "d"]),
        "logits": np.array([[1, -1], [-1, 1], [-1, 1], [1, -1]], np.float32),
        "logits_adversarial": np.array([[-1, 1]] * 4, np.float32),
    }


def metrics(arm):
    """Lines of metrics.jsonl."""
    names = [
        f"threshold/level{level}/{orientation}"
        for level in (1, 2)
        for orientation in ("horizontal", "vertical", "diagonal")
    ]
    return [
        {"run": arm, "step": step, "threshold/collapsed": 0.0}
        | {name: 3 - 0.2 * i * step / 200 for i, name in enumerate(names)}
        for step in range(0, 201, 20)
    ]


def write_run(workdir, names=tuple(ARMS), *, example_id="patient3-1", config=None):
    """Write every file that a report reads.

    Args:
        workdir: Where to; created.
        names: Of three arms.
        example_id: Of the first picture.
        config: Content of config.json beside the command.
    """
    workdir.mkdir(parents=True)
    made = outcomes(names)
    evaluation.write_parquet(made, workdir / "predictions.parquet")
    last = names[-1]
    contents = {
        "results": results(made, names),
        "checks": checks(last),
        "audit": audit(),
        "certificates": certificates(last),
        "detection": detection(last),
        "config": {
            "config": {"name": "quickstart", "denoiser": {"wavelet": "db2"}},
            "command": "python -m experiments.train --config=configs/quickstart.py",
        }
        | (config or {}),
    }
    for name, content in contents.items():
        text = json.dumps(content, allow_nan=False)
        (workdir / f"{name}.json").write_text(text, encoding="utf-8")
    np.savez(workdir / f"gallery-{last}.npz", **gallery(example_id))
    lines = [json.dumps(line) for line in metrics(last)]
    (workdir / "metrics.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return workdir
