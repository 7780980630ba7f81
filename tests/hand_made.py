"""Outcomes of an evaluation, made by hand."""

from collections.abc import Sequence

import numpy as np

from wbad_jax import evaluation


def outcome(
    correct: Sequence[bool | int],
    *,
    arm: str = "wbad",
    attack: str = "none",
    protocol: str = "adaptive",
    norm: str = "linf",
    epsilon: float = 0.01,
    seed: int = 0,
    surrogate: str | None = None,
    labels: Sequence[int] | None = None,
    patients: Sequence[int] | None = None,
    seconds: float = 0.0,
) -> evaluation.Outcome:
    """Decisions on the test set that are right where `correct` says so.

    Without an attack it is the clean outcome, whatever protocol, norm and epsilon. All
    are healthy, and patients have one image each, unless told otherwise.
    """
    n = len(correct)
    clean = attack == "none"
    labels = np.zeros(n, np.int32) if labels is None else np.asarray(labels, np.int32)
    tumour = np.where(np.asarray(correct, bool), labels, 1 - labels) * 2.0 - 1
    return evaluation.Outcome(
        condition=evaluation.Condition(
            arm=arm,
            set="test",
            protocol="clean" if clean else protocol,
            attack=attack,
            norm=None if clean else norm,
            epsilon=None if clean else epsilon,
            seed=seed,
            surrogate=surrogate,
        ),
        example_ids=np.arange(n).astype(str),
        patient_ids=np.arange(n) if patients is None else np.asarray(patients),
        labels=labels,
        logits=np.stack([-tumour, tumour], axis=-1),
        distance=np.zeros(n),
        seconds=seconds,
    )
