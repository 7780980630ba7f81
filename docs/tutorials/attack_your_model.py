# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # Attack your own model
#
# An attack here needs one thing of a model: a function from images `[batch, height,
# width, channels]` to logits `[batch, classes]`. So it does not matter in which library
# the model is written. This page trains a small network in Flax and one in Equinox,
# attacks both with the same lines, and then looks at a defence that only seems to be
# one.
#
# Research software only, not a diagnostic device.

# %%
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import nnx

from wbad_jax import attacks, bioheat, data

SMOKE = bool(os.environ.get("WBAD_TUTORIAL_SMOKE"))

# %% [markdown]
# ## Images
#
# Simulated patients, each with and without a tumour. Pixels are shares of the window of
# 22 to 38 °C. Whole patients are held out.

# %%
_, builder = data.find_builder(
    f"simulated_thermograms/{'tiny' if SMOKE else 'quickstart'}", {}
)
low, high = window = builder.window
num_patients, num_test = (8, 4) if SMOKE else (400, 60)
patients = list(
    bioheat.simulate(range(9_710_000, 9_710_000 + num_patients), builder.cohort)
)


def examples(chosen):
    celsius = np.stack(
        [s[0] for p in chosen for s in (p.healthy_celsius, p.tumour_celsius)]
    )
    body = np.stack([p.mask for p in chosen for _ in range(2)])
    pixels = np.where(body, np.clip((celsius - low) / (high - low), 0, 1), 0.5)
    return pixels[..., None].astype(np.float32), np.tile([0, 1], len(chosen))


train_images, train_labels = examples(patients[num_test:])
images, labels = examples(patients[:num_test])
print(train_images.shape, images.shape)


# %% [markdown]
# ## Two models
#
# Flax modules are split into a graph and parameters, Equinox modules into arrays and
# the rest; after that both are a pure function `logits(params, images)`. Scaling
# belongs into it, since the attacker works on what goes in.


