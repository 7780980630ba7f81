"""A small defended classifier that is honest, and ways to make it dishonest."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from wbad_jax import attacks, denoise, evaluation

SHAPE, HIDDEN, EPSILON = (16, 16, 1), 48, 0.02
DENOISER = denoise.DenoiserSettings(wavelet="haar", level=2)
PGD = attacks.PGD(num_steps=10)
SIZES = evaluation.CheckSettings(
    num_examples=32, noise_examples=16, noise_samples=200, square_queries=100,
    path_steps=10,
)  # fmt: skip


def spots(n=96, seed=0):
    """Smooth images with noise; half of them with a warm spot."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1:1:16j, -1:1:16j]
    labels = np.arange(n) % 2
    y, x = rng.uniform(-0.5, 0.5, (2, n, 1, 1))
    spot = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 0.1)
    slope = rng.normal(0, 0.02, (2, n, 1, 1))
    images = 0.45 + slope[0] * rows + slope[1] * columns
    images = images + rng.normal(0, 0.01, images.shape)
    images += labels[:, None, None] * rng.uniform(0.1, 0.25, (n, 1, 1)) * spot
    return evaluation.Examples(
        images=images[..., None].astype(np.float32),
        labels=labels.astype(np.int32),
        example_ids=np.array([f"e{i}" for i in range(n)]),
        patient_ids=np.arange(n),
    )


def hidden_of(params, images):
    flat = (images.reshape(len(images), -1) - 0.5) * 5
    return jax.nn.softplus(flat @ params["first"] + params["bias"])


def network_of(params):
    """Without the denoiser."""
    return lambda images: hidden_of(params, images) @ params["second"]


def defended(params, backward="exact"):
    """Denoiser and network."""
    return lambda images: features_of(params, backward)(images) @ params["second"]


def features_of(params, backward="exact"):
    return lambda images: hidden_of(
        params, denoise.wavelet_denoise(images, DENOISER, backward=backward)
    )


@functools.cache
def trained_params():
    """Adversarial training on one-step images."""
    examples, rng = spots(seed=1), np.random.default_rng(0)
    size = int(np.prod(SHAPE))
    params = {
        "first": jnp.asarray(rng.normal(size=(size, HIDDEN)) / size**0.5, jnp.float32),
        "bias": jnp.zeros(HIDDEN),
        "second": jnp.asarray(rng.normal(size=(HIDDEN, 2)) / HIDDEN**0.5, jnp.float32),
    }
    optimizer = optax.adam(3e-3)
    images, labels = jnp.asarray(examples.images), jnp.asarray(examples.labels)
    fgsm, key = attacks.FGSM(), jax.random.key(0)

    def loss(params, images):
        return jnp.mean(attacks.cross_entropy(defended(params)(images), labels))

    def step(carry, _):
        params, state = carry
        hard = fgsm(defended(params), key, images, labels, epsilon=EPSILON).adversarial
        gradient = jax.grad(loss)(params, hard)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def train(params):
        carry = (params, optimizer.init(params))
        return jax.lax.scan(step, carry, None, 300)[0][0]

    return train(params)


def make_subject(logits_fn_of=defended, **changes):
    """The honest classifier, or what is put in its place, as the checks see it."""
    examples = spots()
    subject = evaluation.Subject(
        arm="small", logits_fn_of=logits_fn_of, params=trained_params(),
        examples=examples, attack_name="pgd", attack=PGD, epsilon=EPSILON,
        key=jax.random.key(3), withstood=np.ones(len(examples.labels), bool),
        surrogates_of={
            "identity": functools.partial(defended, backward="identity"),
            "smooth": functools.partial(defended, backward="smooth"),
        },
        features_of={"exact": features_of},
        ablations_of={"without the denoiser": network_of},
    )  # fmt: skip
    if logits_fn_of is not defended:  # its other backward passes would be honest
        subject = dataclasses.replace(subject, surrogates_of={}, ablations_of={})
    subject = dataclasses.replace(subject, **changes)
    labels = examples.labels
    survivors = np.argmax(subject.base.logits, axis=-1) == labels
    return dataclasses.replace(
        subject, withstood=survivors, attacked_logits=subject.base.logits
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class NominalPGD:
    """Takes one step, whatever it is told."""

    norm: str = "linf"
    num_steps: int = 40

    def __call__(self, *args, **kwargs):
        return attacks.FGSM(norm=self.norm)(*args, **kwargs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OverBudget:
    """Goes beyond what it is allowed."""

    norm: str = "linf"
    num_steps: int = 10

    def __call__(self, *args, epsilon, **kwargs):
        return PGD(*args, epsilon=1.5 * epsilon, **kwargs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forgetful:
    """Returns an image it does not break in place of each that it does."""

    norm: str = "linf"
    num_steps: int = 10

    def __call__(self, logits_fn, key, images, labels, **kwargs):
        found = PGD(logits_fn, key, images, labels, **kwargs)
        kept = jnp.where(found.success[:, None, None, None], images, found.adversarial)
        return found._replace(adversarial=kept)


def detached(params):
    """The gradient passes the denoiser as if it were not there."""
    return defended(params, backward="identity")


def stopped(params):
    """No gradient passes the denoiser."""

    def logits_fn(images):
        denoised = denoise.wavelet_denoise(images, DENOISER)
        return network_of(params)(jax.lax.stop_gradient(denoised))

    return logits_fn


def confident(params):
    return lambda images: 1e4 * defended(params)(images)


def probabilities(params):
    return lambda images: jax.nn.softmax(defended(params)(images))


def quantised(params):
    return lambda images: defended(params)(jnp.round(images * 32) / 32)


def noisy(params):
    """Draws noise from outside of JAX at every call."""
    rng = np.random.default_rng(0)

    def logits_fn(images):
        shape = jax.ShapeDtypeStruct(images.shape, images.dtype)
        noise = jax.pure_callback(
            lambda x: rng.normal(0, 0.02, x.shape).astype(x.dtype), shape,
            jax.lax.stop_gradient(images), vmap_method="expand_dims",
        )  # fmt: skip
        return defended(params)(images + noise)

    return logits_fn


def mixing(params):
    """The logits of an image depend on its batch."""

    def logits_fn(images):
        return defended(params)(0.5 * images + 0.5 * images.mean(axis=0))

    return logits_fn


def rugged(params):
    """Logits that jump with the last bits of the image."""

    def logits_fn(images):
        jitter = jnp.sin(1e5 * images.sum(axis=(1, 2, 3)))
        logits = defended(params)(images)
        return logits + 3 * jnp.stack([jitter, -jitter], axis=-1)

    return logits_fn
