"""Patients, each in both states: healthy and with a tumour, all else identical.

The tumour of every patient is drawn before a fair coin decides which of the two states
the patient is in. So the law of healthy twins is that of healthy patients, and nothing
but the tumour itself depends on the label.

Means and spreads are those of 95 healthy DMR-IR matrices (Silva et al. 2014): body mean
30.5 +- 1.1 degrees, within-body standard deviation 1.27 +- 0.19, absolute difference of
the means of left and right 0.23 +- 0.19, background 22.6 +- 1.2.
"""

import dataclasses
import math

import numpy as np

from wbad_jax.bioheat import anatomy, texture, tissue
from wbad_jax.bioheat.buried_source import surface_contrast_profile
from wbad_jax.bioheat.camera import Camera, blur, draw_noise

_BODY_MEAN = (30.5, 1.1)
_BODY_SPREAD = (1.27, 0.19)
_BACKGROUND = (22.6, 1.2)
_MILLIMETRE = 1e-3
# Redraws before settings are called impossible; by default few are needed.
_MOST_DRAWS = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class CohortSettings:
    """What a simulated cohort is like.

    Attributes:
        height: Pixels.
        width: Pixels.
        field_of_view_mm: Across the width.
        contrast_celsius: Range of the tumour's peak excess at the skin, before the
            camera's blur; drawn uniformly.
        depth_mm: Range of the depth of the tumour's centre.
        diameter_mm: Range of the tumour's diameter.
        cover_mm: Least tissue between tumour and skin.
        max_tumour_heat: Upper limit of the excess heat in W/m3; tumours that would need
            more for their contrast are drawn again.
        clutter: Factor on veins and benign warm spots. Real skin is busier than the
            default: detail finer than 14 mm varies by 0.52 degrees in healthy DMR-IR
            matrices, here by 0.13, and by 0.28 with clutter 1 and a field of 0.3. There
            a blob detector finds tumours of 1-3 degrees with an area under the curve of
            0.65, by default of 0.95.
        field_celsius: Standard deviation of the additive Gaussian field.
        field_log_slope: Of its power spectrum.
        asymmetry_celsius: Standard deviation of the difference between the halves of
            the body that is not explained by its pattern.
        camera: Blur and noise.
    """

    height: int = 64
    width: int = 64
    field_of_view_mm: float = 450.0
    contrast_celsius: tuple[float, float] = (1.0, 3.0)
    depth_mm: tuple[float, float] = (10.0, 20.0)
    diameter_mm: tuple[float, float] = (10.0, 20.0)
    cover_mm: float = 2.0
    max_tumour_heat: float = tissue.LOZANO_TUMOUR_HEAT[1]
    clutter: float = 0.3
    field_celsius: float = 0.1
    field_log_slope: float = -4.4
    asymmetry_celsius: float = 0.33
    camera: Camera = Camera()

    def __post_init__(self):
        if self.height < 8 or self.width < 8:
            raise ValueError(
                f"CohortSettings needs at least 8 x 8 pixels, got {self.height} x "
                f"{self.width}."
            )
        for name in ("clutter", "field_celsius", "cover_mm"):
            if not getattr(self, name) >= 0:
                raise ValueError(
                    f"CohortSettings needs {name} >= 0, got {getattr(self, name)}."
                )
        for name in ("contrast_celsius", "depth_mm", "diameter_mm"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(
                    f"CohortSettings needs 0 < low <= high in {name}, got {low} .. "
                    f"{high}."
                )
        if self.diameter_mm[0] / 2 + self.cover_mm > self.depth_mm[1]:
            raise ValueError(
                f"CohortSettings: no tumour of {self.diameter_mm[0]} mm fits at "
                f"{self.depth_mm[1]} mm under {self.cover_mm} mm of cover."
            )

    @property
    def millimetres_per_pixel(self) -> float:
        """Edge of a pixel."""
        return self.field_of_view_mm / self.width


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tumour:
    """A tumour as drawn.

    Attributes:
        contrast_celsius: Peak excess at the skin.
        depth_mm: Of its centre.
        diameter_mm: Its size.
        column_mm: From the image centre.
        row_mm: From the image centre.
        heat: Excess heat generated, W/m3.
    """

    contrast_celsius: float
    depth_mm: float
    diameter_mm: float
    column_mm: float
    row_mm: float
    heat: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class PatientRecord:
    """What is known of a simulated patient beside the two images.

    Attributes:
        has_tumour: The state that the coin chose.
        mask: Body pixels, `[height, width]` bool.
        background_celsius: Temperature of the wall behind, before noise.
        tumour: The tumour of the second twin, drawn whatever the state.
    """

    has_tumour: bool
    mask: np.ndarray
    background_celsius: float
    tumour: Tumour


def simulate_patient(
    cohort_seed: int, patient_id: int, settings: CohortSettings
) -> tuple[np.ndarray, np.ndarray, PatientRecord]:
    """Simulates both twins of one patient.

    Args:
        cohort_seed: Names the cohort; patients of different cohorts are independent.
        patient_id: Number of the patient within the cohort.
        settings: Of the cohort.

    Returns:
        The healthy and the tumour image in degrees Celsius, `[height, width]` float64
        with background and noise, neither windowed nor quantised; and the record. Equal
        arguments give equal results.

    Raises:
        ValueError: If a seed is negative, or no tumour satisfies the settings.
    """
    # One stream for each purpose, so that a change of one leaves the others alone.
    streams = np.random.SeedSequence((cohort_seed, patient_id)).spawn(5)
    body_rng, skin_rng, tumour_rng, camera_rng, coin = map(
        np.random.default_rng, streams
    )
    shape, pixel = (settings.height, settings.width), settings.millimetres_per_pixel
    body = anatomy.draw_body(body_rng)
    columns, rows = anatomy.pixel_grid(shape, pixel)
    mask = anatomy.body_mask(body, columns, rows)
    background = body_rng.normal(*_BACKGROUND)
    healthy = _healthy_scene(skin_rng, body, mask, background, settings)
    tumour, excess = _draw_tumour(tumour_rng, body, columns, rows, settings)
    excess = blur(np.where(mask, excess, 0.0), mask, settings.camera)
    noise = draw_noise(camera_rng, shape, settings.camera)
    record = PatientRecord(
        has_tumour=bool(coin.integers(2)),
        mask=mask,
        background_celsius=background,
        tumour=tumour,
    )
    return healthy + noise, healthy + excess + noise, record


def _healthy_scene(
    rng: np.random.Generator,
    body: anatomy.Body,
    mask: np.ndarray,
    background: float,
    settings: CohortSettings,
) -> np.ndarray:
    """The skin and the wall behind it, blurred by the camera but free of noise."""
    pixel = settings.millimetres_per_pixel
    columns, rows = anatomy.pixel_grid(mask.shape, pixel)
    broad = anatomy.broad_pattern(rng, body, columns, rows)
    local = anatomy.local_pattern(rng, body, mask, pixel, settings.clutter)
    mean, spread = rng.normal(*_BODY_MEAN), rng.normal(*_BODY_SPREAD)
    variance = spread**2 - settings.field_celsius**2
    structure = local + _broad_amplitude(local[mask], broad[mask], variance) * broad
    structure -= structure[mask].mean()
    tilt = rng.normal(0, settings.asymmetry_celsius) / 2
    structure += tilt * np.tanh((columns - body.column) / 30)
    scene = np.where(mask, mean + structure, background)
    spectrum = texture.field_power_spectrum(
        mask.shape,
        pixel,
        standard_deviation=settings.field_celsius,
        log_slope=settings.field_log_slope,
    )
    # Added behind the optics: a blur before the borders would break the exact spectrum.
    field = texture.draw_field(rng, spectrum)
    return blur(scene, mask, settings.camera) + np.where(mask, field, 0.0)


def _broad_amplitude(local: np.ndarray, broad: np.ndarray, variance: float) -> float:
    """The factor on `broad` that gives `local + factor * broad` a variance.

    Only the broad pattern is scaled: degrees of veins, spots and tumours stay what they
    were drawn as. 0 where the local pattern varies more than that by itself.
    """
    (local_variance, covariance), (_, broad_variance) = np.cov(local, broad, ddof=0)
    missing = variance - local_variance
    if missing <= 0:
        return 0.0
    root = math.sqrt(covariance**2 + broad_variance * missing)
    return (root - covariance) / broad_variance


def _draw_tumour(
    rng: np.random.Generator,
    body: anatomy.Body,
    columns: np.ndarray,
    rows: np.ndarray,
    settings: CohortSettings,
) -> tuple[Tumour, np.ndarray]:
    """Draws a tumour and the excess temperature of the skin above it."""
    breast = body.breasts[rng.integers(2)]
    # Uniform in the ellipse, and inside the rim by more than the largest tumour.
    distance, angle = 0.75 * math.sqrt(rng.uniform()), rng.uniform(0, 2 * math.pi)
    column = breast.column + distance * breast.half_width * math.cos(angle)
    row = breast.row + distance * breast.half_height * math.sin(angle)
    axis_distance = np.hypot(columns - column, rows - row) * _MILLIMETRE
    for _ in range(_MOST_DRAWS):
        contrast = rng.uniform(*settings.contrast_celsius)
        diameter = rng.uniform(*settings.diameter_mm)
        depth = rng.uniform(*settings.depth_mm)
        if depth < diameter / 2 + settings.cover_mm:
            continue
        excess, heat = surface_contrast_profile(
            axis_distance,
            depth=depth * _MILLIMETRE,
            radius=diameter / 2 * _MILLIMETRE,
            peak=contrast,
        )
        if heat <= settings.max_tumour_heat:
            tumour = Tumour(
                contrast_celsius=contrast,
                depth_mm=depth,
                diameter_mm=diameter,
                column_mm=column,
                row_mm=row,
                heat=heat,
            )
            return tumour, excess
    raise ValueError(
        f"No tumour of {settings.contrast_celsius} degrees, {settings.diameter_mm} mm "
        f"at {settings.depth_mm} mm has an excess heat below "
        f"{settings.max_tumour_heat:g} W/m3."
    )
