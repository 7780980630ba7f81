"""The same training step in PyTorch: torchattacks for PGD, ptwt in the denoiser."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
import torchattacks

from benchmarks.attack_torch import FORMATS, THREADS
from benchmarks.torch_models import TorchClassifier, as_tensor
from benchmarks.training_problem import StepSettings

Call = Callable[[], Any]


class Trainer:
    """A network that learns, with its optimiser and averaged parameters."""

    def __init__(self, settings: StepSettings, layout: torch.memory_format):
        self._settings = settings
        params = jax.jit(settings.classifier.init)(jax.random.key(0))
        model = TorchClassifier(settings.classifier, params)
        self.model = model.to(memory_format=layout).requires_grad_(True)
        model.feature_kernel.requires_grad_(False)
        learnt = [p for p in model.parameters() if p.requires_grad]
        self._learnt = learnt
        self._averaged = [p.detach().clone() for p in learnt]
        groups = [
            {"params": [p for p in learnt if p.ndim > 1]},
            {"params": [p for p in learnt if p.ndim == 1], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(
            groups, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._attack = torchattacks.PGD(
            model,
            eps=settings.epsilon,
            alpha=settings.step_size * settings.epsilon,
            steps=settings.attack_steps,
        )
        images, labels, _ = settings.draw_batch()
        self._images = as_tensor(images).contiguous(memory_format=layout)
        self._labels = torch.from_numpy(np.array(labels)).long()

    def __call__(self) -> float:
        """One training step; the loss."""
        images = self._images
        if self._settings.objective == "adversarial":
            images = self._attack(images, self._labels)
        self._optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(self.model(images), self._labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._learnt, self._settings.clip_norm)
        self._optimizer.step()
        with torch.no_grad():
            share = 1 - self._settings.ema_decay
            torch._foreach_lerp_(self._averaged, self._learnt, share)
        return loss.item()


def step_calls(settings: StepSettings) -> dict[str, Call]:
    """The step with each number of threads and memory layout, by name."""

    def on_threads(threads, trainer):
        torch.set_num_threads(threads)
        return trainer()

    return {
        f"threads {threads}, {name}": functools.partial(
            on_threads, threads, Trainer(settings, layout)
        )
        for name, layout in FORMATS.items()
        for threads in THREADS
    }
