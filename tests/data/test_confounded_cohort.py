"""The simulator's switch that makes room and camera depend on the label."""

from tests.data.audited import split
from wbad_jax import data


def test_a_confounded_cohort_fails_and_a_clean_one_passes(tmp_path):
    found = {}
    for confounded in (False, True):
        dataset = data.load(
            "simulated_thermograms/tiny",
            tmp_path,
            settings={"confounded": confounded},
        )
        findings = data.audit_dataset(dataset, [split(dataset)])
        found[confounded] = {f.id for f in findings if f.status == "fail"}
    assert not found[False]
    # On pictures this coarse the camera's noise is lost in the field's.
    assert "shortcut_noise_celsius" in found[True]
    allowed = {"healthy_twins", *(name for name in found[True] if "shortcut" in name)}
    assert found[True] <= allowed
    assert "shortcut_patient_number" not in found[True]
