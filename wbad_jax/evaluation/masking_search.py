"""Checks that search the ball by other means, and that take the defence apart."""

import dataclasses

import jax
import numpy as np

from wbad_jax import attacks
from wbad_jax.evaluation.arm_record import percent
from wbad_jax.evaluation.check_results import Verdict, not_run, too_many, verdict
from wbad_jax.evaluation.subject import CheckSettings, Subject, right

_LARGE_EPSILON = 1.0
# Relative excess over epsilon that float32 may cause.
_SLACK = 1e-6
# Of the typical logit gap: logits of other programs and batches agree to this.
_SAME_LOGITS = 1e-3
_NOT_IN_L1 = "Needs an attack in Linf or L2."


def random_noise(subject: Subject, settings: CheckSettings) -> Verdict:
    """C13: random points break nothing that gradients leave."""
    norm = subject.attack.norm
    if norm == "l1":
        return not_run(_NOT_IN_L1)
    part = subject.survivors(settings.noise_examples)
    n = len(part.examples.labels)
    if n == 0:
        return not_run("No image withstands the adaptive attacks.")
    broken = np.zeros(n, bool)
    half = -(-settings.noise_samples // 2)
    for draw in ("uniform", "extreme"):
        noise = attacks.RandomNoise(norm=norm, num_samples=half, draw=draw)
        found = part.run(noise, with_surrogates=False)
        broken |= ~right(found.logits, part.examples.labels)
    return verdict(
        not broken.any(),
        f"{2 * half} random points break none of {n} images that attacks leave.",
        f"Random points break {int(broken.sum())} of {n} images that attacks leave: "
        "the attacks are blind.",
        broken=int(broken.sum()),
        n=n,
        samples=2 * half,
        ids=part.examples.example_ids[broken],
    )


def square(subject: Subject, settings: CheckSettings) -> Verdict:
    """C12: queries break nothing that gradients leave."""
    norm = subject.attack.norm
    if norm == "l1":
        return not_run(_NOT_IN_L1)
    part = subject.survivors(settings.num_examples)
    n = len(part.examples.labels)
    if n == 0:
        return not_run("No image withstands the adaptive attacks.")
    attack = attacks.Square(norm=norm, num_queries=settings.square_queries)
    found = part.run(attack, with_surrogates=False)
    broken = ~right(found.logits, part.examples.labels)
    return verdict(
        not too_many(int(broken.sum()), n, settings.tolerance),
        f"Square with {settings.square_queries} queries breaks {int(broken.sum())} of "
        f"{n} images that attacks leave.",
        f"Square, which sees no gradient, breaks {int(broken.sum())} of {n} images "
        "that attacks leave: gradients are masked.",
        square_broken=int(broken.sum()),
        square_n=n,
        square_ids=part.examples.example_ids[broken],
    )


def large_budget(subject: Subject, settings: CheckSettings) -> Verdict:
    """C11: with the whole pixel range to change, the attack breaks every image."""
    if subject.attack.norm != "linf":
        return not_run("Needs an iterative attack in Linf.")
    part = subject.first(settings.num_examples)
    found = part.run(epsilon=_LARGE_EPSILON)
    named = np.argmax(np.concatenate([part.clean_logits, found.logits]), axis=-1)
    if len(np.unique(named)) == 1:
        return not_run("The classifier names one class always: see 'constant'.")
    left = right(found.logits, part.examples.labels)
    return verdict(
        not left.any(),
        f"With the whole pixel range to change, {part.attack_name} breaks all images.",
        f"With the whole pixel range to change, {part.attack_name} leaves "
        f"{percent(left.mean())} of the images: it does not find what is there.",
        accuracy_at_large_epsilon=left.mean(),
        large_epsilon=_LARGE_EPSILON,
    )


def converged(subject: Subject, settings: CheckSettings) -> Verdict:
    """C8: twice the steps and restarts break no more, and neither does plain PGD."""
    part = subject.first(settings.num_examples)
    steps = getattr(part.attack, "num_steps", None)
    if steps is None:
        return not_run(f"{part.attack_name} has no number of steps.")
    runs = {
        "as_run": part.base,
        "doubled": part.run(_doubled(part.attack)),
        "plain_pgd": part.run(attacks.PGD(norm=part.attack.norm, num_steps=steps)),
        "one_step": part.run(attacks.FGSM(norm=part.attack.norm)),
    }
    labels = part.examples.labels
    correct = {name: right(run.logits, labels) for name, run in runs.items()}
    n = len(labels)
    gains = {
        name: int((correct["as_run"] & ~correct[name]).sum())
        for name in ("doubled", "plain_pgd")
    }
    same = np.all(part.base.images == runs["one_step"].images, axis=(1, 2, 3))
    faults = []
    if too_many(gains["doubled"], n, settings.tolerance):
        faults.append(
            f"twice the steps and restarts break {gains['doubled']} more of {n} images"
        )
    if too_many(gains["plain_pgd"], n, settings.tolerance):
        faults.append(
            f"plain PGD of {steps} steps breaks {gains['plain_pgd']} more of {n} images"
        )
    if faults and steps > 1 and same.mean() > 0.9:
        faults.append(
            f"its images are those of one step on {percent(same.mean())}: it does not "
            f"take the {steps} steps it is named after"
        )
    return verdict(
        not faults,
        f"Twice the steps and restarts of {part.attack_name} break "
        f"{gains['doubled']} more of {n} images.",
        f"{part.attack_name} is not at its end: {'; '.join(faults)}.",
        more_broken=gains,
        accuracy={name: value.mean() for name, value in correct.items()},
        equal_to_one_step=same.mean(),
        n=n,
    )


def backward_modes(subject: Subject, settings: CheckSettings) -> Verdict:
    """C15: each backward pass of the denoiser alone, and their union."""
    reach = subject.dead_but_reachable
    if not subject.surrogates_of:
        return not_run("There is no denoiser: one backward pass.")
    part = subject.first(settings.num_examples)
    modes = {"exact": part.logits_fn_of, **part.surrogates_of}
    labels = part.examples.labels
    correct = {
        name: right(part.run(logits_fn_of=of, with_surrogates=False).logits, labels)
        for name, of in modes.items()
    }
    union = np.all(list(correct.values()), axis=0)
    headline = right(part.base.logits, labels)
    missed = int((headline & ~union).sum())
    alone = {name: float(value.mean()) for name, value in correct.items()}
    best = min(alone, key=lambda name: alone[name])
    told = f"strongest alone: {best}, {percent(alone[best])} right"
    if alone[best] - union.mean() > settings.tolerance:
        told += (
            f"; others add {percent(alone[best] - union.mean())}, so the union counts"
        )
    return verdict(
        not too_many(missed, len(labels), settings.tolerance),
        f"The attack follows {len(modes)} backward passes and leaves "
        f"{percent(headline.mean())} ({told}).",
        f"A single backward pass breaks {missed} of {len(labels)} images that the "
        f"attack over all of them leaves ({told}).",
        accuracy_alone=alone,
        accuracy_union=union.mean(),
        accuracy_as_run=headline.mean(),
        dead_but_reachable=reach,
    )


def without_parts(subject: Subject, settings: CheckSettings) -> Verdict:
    """C14: images made without a part of the defence break nothing new."""
    if not subject.ablations_of:
        return not_run("There is no denoiser to leave out.")
    part = subject.first(settings.num_examples)
    labels = part.examples.labels
    left = right(part.base.logits, labels) & part.withstood
    transferred = np.ones(len(labels), bool)
    alone = {}
    for name, of in part.ablations_of.items():
        found = part.run(logits_fn_of=of, with_surrogates=False)
        alone[name] = float(right(found.logits, labels).mean())
        transferred &= right(part.logits(found.images), labels)
    broken = int((left & ~transferred).sum())
    return verdict(
        not too_many(broken, len(labels), settings.tolerance),
        f"Images made {', '.join(alone)} break {broken} of {len(labels)} that attacks "
        "leave.",
        f"Images made {', '.join(alone)} break {broken} of {len(labels)} that attacks "
        "on the whole classifier leave: its gradients mislead.",
        accuracy_of_parts=alone,
        accuracy_of_transfer=transferred.mean(),
    )


def images_rechecked(subject: Subject, settings: CheckSettings) -> Verdict:
    """C21: adversarial images judged again, one by one, by a new program."""
    part = subject.first(settings.noise_examples)
    found, clean = part.base, part.examples.images
    moved = (found.images - clean).reshape(len(clean), -1)
    order = {"linf": np.inf, "l2": 2, "l1": 1}[part.attack.norm]
    size = np.linalg.norm(moved.astype(np.float64), order, axis=1)
    forward = jax.jit(lambda params, image: part.logits_fn_of(params)(image))
    again = np.concatenate(
        [np.asarray(forward(part.params, image[None])) for image in found.images]
    )
    scale = float(np.median(np.ptp(part.clean_logits, axis=-1))) or 1.0
    difference = float(np.max(np.abs(again - found.logits))) / scale
    faults = []
    if (size > part.epsilon * (1 + _SLACK)).any():
        faults.append(f"a perturbation of {size.max():.5g} for {part.epsilon:.5g}")
    if found.images.dtype != clean.dtype or not np.isfinite(found.images).all():
        faults.append(f"pixels of {found.images.dtype} that are not all numbers")
    elif found.images.min() < 0 or found.images.max() > 1:
        faults.append("pixels outside of 0 to 1")
    if not difference <= _SAME_LOGITS:
        faults.append(f"logits of single images differ by {difference:.2g} of the gap")
    repeated = None
    if part.attacked_logits is not None:
        named = [np.argmax(x, axis=-1) for x in (part.attacked_logits, found.logits)]
        repeated = int((named[0] != named[1]).sum())
        if too_many(repeated, len(clean), settings.tolerance):
            faults.append(f"{repeated} decisions differ from the recorded ones")
    return verdict(
        not faults,
        f"{len(clean)} adversarial images are within the budget and judged the same "
        "one by one.",
        f"Adversarial images do not hold: {'; '.join(faults)}.",
        largest_perturbation=size.max() / part.epsilon,
        largest_logit_difference=difference,
        other_decisions=repeated,
    )


def _doubled(attack: attacks.Attack) -> attacks.Attack:
    """The attack with twice the steps and restarts."""
    settings = {
        name: 2 * getattr(attack, name)
        for name in ("num_steps", "restarts")
        if hasattr(attack, name)
    }
    return dataclasses.replace(attack, **settings)  # pyright: ignore
