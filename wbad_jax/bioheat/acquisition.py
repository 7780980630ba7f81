"""How a patient came to be imaged: the room, the camera unit, the habits of the staff.

By default all of it is the same for both classes. On request it depends on the label as
in DMR-IR, where healthy women were imaged years before most sick ones, and logistic
regression on background and noise alone has an area under the curve of 0.92.
"""

import dataclasses
import math

import numpy as np
import scipy

from wbad_jax.bioheat.camera import Camera

# Mean, standard deviation; of 95 healthy and 67 sick DMR-IR matrices.
_ROOM_CELSIUS = (22.6, 1.2)
_ROOM_OF_LABEL = ((22.6, 1.2), (23.2, 1.8))
_ROOM_LIMITS = (18.0, 27.0)
# Standard deviation of the logarithm of a unit's noise.
_UNIT_SPREAD = 0.15
# Within each era. With the means 0.2 apart the wall's noise alone has the area of 0.92
# measured in DMR-IR, and noise of both eras together spreads as by default.
_ERA_SPREAD = 0.1
_NOISE_OF_LABEL = (0.049, 0.040)
# Of pictures with a reference tag: assumed, since nobody has counted them by label.
_TAGS_OF_LABEL = (0.7, 0.4)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Acquisition:
    """The circumstances of one patient's pictures, shared by her twins.

    Attributes:
        room_celsius: Temperature of air and walls.
        camera: The unit used, with its own noise.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.bioheat import Camera, draw_acquisition
        >>> acquisition = draw_acquisition(np.random.default_rng(0), Camera())
        >>> 15 < acquisition.room_celsius < 30
        True
    """

    room_celsius: float
    camera: Camera

    @property
    def has_tag(self) -> bool:
        """Whether a reference plate lies on the body."""
        return self.camera.reference_tag


def draw_acquisition(
    rng: np.random.Generator,
    camera: Camera,
    *,
    confounded_label: bool | None = None,
) -> Acquisition:
    """Draws the circumstances of one patient's pictures.

    Args:
        rng: Consumed alike whatever the label: room, noise, tag.
        camera: The model of camera; the unit's noise varies around its noise.
        confounded_label: None for a law that knows no label. Else the patient's own
            label, 0 or 1, for the law of the healthy or the sick in DMR-IR, where the
            sick had warmer rooms and a camera with less noise; tags too are then drawn
            by label, whatever `camera.reference_tag`.

    Returns:
        The circumstances, to be used for both of the patient's twins.

    Raises:
        ValueError: If `confounded_label` is none of these.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.bioheat import Camera, draw_acquisition
        >>> draw_acquisition(np.random.default_rng(0), Camera()).camera.emissivity
        0.98
    """
    if confounded_label not in (None, 0, 1):
        raise ValueError(
            f"confounded_label needs None, 0 or 1, got {confounded_label}."
        )
    room, spread, shift, tags = _ROOM_CELSIUS, _UNIT_SPREAD, 0.0, None
    if confounded_label is not None:
        label = int(confounded_label)
        room, spread, tags = _ROOM_OF_LABEL[label], _ERA_SPREAD, _TAGS_OF_LABEL[label]
        middle = math.sqrt(math.prod(_NOISE_OF_LABEL))
        shift = math.log(_NOISE_OF_LABEL[label] / middle)
    celsius = _truncated_normal(rng, *room)
    noise = camera.noise_celsius * math.exp(rng.normal(shift, spread))
    share = rng.uniform()
    has_tag = camera.reference_tag if tags is None else share < tags
    unit = dataclasses.replace(camera, noise_celsius=noise, reference_tag=has_tag)
    return Acquisition(room_celsius=celsius, camera=unit)


def _truncated_normal(rng: np.random.Generator, mean: float, spread: float) -> float:
    """A normal number inside `_ROOM_LIMITS`, from a single uniform one."""
    low, high = (scipy.special.ndtr((limit - mean) / spread) for limit in _ROOM_LIMITS)
    return mean + spread * float(scipy.special.ndtri(rng.uniform(low, high)))
