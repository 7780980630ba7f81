"""What the two states of a simulated patient say about labels."""

import dataclasses

import numpy as np

from wbad_jax.data.dataset import Dataset
from wbad_jax.data.findings import ALPHA, Finding, some
from wbad_jax.data.linear_signal import linear_separation
from wbad_jax.data.patient_states import patient_states, states_without_tumour
from wbad_jax.data.separation import enough_patients

# Temperature that twins must differ by to tell which one is warmer; storage keeps
# 0.00024 °C.
_LEAST_CELSIUS = 0.002


def twin_labels(dataset: Dataset) -> Finding:
    """Asks of each pair of twins whether the one with the tumour is the warmer one.

    They differ by the tumour alone, which heats the skin above it. No statistics are
    needed: one pair the other way round is a wrong label.

    Args:
        dataset: With finite pixels.

    Returns:
        "fail" if a pair has not one image of each label, or the wrong one is warmer;
        "warn" if a tumour changes nothing that is stored.
    """
    title = "Twins and their labels"
    if dataset.factual.all():
        sentence = "The patients of this data set are in one state each."
        return Finding("twin_labels", title, "not_run", sentence)
    order = np.lexsort((dataset.labels, dataset.frames, dataset.patient_ids))
    _, pair, sizes = np.unique(
        np.stack([dataset.patient_ids, dataset.frames])[:, order],
        axis=1,
        return_inverse=True,
        return_counts=True,
    )
    whole = sizes[pair] == 2
    first, second = order[whole][::2], order[whole][1::2]
    mixed = dataset.labels[first] != dataset.labels[second]
    first, second = first[mixed], second[mixed]
    torn = len(sizes) - len(first)
    low, high = dataset.window
    warmest = np.zeros((2, len(first)))
    for number, (healthy, ill) in enumerate(zip(first, second, strict=True)):
        difference = dataset.images[ill] - dataset.images[healthy]
        warmest[:, number] = difference.max(), -difference.min()
    warmest *= high - low
    unseen = warmest.max(axis=0) < _LEAST_CELSIUS
    wrong = (warmest[1] > warmest[0]) & ~unseen
    evidence = {
        "pairs": len(sizes),
        "without_both_labels": torn,
        "healthy_twin_warmer": int(wrong.sum()),
        "unseen": int(unseen.sum()),
        "median_contrast_celsius": float(np.median(warmest[0])) if len(first) else 0.0,
    }
    names = dataset.example_ids[second[wrong]].tolist()
    if torn or wrong.any():
        sentence = (
            f"Of {len(sizes)} pairs, {torn} lack one of the labels, and {wrong.sum()} "
            f"are warmer where there is no tumour ({some(names) or 'none'}): labels "
            "are wrong."
        )
        return Finding("twin_labels", title, "fail", sentence, evidence)
    sentence = (
        f"The twin with the tumour is the warmer one in {len(first) - unseen.sum()} of "
        f"{len(first)} pairs; the tumour of {unseen.sum()} leaves no trace."
    )
    status = "warn" if unseen.any() else "pass"
    return Finding("twin_labels", title, status, sentence, evidence)


def healthy_twins(dataset: Dataset) -> Finding:
    """Asks whether a linear model tells patients with a tumour without the tumour.

    The healthy twin of a patient with one should be like any healthy patient. If not,
    something other than the tumour depends on the label.

    Args:
        dataset: With finite pixels.

    Returns:
        "fail" if the model can at a level of 0.001.
    """
    title = "Healthy twins of patients with a tumour"
    if dataset.factual.all():
        sentence = "The patients of this data set are in one state each."
        return Finding("healthy_twins", title, "not_run", sentence)
    rows, states = states_without_tumour(dataset)
    positive = patient_states(states, dataset.patient_ids[rows])
    if not enough_patients(positive):
        return Finding("healthy_twins", title, "not_run", "Too few patients.")
    found = linear_separation(dataset, rows, positive)
    evidence = dataclasses.asdict(found)
    if found.p_value < ALPHA:
        sentence = f"They differ from healthy patients: {found.in_words()}."
        return Finding("healthy_twins", title, "fail", sentence, evidence)
    sentence = f"They are like healthy patients: {found.in_words()}."
    return Finding("healthy_twins", title, "pass", sentence, evidence)