# %%
class FlaxNetwork(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Conv(1, 16, (5, 5), strides=2, rngs=rngs)
        self.second = nnx.Conv(16, 32, (3, 3), strides=2, rngs=rngs)
        self.last = nnx.Linear(32, 2, rngs=rngs)

    def __call__(self, images):
        x = nnx.gelu(self.first((images - 0.5) * 10))
        x = nnx.gelu(self.second(x))
        return self.last(x.max(axis=(1, 2)))


graph, flax_params = nnx.split(FlaxNetwork(nnx.Rngs(0)))


def flax_logits(params, images):
    return nnx.merge(graph, params)(images)


# %%
class EquinoxNetwork(eqx.Module):
    layers: list

    def __init__(self, key):
        keys = jax.random.split(key, 3)
        self.layers = [
            eqx.nn.Conv2d(1, 16, 5, stride=2, padding=2, key=keys[0]),
            eqx.nn.Conv2d(16, 32, 3, stride=2, padding=1, key=keys[1]),
            eqx.nn.Linear(32, 2, key=keys[2]),
        ]

    def __call__(self, image):  # One image, channels first.
        first, second, last = self.layers
        x = jax.nn.gelu(first((image - 0.5) * 10))
        x = jax.nn.gelu(second(x))
        return last(x.max(axis=(1, 2)))


equinox_params, static = eqx.partition(EquinoxNetwork(jax.random.key(0)), eqx.is_array)


def equinox_logits(params, images):
    return jax.vmap(eqx.combine(params, static))(jnp.moveaxis(images, -1, 1))


# %%
def train(logits, params, steps):
    optimizer = optax.adam(3e-3)

    @jax.jit
    def step(params, state, images, labels):
        def loss(params):
            found = logits(params, images)
            return optax.softmax_cross_entropy_with_integer_labels(found, labels).mean()

        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    state, rng = optimizer.init(params), np.random.default_rng(0)
    for _ in range(steps):
        rows = rng.integers(len(train_labels), size=64)
        params, state, _ = step(params, state, train_images[rows], train_labels[rows])
    return params


models = {
    "flax": (flax_logits, train(flax_logits, flax_params, 2 if SMOKE else 600)),
    "equinox": (
        equinox_logits,
        train(equinox_logits, equinox_params, 2 if SMOKE else 600),
    ),
}

# %% [markdown]
# ## Before the attack
#
# Logits of an image must not depend on the others of its batch, else an attack on a
# batch means nothing. Batch normalisation in training mode is the usual culprit.

# %%
for logits, params in models.values():
    attacks.check_independent(lambda x, f=logits, p=params: f(p, x), images[:4])

# %% [markdown]
# ## The attack
#
# Auto-PGD at several radii, in degrees Celsius. `attacks.sweep` runs them in one
# compiled program, and counts an image that is broken at a small radius as broken at a
# larger one.

# %%
celsius = np.array([0.0, 0.0625, 0.125, 0.25, 0.5])
epsilons = celsius / (high - low)
attack = attacks.APGD(norm="linf", num_steps=2 if SMOKE else 30, restarts=1)

figure, axis = plt.subplots(figsize=(5, 3.2), layout="constrained")
for name, (logits, params) in models.items():

    @jax.jit
    def robust_accuracy(params, key, images, labels, epsilons, logits=logits):
        def logits_fn(x):
            return logits(params, x)

        found = attacks.sweep(attack, logits_fn, key, images, labels, epsilons[1:])
        clean = ~attacks.misclassified(logits_fn(images), labels)
        return clean.mean(), 1 - found.success.mean(axis=1)

    clean, under_attack = robust_accuracy(
        params, jax.random.key(1), images, labels, epsilons
    )
    curve = np.array([clean, *under_attack], np.float64)
    axis.plot(celsius, 100 * curve, marker="o", label=name)
    print(
        name,
        "accuracy in %:",
        dict(zip(celsius.tolist(), (100 * curve).round(1).tolist(), strict=True)),
    )
axis.set(xlabel="epsilon, °C", ylabel="accuracy under attack, %", ylim=(0, 100))
axis.legend()
plt.show()

# %% [markdown]
# What an image looks like that is broken at an eighth of a degree: no eye sees it.

# %%
logits, params = models["flax"]


@jax.jit
def break_images(params, key, images, labels, epsilon):
    return attack(lambda x: logits(params, x), key, images, labels, epsilon=epsilon)


epsilon = attacks.epsilon_of_celsius(0.125, window)
found = break_images(params, jax.random.key(2), images, labels, epsilon)
chosen = int(np.argmin(found.margin))
figure, axes = plt.subplots(1, 3, figsize=(8, 2.8), layout="constrained")
pictures = (
    images[chosen],
    found.adversarial[chosen],
    found.adversarial[chosen] - images[chosen],
)
titles = "image", "adversarial", "difference, °C"
for axis, picture, title in zip(axes, pictures, titles, strict=True):
    shown = np.asarray(picture)[..., 0] * (high - low)
    shown = shown if title.startswith("diff") else shown + low
    figure.colorbar(axis.imshow(shown, cmap="inferno"), ax=axis, shrink=0.7)
    axis.set_title(title)
    axis.axis("off")
plt.show()

# %% [markdown]
# ## A defence that is none
#
# Rounding pixels to 0.25 °C makes the gradient zero everywhere. A gradient attack then
# finds next to nothing, and the model looks robust. That is a masked gradient. Two ways
# to find out: an attack without gradients, and BPDA, which takes the gradient as if
# nothing had been rounded.


# %%
def rounded(x):
    step = 0.25 / (high - low)
    return jnp.round(x / step) * step


def defended(params, x):
    return logits(params, rounded(x))


@jax.jit
def three_attacks(params, key, images, labels, epsilon):
    def target(x):
        return defended(params, x)

    def bpda(x):
        return logits(params, attacks.bpda(rounded)(x))

    options = {"epsilon": epsilon}
    square = attacks.Square(num_queries=5 if SMOKE else 500)
    return {
        "gradient alone": attack(target, key, images, labels, **options),
        "without gradients": square(target, key, images, labels, **options),
        "BPDA": attack(
            target, key, images, labels, surrogates={"bpda": bpda}, **options
        ),
    }


results = three_attacks(params, jax.random.key(3), images, labels, 0.25 / (high - low))
for name in ("gradient alone", "without gradients", "BPDA"):
    right = 100 * (1 - results[name].success.mean())
    print(f"{name}: {right:.1f} % right at 0.25 °C")

# %% [markdown]
# Only the lowest of these numbers counts. [Attacks](../attacks.md) says which attack
# answers which question, and [checks](../checks.md) which of such mistakes a run finds
# by itself.
