# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # Certify
#
# An attack that finds nothing proves nothing. Randomised smoothing proves something:
# within a radius, in L2, no perturbation whatever changes the answer of the smoothed
# classifier. This page trains a small network behind the denoiser on noisy images,
# certifies it, and then tries to refute its own certificates.
#
# Research software only, not a diagnostic device. A certificate says that an answer
# does not change, not that it is right.

# %%
import os

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from wbad_jax import attacks, bioheat, data, denoise, evaluation, models, training
from wbad_jax.types import Batch

SMOKE = bool(os.environ.get("WBAD_TUTORIAL_SMOKE"))

# %% [markdown]
# ## Simulated patients, both twins

# %%
_, builder = data.find_builder(
    f"simulated_thermograms/{'tiny' if SMOKE else 'quickstart'}", {}
)
num_patients, num_test = (8, 4) if SMOKE else (400, 20)
patients = list(
    bioheat.simulate(range(9_740_000, 9_740_000 + num_patients), builder.cohort)
)
low, high = builder.window


def examples(chosen):
    celsius = np.stack(
        [s[0] for p in chosen for s in (p.healthy_celsius, p.tumour_celsius)]
    )
    body = np.stack([p.mask for p in chosen for _ in range(2)])
    pixels = np.where(body, np.clip((celsius - low) / (high - low), 0, 1), 0.5)
    seeds = np.repeat([p.seed for p in chosen], 2)
    return evaluation.Examples(
        images=pixels[..., None].astype(np.float32),
        labels=np.tile([0, 1], len(chosen)).astype(np.int32),
        example_ids=np.array([f"{seed}-{i % 2}" for i, seed in enumerate(seeds)]),
        patient_ids=seeds,
    )


train, test = examples(patients[num_test:]), examples(patients[:num_test])

# %% [markdown]
# ## A network that has seen noise
#
# sigma is in pixel units: 0.1 is 1.6 °C at every pixel. A network that has not seen
# such noise answers noisy images badly, and then nothing can be certified.

# %%
sigma = 0.1
shape = train.images.shape[1:]
classifier = models.Classifier(
    models.ModelSettings(image_shape=shape, widths=(16, 32), level=2),
    denoise.DenoiserSettings(wavelet="db2", level=2),
)
optimizer = optax.adam(4e-3)
objective = training.mixture(classifier.logits_fn, {}, {"clean": 1.0})
step = training.make_train_step(objective, optimizer)
state = training.init_state(jax.jit(classifier.init)(jax.random.key(0)), optimizer)
rng = np.random.default_rng(0)
for _ in range(2 if SMOKE else 400):
    rows = rng.integers(len(train.labels), size=32)
    noise = rng.normal(scale=sigma, size=(32, *shape)).astype(np.float32)
    batch = Batch(train.images[rows] + noise, train.labels[rows], jnp.ones(32))
    state, metrics = step(state, batch, jax.random.key(1), {})
params = state.params
print({name: round(float(value), 3) for name, value in metrics.items()})

# %% [markdown]
# ## Certificates
#
# The smoothed classifier answers what the network most often says to the image plus
# noise. More votes give larger radii. `alpha` is the probability, for each image, that
# its certificate is false.

# %%
smoothed = evaluation.SmoothedEvaluator(
    classifier.logits_fn, batch_size=4, noise_batch=32
)
certificates = smoothed.certify(
    params, test, jax.random.key(2), sigma,
    num_selection=32, num_samples=64 if SMOKE else 1000, alpha=1e-3,
)  # fmt: skip
print(f"{certificates.abstained.sum()} of {len(test.labels)} abstain")

radii = np.linspace(0, 0.3, 61)
right = (certificates.predicted == test.labels) & ~certificates.abstained
certified = [(right & (certificates.radius >= radius)).mean() for radius in radii]
figure, axis = plt.subplots(figsize=(5, 3.2), layout="constrained")
axis.plot(radii * (high - low), 100 * np.array(certified))
axis.set(xlabel="radius in L2, °C", ylabel="certified accuracy, %", ylim=(0, 100))
plt.show()

# %% [markdown]
# A radius of 0.2 is 3.2 °C in L2: one pixel by 3.2 °C, or each of 4,096 pixels by 0.05
# °C. That is less than it sounds.
#
# ## Try to refute them
#
# Attack the smoothed classifier inside each image's own radius, and let fresh noise
# judge. Not one certificate may fall. Then a test without any attack: two twins that
# are certified to different classes must be further apart than their radii together.

# %%
climb = attacks.PGD(
    norm="l2", num_steps=2 if SMOKE else 10, keep="last", schedule="linear"
)
attacked = smoothed.attack(
    climb, params, test, jax.random.key(3), sigma, certificates.radius,
    num_samples=8, bounds=(-np.inf, np.inf),
)  # fmt: skip
decision = smoothed.predict(
    params, test, jax.random.key(4), sigma,
    num_samples=64 if SMOKE else 1000, alpha=1e-7, images=attacked,
)  # fmt: skip
print("refuted:", int(evaluation.violations(certificates, decision).sum()))


def half(first):
    arrays = {name: getattr(certificates, name)[first::2]
              for name in ("predicted", "abstained", "radius", "votes")}  # fmt: skip
    return evaluation.Certificates(**arrays, sigma=sigma, alpha=1e-3)


apart = np.sqrt(((test.images[0::2] - test.images[1::2]) ** 2).sum(axis=(1, 2, 3)))
contradictory = evaluation.contradictory_twins(half(0), half(1), apart)
print("twins that contradict each other:", int(contradictory.sum()))

# %% [markdown]
# The command for a run is `python -m experiments.certify --workdir=runs/certified`, and
# [certificates](../certificates.md) says what they mean, with results at more votes.
