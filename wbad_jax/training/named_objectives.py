"""Objectives by the names that configs use."""

from collections.abc import Mapping
from typing import Any

from wbad_jax.attacks import PGD, Attack
from wbad_jax.training.lesion_maps import MapsFn, lesion_maps
from wbad_jax.training.objectives import ApplyFn, Objective, mixture
from wbad_jax.training.trades import mart, trades

# Weights of the versions of an example; None: of the caller's choice.
_MIXTURES: Mapping[str, Mapping[str, float] | None] = {
    "standard": {"clean": 1.0},
    "adversarial": {"pgd": 1.0},
    "fast": {"fast": 1.0},
    "wbad": None,
}
OBJECTIVES = (*_MIXTURES, "trades", "mart", "lesion_map")


def make_objective(
    name: str,
    logits_fn_of: ApplyFn,
    attacks: Mapping[str, Attack],
    *,
    mix: Mapping[str, float],
    trades_beta: float = 6.0,
    mart_beta: float = 5.0,
    lesion_map_weight: float = 0.3,
    label_smoothing: float = 0.0,
    maps: tuple[MapsFn, float] | None = None,
) -> Objective:
    """Builds an objective.

    Args:
        name: "standard": clean images only. "adversarial": PGD only (Madry et al.
            2018). "fast": FGSM from a random start only (Wong, Rice and Kolter 2020).
            "wbad": the versions in `mix`. "trades" and "mart": see `trades.py`.
            "lesion_map": PGD, with twins as teachers, see `lesion_maps.py`.
        logits_fn_of: From parameters to a function from images to logits.
        attacks: By name: "pgd", "fast", "trades" and "mart" for the objectives that
            need them, those in `mix` for "wbad".
        mix: Weights of "wbad" by version; not used by the others.
        trades_beta: Weight of the divergence in "trades".
        mart_beta: Likewise in "mart".
        lesion_map_weight: Weight of the lesion's error in "lesion_map".
        label_smoothing: Probability mass moved to the uniform distribution; not in
            "mart", which has none.
        maps: For "lesion_map": from parameters and images to logits and maps, and the
            difference of pixel values that is 1 in a map.

    Raises:
        ValueError: If the name is unknown, or a setting is refused by the objective.

    Examples:
        >>> from wbad_jax.attacks import PGD
        >>> from wbad_jax.training import make_objective
        >>> logits_fn_of = lambda p: lambda images: images.mean((1, 2)) @ p["w"]
        >>> attacks, mix = {"pgd": PGD(num_steps=4)}, {"clean": 0.5, "pgd": 0.5}
        >>> objective = make_objective("wbad", logits_fn_of, attacks, mix=mix)
    """
    if name not in OBJECTIVES:
        raise ValueError(f"objective must be one of {list(OBJECTIVES)}, got {name!r}.")
    smoothing: dict[str, Any] = {"label_smoothing": label_smoothing}
    if name == "trades":
        attack = _pgd(attacks[name])
        return trades(logits_fn_of, beta=trades_beta, attack=attack, **smoothing)
    if name == "mart":
        if label_smoothing:
            raise ValueError(
                f"label_smoothing must be 0 with objective 'mart', got "
                f"{label_smoothing}."
            )
        return mart(logits_fn_of, beta=mart_beta, attack=_pgd(attacks[name]))
    if name == "lesion_map":
        if maps is None:
            raise ValueError("objective 'lesion_map' needs a network with such a map.")
        return lesion_maps(
            logits_fn_of, maps[0], attack=_pgd(attacks["pgd"]), scale=maps[1],
            weight=lesion_map_weight, **smoothing,
        )  # fmt: skip
    preset = _MIXTURES[name]
    weights = mix if preset is None else preset
    return mixture(logits_fn_of, attacks, weights, **smoothing)


def _pgd(attack: Attack) -> PGD:
    assert isinstance(attack, PGD), attack
    return attack
