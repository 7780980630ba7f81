"""What the service answers, as plain numbers, texts and pictures for JSON."""

import base64
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import special

from experiments.serve.arm_programs import (
    MULTIPLES,
    SCORES,
    ArmPrograms,
    EffortSettings,
    Look,
)
from experiments.serve.uploads import Thermogram
from experiments.trained_run import TrainedRun
from wbad_jax import evaluation
from wbad_jax.bioheat import camera
from wbad_jax.data import PIXEL_UNITS

Answer = dict[str, Any]
_SIMULATED = "simulated_thermograms/"


class Answers:
    """The arms to show and all that is said of an image.

    Attributes:
        run: Where they come from.
        arms: The one in front, then the one beside it.
    """

    def __init__(
        self,
        run: TrainedRun,
        names: Sequence[str],
        effort: EffortSettings,
        say: Callable[[str], None] = print,
    ):
        """Compile everything, so that no request waits for it.

        Args:
            run: A finished run.
            names: Of the arms to show, the one in front first.
            effort: How much to compute.
            say: Told what is going on.
        """
        self.run = run
        self.effort = effort
        self.arms: list[ArmPrograms] = []
        low, high = run.window
        self._width = high - low
        blank = np.full(run.image_shape, 0.5, np.float32)
        blank[::2] += np.float32(0.01)  # an image of one value has no noise level
        for name in names:
            start = time.monotonic()
            say(f"{name}: reading validation images ...")
            arm = ArmPrograms(run, name, effort)
            self.arms.append(arm)
            say(f"{name}: compiling the attack and the certificate ...")
            arm.look(blank[None])
            arm.look(np.repeat(blank[None], len(MULTIPLES), axis=0))
            arm.attack(blank, 0)
            arm.certify(blank)
            say(f"{name}: ready after {time.monotonic() - start:.0f} s.")

    def facts(self) -> Answer:
        """What the page needs before there is an image."""
        run, front = self.run, self.arms[0]
        height, width, channels = run.image_shape
        return {
            "run": run.config.name,
            "data": run.fold.test.name,
            "simulated": run.fold.test.name.startswith(_SIMULATED),
            "height": height, "width": width, "channels": channels,
            "window": list(run.window),
            "unit": "" if run.window == PIXEL_UNITS else "°C",
            "classes": list(run.classes),
            "arms": [{"name": a.name, "defended": a.defended} for a in self.arms],
            "epsilon": run.fold.budgets["linf"] * self._width,
            "attack_steps": self.effort.attack_steps,
            "sigma": front.sigma * self._width,
            "noise_trained": front.noise_trained,
            "examples": [name for name, _ in self._examples()],
        }  # fmt: skip

    def example(self, number: int) -> str | None:
        """A simulated patient as text to send back: degrees, one row a line."""
        found = self._examples()
        if not 0 <= number < len(found):
            return None
        low, _ = self.run.window
        celsius = low + self._width * found[number][1][..., 0]
        return "\n".join(",".join(f"{v:.4f}" for v in row) for row in celsius) + "\n"

    def examine(self, thermogram: Thermogram) -> Answer:
        """Decision, probabilities, scores and the denoised image of each arm."""
        return {
            "name": thermogram.name,
            "notes": list(thermogram.notes),
            "image": _picture(thermogram.image),
            "arms": [
                self._told(arm, arm.look(thermogram.image[None]), 0)
                | {"name": arm.name, "validation": arm.reading.num_validation}
                for arm in self.arms
            ],
        }

    def attack(self, thermogram: Thermogram) -> Answer:
        """Each arm attacked at every budget; the front one by the other's images."""
        sweeps, labels = [], []
        for arm in self.arms:
            logits = arm.look(thermogram.image[None]).logits
            labels.append(int(logits[0].argmax()))
            sweeps.append(arm.attack(thermogram.image, labels[-1]))
        epsilon = self.run.fold.budgets["linf"] * self._width * np.array(MULTIPLES)
        answer: Answer = {
            "epsilon": epsilon.tolist(),
            "clean": _picture(thermogram.image),
            "arms": [
                {
                    "name": arm.name,
                    "class": self.run.classes[label],
                    "images": [_picture(image) for image in sweep.images],
                    "steps": self._steps(arm, sweep.look, label),
                }
                for arm, sweep, label in zip(self.arms, sweeps, labels, strict=True)
            ],
            "transfer": None,
        }
        if len(self.arms) > 1:
            look = self.arms[0].look(sweeps[1].images)
            answer["transfer"] = self._steps(self.arms[0], look, labels[0])
        return answer

    def certify(self, thermogram: Thermogram) -> Answer:
        """The certified radius of the front arm."""
        arm = self.arms[0]
        found = arm.certify(thermogram.image)
        radius = float(found.radius[0])
        pixels = thermogram.image.size
        return {
            "arm": arm.name,
            "class": self.run.classes[int(found.predicted[0])],
            "abstained": bool(found.abstained[0]),
            "radius": radius * self._width,
            "radius_each_pixel": radius * self._width / pixels**0.5,
            "sigma": arm.sigma * self._width,
            "alpha": arm.alpha,
            "votes": found.votes[0].tolist(),
            "noise_trained": arm.noise_trained,
        }

    def _steps(self, arm: ArmPrograms, look: Look, label: int) -> list[Answer]:
        labels = np.full(len(look.logits), label)
        margins = evaluation.margins(look.logits, labels)
        return [
            self._told(arm, look, i) | {"margin": float(margin)}
            for i, margin in enumerate(margins)
        ]

    def _told(self, arm: ArmPrograms, look: Look, row: int) -> Answer:
        logits = look.logits[row : row + 1]
        calibrated = arm.reading.probability(logits)
        threshold = arm.reading.threshold
        score = float(evaluation.margins(logits, np.ones(1, int))[0])
        return {
            "class": self.run.classes[int(logits[0].argmax())],
            "probability": float(special.softmax(logits[0].astype(np.float64))[1]),
            "calibrated": None if calibrated is None else float(calibrated[0]),
            "score": score,
            "threshold": threshold,
            "above_threshold": None if threshold is None else score > threshold,
            "denoised": _picture(look.denoised[row]) if arm.defended else None,
            "scores": [
                {"name": name, "value": float(value), "limit": limit,
                 "flagged": bool(value > limit)}
                for name, value, limit in zip(
                    SCORES, look.scores[row], arm.limits, strict=True
                )
            ],
        }  # fmt: skip

    def _examples(self) -> list[tuple[str, np.ndarray]]:
        """One simulated validation patient of each class; nobody's real picture."""
        validation = self.run.fold.validation
        if not validation.name.startswith(_SIMULATED):
            return []
        found = []
        for label, name in enumerate(self.run.classes):
            rows = np.flatnonzero(validation.labels == label)
            found += [(name, validation.images[row]) for row in rows[:1]]
        return found


def _picture(image: np.ndarray) -> str:
    """Mean of the channels as base64 of uint16, 65535 the upper end of the window."""
    levels = camera.quantise(np.clip(image.mean(axis=-1), 0, 1)).astype("<u2")
    return base64.b64encode(levels.tobytes()).decode("ascii")


def choose_arms(run: TrainedRun, front: str | None, beside: str | None) -> list[str]:
    """Names of the arms to show: by default the last one, and the first beside it.

    Raises:
        ConfigError: If the run has no such arm.
    """
    names = [run.arm(front)[0].name]
    other = run.arm(beside or next(iter(run.trained)))[0].name
    return names if other == names[0] else [*names, other]
