"""From the name and the settings of an attack to the attack on one classifier.

Attacks that know of a denoiser take wavelet, boundary mode and levels from the one they
stand before; where there is none they use its defaults.
"""

from collections.abc import Callable, Mapping
from typing import Any

from wbad_jax import attacks, denoise
from wbad_jax.attacks import Attack
from wbad_jax.evaluation import AttackOfParameters
from wbad_jax.models import Classifier
from wbad_jax.types import Params

Settings = dict[str, Any]
Made = Attack | AttackOfParameters


def make_attack(
    name: str, settings: Mapping[str, Any], classifier: Classifier | None = None
) -> Made:
    """Build an attack.

    Args:
        name: A key of `attacks.ATTACKS` or of `MAKERS`.
        settings: Fields of its dataclass, without those that follow from the
            classifier; `num_steps` of attacks that prepare starts is that of the APGD
            behind them.
        classifier: Which is attacked; one without denoiser if None.

    Raises:
        TypeError: If a setting is unknown.
        ValueError: If the name or a value is.
    """
    denoiser = classifier and classifier.denoiser
    if name == "threshold_crossing":
        return _threshold_crossing(classifier, dict(settings))
    if name in MAKERS:
        return MAKERS[name](denoiser or denoise.DenoiserSettings(), dict(settings))
    return attacks.build(name, **settings)


def _apgd(_, settings: Settings) -> Attack:
    # Rates are the same, and examples that are broken take no more time.
    return attacks.APGD(**{"stop_on_success": True, **settings})


def _subband(denoiser: denoise.DenoiserSettings, settings: Settings) -> Attack:
    return attacks.SubbandPGD(**{**_transform(denoiser), **settings})


def _details(denoiser: denoise.DenoiserSettings, settings: Settings) -> Attack:
    bands = tuple(range(1, denoiser.level + 1))
    return attacks.SubbandPGD(**{**_transform(denoiser), "bands": bands, **settings})


def _square_blocks(denoiser: denoise.DenoiserSettings, settings: Settings) -> Attack:
    return attacks.Square(**{"aligned": 2**denoiser.level, **settings})


def _threshold_estimator(
    denoiser: denoise.DenoiserSettings, settings: Settings
) -> Attack:
    filters = {"wavelet": denoiser.wavelet, "mode": denoiser.mode}
    return attacks.ThresholdEstimatorAttack(inner=_inner(settings), **filters)


def _warm_starts(denoiser: denoise.DenoiserSettings, settings: Settings) -> Attack:
    inner = _inner({name: settings.pop(name) for name in _INNER & settings.keys()})
    filters = {"wavelet": denoiser.wavelet, "mode": denoiser.mode}
    return attacks.WarmStarts(inner=inner, **{**filters, **settings})


def _threshold_crossing(classifier: Classifier | None, settings: Settings) -> Made:
    if classifier is None or classifier.denoiser is None:
        raise ValueError("threshold_crossing needs a classifier with a denoiser.")
    inner = _inner({name: settings.pop(name) for name in _INNER & settings.keys()})
    settings = {**_transform(classifier.denoiser), "inner": inner, **settings}

    def make(params: Params) -> Attack:
        return attacks.ThresholdCrossing(
            thresholds=lambda images: classifier.pixel_thresholds(params, images),
            **settings,
        )

    attacks.ThresholdCrossing(thresholds=0.0, **settings)  # refuses wrong settings
    return AttackOfParameters(make, inner.norm)


_INNER = {"num_steps", "norm", "restarts"}


def _inner(settings: Settings) -> attacks.APGD:
    return attacks.APGD(stop_on_success=True, **settings)


def _transform(denoiser: denoise.DenoiserSettings) -> Settings:
    fields = ("wavelet", "mode", "level")
    return {field: getattr(denoiser, field) for field in fields}


MAKERS: dict[str, Callable[[denoise.DenoiserSettings, Settings], Any]] = {
    "apgd": _apgd,
    "subband": _subband,
    "details": _details,
    "square_blocks": _square_blocks,
    "threshold_estimator": _threshold_estimator,
    "warm_starts": _warm_starts,
    "minimal_norm": lambda _, settings: attacks.FAB(**settings),
    "twin": lambda _, settings: attacks.TwinAttack(**settings),
    "template": lambda _, settings: attacks.TemplateAttack(**settings),
}
