# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # Learn thresholds
#
# The denoiser shrinks wavelet details by a threshold. Rules from statistics compute it
# from the image; since everything is differentiable it can be learned as well, with
# clean images or without any. Three ways, compared on patients that were not trained
# on.
#
# Research software only, not a diagnostic device.

# %%
import dataclasses
import os

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import nnx

from wbad_jax import bioheat, data, denoise, wavelets

SMOKE = bool(os.environ.get("WBAD_TUTORIAL_SMOKE"))

# %% [markdown]
# ## Clean and noisy images
#
# Simulated patients, seen by a camera that adds no noise of its own. White noise of
# 0.125 °C comes on top, so the truth is known.

# %%
_, builder = data.find_builder(
    f"simulated_thermograms/{'tiny' if SMOKE else 'quickstart'}", {}
)
quiet = dataclasses.replace(
    builder.cohort.camera, noise_celsius=0.0, column_celsius=0.0
)
cohort = dataclasses.replace(builder.cohort, camera=quiet)
count = 4 if SMOKE else 32
patients = list(bioheat.simulate(range(9_720_000, 9_720_000 + count), cohort))
low, high = builder.window
celsius = np.stack([patient.tumour_celsius[0] for patient in patients])[..., None]
clean = jnp.asarray((celsius - low) / (high - low), jnp.float32)
sigma = 0.125 / (high - low)
noisy = clean + sigma * jax.random.normal(jax.random.key(0), clean.shape)
half = count // 2
train_clean, train_noisy, test_clean, test_noisy = (
    clean[:half], noisy[:half], clean[half:], noisy[half:],
)  # fmt: skip


def error(denoised):
    """Root mean squared error on the test patients, °C."""
    return float(jnp.sqrt(jnp.mean((denoised - test_clean) ** 2))) * (high - low)


# %% [markdown]
# ## Rules that learn nothing

# %%
errors = {"noisy": error(test_noisy)}
for rule in ("universal", "bayes", "sure"):
    settings = denoise.DenoiserSettings(wavelet="db2", level=2, threshold_rule=rule)
    errors[rule] = error(
        jax.jit(lambda x, s=settings: denoise.wavelet_denoise(x, s))(test_noisy)
    )

# %% [markdown]
# ## Learned, with clean images
#
# `Denoiser` is a Flax module. With the rule "learned" it has one number for each level
# and orientation, and a threshold is that number, made positive, times the noise level
# of the image.

# %%
learned = denoise.DenoiserSettings(wavelet="db2", level=2, threshold_rule="learned")
height, width = clean.shape[1:3]
graph, start = nnx.split(denoise.Denoiser(learned, num_pixels=height * width))


def descend(loss, params, steps=2 if SMOKE else 200):
    """Adam on a loss of the parameters; the parameters and the course of the loss."""
    optimizer = optax.adam(0.05)

    @jax.jit
    def step(params, state):
        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, value

    state, values = optimizer.init(params), []
    for _ in range(steps):
        params, state, value = step(params, state)
        values.append(float(value))
    return params, values


def squared_error(params):
    return (
        jnp.mean((nnx.merge(graph, params)(train_noisy) - train_clean) ** 2) / sigma**2
    )


supervised, _ = descend(squared_error, start)
errors["learned with clean images"] = error(nnx.merge(graph, supervised)(test_noisy))

# %% [markdown]
# ## Learned, without clean images
#
# Stein's estimate says what the squared error would be, from the noisy coefficients
# alone. `denoise.sure_risk` has a gradient in the threshold that ordinary
# differentiation of the formula lacks. Of real thermograms there never is a clean
# version, so this is the way.

# %%
details = wavelets.wavedec2(train_noisy, "db2", level=2)[1:]


def risk(params):
    thresholds = nnx.merge(graph, params).pixel_thresholds(train_noisy)
    noise = denoise.noise_sigma(train_noisy, "db2")
    total = 0.0
    for bands, level_thresholds in zip(details, thresholds, strict=True):
        for band, threshold in zip(bands, level_thresholds, strict=True):
            total += jnp.sum(denoise.sure_risk(band, threshold, noise))
    return total / (train_noisy.size * sigma**2)


unsupervised, _ = descend(risk, start)
errors["learned without"] = error(nnx.merge(graph, unsupervised)(test_noisy))

# %% [markdown]
# ## What was learned

# %%
for name, value in errors.items():
    print(f"{name}: {value:.3f} °C")

figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
places = np.arange(6)
for offset, (name, params) in enumerate(
    {"start": start, "with clean": supervised, "without": unsupervised}.items()
):
    values = np.asarray(nnx.merge(graph, params).thresholds()).ravel()
    axis.bar(places + 0.27 * offset, values, width=0.25, label=name)
axis.set_xticks(
    places + 0.27, [f"{o}\nlevel {n}" for n in (2, 1) for o in denoise.ORIENTATIONS]
)
axis.set_ylabel("threshold / sigma")
axis.legend()
plt.show()

# %% [markdown]
# The start is the universal threshold: it removes noise, and veins with it. What is
# learned is smaller by far, above all on the coarse level.
#
# Least error is not most robust. A threshold learned behind a classifier in adversarial
# training serves another end: `configs/wbad_learned.py` does that, and
# [training](../training.md#thresholds-over-time) says how to watch it.
# [Wavelets and denoising](../wavelets.md) has all rules.
