"""Attacks of torchattacks, ART and pyautoattack on the twins in PyTorch."""

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.attack_budgets import Budgets, Comparison
from benchmarks.attack_problem import Problem
from benchmarks.torch_models import TorchClassifier, as_tensor

# From a seed to adversarial images.
Run = Callable[[int], Any]
THREADS = tuple(sorted({1, os.cpu_count() or 1}))
FORMATS = {
    "channels first": torch.contiguous_format,
    "channels last": torch.channels_last,
}
_NORMS = {"linf": "Linf", "l2": "L2"}


class TorchTarget(NamedTuple):
    """A model and the images `[batch, channels, height, width]` to attack it with."""

    model: TorchClassifier
    images: torch.Tensor
    labels: torch.Tensor


def make_target(problem: Problem, model: str, rows: Sequence[int]) -> TorchTarget:
    """The twin of a trained model and some of the test images."""
    twin = TorchClassifier(problem.settings.classifier(model), problem.params[model])
    chosen = np.asarray(rows)
    labels = torch.from_numpy(problem.labels[chosen]).long()
    return TorchTarget(twin.eval(), as_tensor(problem.images[chosen]), labels)


def variants(target: TorchTarget) -> dict[str, tuple[int, TorchTarget]]:
    """Numbers of threads and layouts in memory; which is best depends on the model."""
    found = {}
    for name, layout in FORMATS.items():
        # PyTorch converts a model in place, hence one for each layout.
        model = TorchClassifier(*target.model.origin).eval()
        model = model.to(memory_format=layout)
        images = target.images.contiguous(memory_format=layout)
        for threads in THREADS:
            there = target._replace(model=model, images=images)
            found[f"threads {threads}, {name}"] = threads, there
    return found


def torchattacks_run(
    target: TorchTarget, comparison: Comparison, budgets: Budgets, epsilon: float
) -> Run:
    """An attack of torchattacks, cross-entropy being its loss."""
    import torchattacks

    steps, norm = budgets.pgd_steps, _NORMS[comparison.norm]
    step = {"eps": epsilon, "alpha": 2.5 / steps * epsilon, "steps": steps}
    ball = {"norm": norm, "eps": epsilon}
    make = {
        "fgsm linf": lambda seed: torchattacks.FGSM(target.model, eps=epsilon),
        "pgd linf": lambda seed: torchattacks.PGD(target.model, **step),
        "pgd l2": lambda seed: torchattacks.PGDL2(target.model, **step),
        "apgd": lambda seed: torchattacks.APGD(
            target.model, **ball, steps=budgets.apgd_steps, seed=seed
        ),
        "square": lambda seed: torchattacks.Square(
            target.model, **ball, n_queries=budgets.queries, seed=seed
        ),
        "fab": lambda seed: torchattacks.FAB(
            target.model, **ball, steps=budgets.fab_steps, seed=seed, n_classes=2
        ),
    }
    chosen = make.get(comparison.name) or make[comparison.attack]

    def run(seed):
        torch.manual_seed(seed)
        return chosen(seed)(target.images, target.labels)

    return run


def pyautoattack_run(
    target: TorchTarget, comparison: Comparison, budgets: Budgets, epsilon: float
) -> Run:
    """An attack of AutoAttack's authors, as packaged by pyautoattack."""
    from pyautoattack.autopgd_base import APGDAttack
    from pyautoattack.fab_pt import FABAttack_PT
    from pyautoattack.square import SquareAttack

    ball: dict[str, Any] = {
        "norm": _NORMS[comparison.norm],
        "eps": epsilon,
        "device": "cpu",
    }
    make = {
        "apgd": functools.partial(APGDAttack, n_iter=budgets.apgd_steps),
        "square": functools.partial(SquareAttack, n_queries=budgets.queries),
        "fab": functools.partial(FABAttack_PT, n_iter=budgets.fab_steps),
    }[comparison.attack]

    def run(seed):
        attack = make(target.model, seed=seed, **ball)
        found = attack.perturb(target.images.clone(), target.labels)
        return found[1] if isinstance(found, tuple) else found

    return run


def art_run(
    target: TorchTarget, comparison: Comparison, budgets: Budgets, epsilon: float
) -> Run:
    """An attack of the Adversarial Robustness Toolbox, all images in one batch."""
    from art.attacks import evasion
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        target.model, loss=torch.nn.CrossEntropyLoss(), nb_classes=2,
        input_shape=tuple(target.images.shape[1:]), clip_values=(0.0, 1.0),
        device_type="cpu",
    )  # fmt: skip
    options = {
        "norm": np.inf if comparison.norm == "linf" else 2,
        "eps": epsilon,
        "batch_size": len(target.images),
    }
    steps = budgets.pgd_steps
    attack: Any = {
        "fgsm": lambda: evasion.FastGradientMethod(classifier, **options),
        "pgd": lambda: evasion.ProjectedGradientDescentPyTorch(
            classifier, **options, eps_step=2.5 / steps * epsilon, max_iter=steps,
            num_random_init=1, verbose=False,
        ),
        "apgd": lambda: evasion.AutoProjectedGradientDescent(
            classifier, **options, eps_step=2 * epsilon, max_iter=budgets.apgd_steps,
            nb_random_init=1, loss_type="cross_entropy", verbose=False,
        ),
    }[comparison.attack]()  # fmt: skip
    images, labels = target.images.numpy(), target.labels.numpy()

    def run(seed):
        np.random.seed(seed)  # noqa: NPY002  ART draws from the global generator
        torch.manual_seed(seed)
        return attack.generate(images, labels)

    return run


RUNS = {
    "torchattacks": torchattacks_run,
    "art": art_run,
    "pyautoattack": pyautoattack_run,
}
