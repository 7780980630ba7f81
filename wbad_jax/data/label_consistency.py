"""Whether each patient has one label, and each example a name of its own."""

import numpy as np

from wbad_jax.data.dataset import Dataset
from wbad_jax.data.findings import Finding, some


def label_consistency(dataset: Dataset) -> Finding:
    """Looks for patients in two states at once, and examples with one name.

    The twin in the other state is no contradiction: it is marked as not factual.

    Args:
        dataset: Any.

    Returns:
        "fail" if a patient has factual images of two labels, or two examples one name.
    """
    own = dataset.factual
    pairs = np.unique(np.stack([dataset.patient_ids[own], dataset.labels[own]]), axis=1)
    patients, labels = np.unique(pairs[0], return_counts=True)
    torn = patients[labels > 1].tolist()
    names, uses = np.unique(dataset.example_ids, return_counts=True)
    repeated = names[uses > 1].tolist()
    evidence = {"patients_of_two_labels": torn, "repeated_names": repeated}
    faults = []
    if torn:
        faults.append(f"patients with images of two labels: {some(torn)}")
    if repeated:
        faults.append(f"examples of one name: {some(repeated)}")
    title = "One label a patient"
    if faults:
        sentence = f"There are {'; and '.join(faults)}."
        return Finding("label_consistency", title, "fail", sentence, evidence)
    sentence = f"Each of {len(patients)} patients has one label."
    return Finding("label_consistency", title, "pass", sentence, evidence)
