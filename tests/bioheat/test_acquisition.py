import dataclasses

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from wbad_jax.bioheat.acquisition import draw_acquisition
from wbad_jax.bioheat.camera import Camera, draw_exposure, take_image

PATIENTS = 400


def draw(label=None, camera=None, seed=0, count=PATIENTS):
    rng = np.random.default_rng(seed)
    camera = camera or Camera()
    return [draw_acquisition(rng, camera, confounded_label=label) for _ in range(count)]


def rooms(drawn):
    return np.array([one.room_celsius for one in drawn])


def noises(drawn):
    return np.array([one.camera.noise_celsius for one in drawn])


def wall_features(rng, acquisition):
    """Mean and noise of the wall as measured in a picture, without the body."""
    mask = np.zeros((48, 48), bool)
    mask[8:, 16:32] = True
    unit = acquisition.camera
    exposure = draw_exposure(rng, mask.shape, unit)
    skin, facing = np.full(mask.shape, 31.0), np.ones(mask.shape)
    image = take_image(skin, mask, facing, acquisition.room_celsius, exposure, unit)
    wall = image[:, :16]
    # Columns drop out of differences along them.
    return wall.mean(), np.diff(wall, axis=0).std() / 2**0.5


def cohort(confounded, seed):
    """Labels by a fair coin, and what a trivial baseline sees of each patient."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, PATIENTS)
    features = [
        wall_features(
            rng,
            draw_acquisition(
                rng, Camera(), confounded_label=bool(label) if confounded else None
            ),
        )
        for label in labels
    ]
    return labels, np.array(features)


def baseline_auc(labels, features):
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    score = cross_val_predict(
        LogisticRegression(), standard, labels, cv=5, method="predict_proba"
    )
    return roc_auc_score(labels, np.asarray(score)[:, 1])


def test_room_and_noise_have_their_law():
    drawn = draw(count=4000)
    assert rooms(drawn).mean() == pytest.approx(22.6, abs=0.08)
    assert rooms(drawn).std() == pytest.approx(1.2, rel=0.05)
    logarithm = np.log(noises(drawn) / 0.045)
    assert abs(logarithm.mean()) < 0.01
    assert logarithm.std() == pytest.approx(0.15, rel=0.05)
    assert stats.kstest(logarithm / 0.15, "norm").pvalue > 1e-3
    # Of 4,000 normal numbers only one would lie outside the limits.
    assert stats.kstest((rooms(drawn) - 22.6) / 1.2, "norm").pvalue > 1e-3


def test_room_stays_within_its_limits():
    warm = rooms(draw(label=1, count=20000))
    assert warm.min() >= 18
    assert warm.max() <= 27
    assert warm.max() > 26.9


def test_only_noise_and_tag_of_the_camera_change():
    camera = Camera(gain=0.01, detector_pixels=2, reference_tag=True)
    (one,) = draw(label=1, camera=camera, count=1)
    restored = dataclasses.replace(
        one.camera, noise_celsius=camera.noise_celsius, reference_tag=True
    )
    assert restored == camera


@pytest.mark.parametrize("tag", [False, True])
def test_tag_follows_the_settings_unless_confounded(tag):
    camera = Camera(reference_tag=tag)
    assert {one.has_tag for one in draw(camera=camera)} == {tag}
    for label, share in ((False, 0.7), (True, 0.4)):
        drawn = draw(label, camera, count=2000)
        assert np.mean([one.has_tag for one in drawn]) == pytest.approx(share, abs=0.05)


def test_equal_seeds_give_equal_acquisitions():
    assert draw(seed=5) == draw(seed=5)
    assert draw(seed=5) != draw(seed=6)


def test_label_changes_no_later_draw():
    after = []
    for label in (None, False, True):
        rng = np.random.default_rng(0)
        draw_acquisition(rng, Camera(), confounded_label=label)
        after.append(rng.uniform())
    assert len(set(after)) == 1


def test_by_default_nothing_depends_on_the_label():
    labels, features = cohort(confounded=False, seed=7)
    for column in features.T:
        test = stats.ks_2samp(column[labels == 0], column[labels == 1])
        assert np.asarray(test)[1] > 1e-3  # the p-value
    # Standard error under independence, 400 patients: 0.029.
    assert abs(baseline_auc(labels, features) - 0.5) < 0.1


def test_confounded_baseline_separates_as_in_the_real_data():
    labels, features = cohort(confounded=True, seed=8)
    assert 0.85 <= baseline_auc(labels, features) <= 0.97
    background, noise = features.T
    assert background[labels == 1].mean() > background[labels == 0].mean()
    assert np.median(noise[labels == 0]) == pytest.approx(0.049, rel=0.05)
    assert np.median(noise[labels == 1]) == pytest.approx(0.040, rel=0.05)


def test_confounded_noise_scales_with_the_camera():
    quiet = noises(draw(0, Camera(noise_celsius=0.01), count=2000))
    loud = noises(draw(0, Camera(noise_celsius=0.1), count=2000))
    np.testing.assert_allclose(loud, 10 * quiet)
    assert (noises(draw(1, Camera(noise_celsius=0.0), count=3)) == 0).all()


@pytest.mark.parametrize("label", [2, -1, "sick"])
def test_rejects_unknown_labels(label):
    with pytest.raises(ValueError, match=f"None, 0 or 1, got {label}"):
        draw(label, count=1)
