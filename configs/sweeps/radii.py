"""The better defence trained for each radius, and attacked at all of them.

    python -m experiments.ablate --config=configs/sweeps/radii.py
    python -m benchmarks.radii

Network, patients and number of steps are those of `best` in `headline.py`, which was
trained for 0.125 °C; nothing but the radius differs. `all` is one network for all of
these radii: each image of a training step draws one of its own.

Threat model: Linf, a quarter to four times 0.125 °C, white box.

Result: `docs/results.md`, "Other radii", from `benchmarks/results/radii.json`.
"""

from configs import default
from configs.default import Config
from configs.sweeps import headline

# In degrees Celsius. 0.125 is the run `best` of `headline.py`.
TRAINED = (0.25, 0.5, 0.03125)
ATTACKED = (0.03125, 0.0625, 0.125, 0.25, 0.5)


def get_config(mode: str = "full") -> Config:
    """The sweep; `mode` is "full" or "smoke"."""
    default.check_mode(mode)
    base = headline.get_config(mode).base
    base.evaluation.protocols = ("clean", "adaptive")
    base.evaluation.attacks = ()
    base.evaluation.suite = ""
    base.evaluation.surrogates = ()
    base.evaluation.reference_arm = "lesion_map"
    trained, attacked = TRAINED, ATTACKED
    if mode == "smoke":
        base.arm.lesion_map.num_steps = 4
        trained, attacked = TRAINED[:2], ATTACKED[2:4]
    runs = {
        f"celsius_{celsius:g}": {
            **headline.BEST,
            "attack.epsilon_celsius": celsius,
            "evaluation.curve_multiples": tuple(r / celsius for r in attacked),
        }
        for celsius in trained
    }
    headline_celsius = base.attack.epsilon_celsius
    multiples = [celsius / headline_celsius for celsius in ATTACKED]
    runs["all"] = {
        **headline.BEST,
        "arm.lesion_map.epsilon_range": (multiples[0], multiples[-1]),
        "evaluation.curve_multiples": tuple(r / headline_celsius for r in attacked),
    }
    return default.make_sweep("radii", base, runs, seeds=(0,))
