"""Patients, each in both states: healthy and with a tumour, all else identical.

A patient is named by one integer. Her tumour is drawn before a fair coin decides which
of the two states she is in, so the law of healthy twins is that of healthy patients,
and nothing but the tumour itself depends on the label. Every part of a patient has a
random stream of its own: a change of one leaves the others alone.
"""

import collections
import dataclasses
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np

from wbad_jax.bioheat import texture, thermograms
from wbad_jax.bioheat.acquisition import Acquisition, draw_acquisition
from wbad_jax.bioheat.anatomy import HealthySettings, draw_twin
from wbad_jax.bioheat.body_shape import Grid
from wbad_jax.bioheat.camera import Camera, draw_exposure, take_image
from wbad_jax.bioheat.patient import Tumour, Twin
from wbad_jax.bioheat.thermograms import ColdStress, TumourPlacementError
from wbad_jax.bioheat.tumours import TumourSettings, draw_strength, draw_tumour
from wbad_jax.bioheat.twin import View

PROTOCOLS = ("static", "dynamic")
_STREAMS = ("anatomy", "acquisition", "tumour", "field", "exposure", "coin")
# Redraws of a tumour after a solve; some two are needed on average.
_MOST_SOLVES = 40


# A pixel of a simulated image is the mean of many of a real camera's: noise as in
# DMR-IR frames shrunk to 3 mm a pixel.
_CAMERA = Camera(psf_sigma_pixels=0.5, noise_celsius=0.01, column_celsius=0.005)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CohortSettings:
    """What a simulated cohort is like.

    Attributes:
        shape: Height and width in pixels, and in cells of the grid.
        spacing_mm: Edge of a cell and of a pixel.
        height_mm: Of the grid above the chest wall.
        protocol: "static", one picture at rest, or "dynamic", the pictures of
            `cold_stress`.
        confounded: Makes room and camera depend on the label, on purpose.
        field_celsius: Standard deviation of the additive Gaussian field.
        field_log_slope: See `texture.field_power_spectrum`.
        field_smoothing_mm: Likewise.
        healthy: How healthy patients vary.
        tumours: The law of tumours.
        cold_stress: The dynamic protocol.
        camera: Of the room.

    Examples:
        >>> from wbad_jax.bioheat import CohortSettings
        >>> CohortSettings(shape=(64, 64), spacing_mm=6.0).grid.shape
        (14, 64, 64)
    """

    shape: tuple[int, int] = (128, 128)
    spacing_mm: float = 3.0
    height_mm: float = 84.0
    protocol: str = "static"
    confounded: bool = False
    field_celsius: float = 0.36
    field_log_slope: float = -4.6
    field_smoothing_mm: float = 2.0
    healthy: HealthySettings = HealthySettings()
    tumours: TumourSettings = TumourSettings()
    cold_stress: ColdStress = ColdStress()
    camera: Camera = _CAMERA

    def __post_init__(self):
        if min(self.shape) < 16:
            raise ValueError(
                f"CohortSettings needs at least 16 x 16 pixels, got {self.shape}."
            )
        if self.protocol not in PROTOCOLS:
            raise ValueError(
                f"protocol must be one of {PROTOCOLS}, got {self.protocol!r}."
            )
        for name in ("spacing_mm", "height_mm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}.")
        if not self.field_celsius >= 0:
            raise ValueError(f"field_celsius must be >= 0, got {self.field_celsius}.")
        least = thermograms.least_diameter(self.spacing_mm)
        if self.tumours.diameter_mm[0] < least:
            raise ValueError(
                f"A grid of {self.spacing_mm:g} mm needs tumours of at least {least:g} "
                f"mm, got diameter_mm {self.tumours.diameter_mm}."
            )

    @property
    def grid(self) -> Grid:
        """The grid; its plane is the image."""
        depth = round(self.height_mm / self.spacing_mm)
        return Grid(shape=(depth, *self.shape), spacing_mm=self.spacing_mm)

    @property
    def field_spectrum(self) -> np.ndarray:
        """Of the Gaussian field, see `texture.field_power_spectrum`."""
        return texture.field_power_spectrum(
            self.shape,
            self.spacing_mm,
            standard_deviation=self.field_celsius,
            log_slope=self.field_log_slope,
            smoothing_mm=self.field_smoothing_mm,
        )


class Patient(NamedTuple):
    """A simulated patient.

    Attributes:
        seed: Names the patient.
        has_tumour: The state that the coin chose.
        healthy_celsius: Pictures without tumour, `[frames, height, width]` float32,
            neither windowed nor masked.
        tumour_celsius: The same with the tumour: same noise, drift and mask.
        mask: Body pixels, `[height, width]` bool.
        seconds: Time of each frame since the end of the cooling, `[frames]`.
        parameters: Everything drawn, by name; the same names for all patients.

    Examples:
        >>> from wbad_jax.bioheat import CohortSettings, simulate_patient
        >>> patient = simulate_patient(7, CohortSettings())  # doctest: +SKIP
        >>> patient.tumour_celsius.shape  # doctest: +SKIP
    """

    seed: int
    has_tumour: bool
    healthy_celsius: np.ndarray
    tumour_celsius: np.ndarray
    mask: np.ndarray
    seconds: np.ndarray
    parameters: dict[str, float]


def simulate(
    seeds: Iterable[int], settings: CohortSettings, *, workers: int = 2
) -> Iterator[Patient]:
    """Simulates patients, several at a time.

    Args:
        seeds: Of the patients.
        settings: Of the cohort.
        workers: Threads; a patient's images do not depend on their number.

    Yields:
        Patients in the order of their seeds.

    Examples:
        >>> from wbad_jax.bioheat import CohortSettings, simulate
        >>> for patient in simulate(range(4), CohortSettings()):  # doctest: +SKIP
        ...     print(patient.seed, patient.has_tumour)
    """
    pending = collections.deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for seed in seeds:
                pending.append(pool.submit(simulate_patient, int(seed), settings))
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def simulate_patient(seed: int, settings: CohortSettings) -> Patient:
    """Simulates both twins of one patient.

    Args:
        seed: Names the patient.
        settings: Of the cohort.

    Returns:
        The patient. Equal arguments give equal results on the same kind of machine.

    Raises:
        NotConvergedError: If the heat solver stops before its tolerance.
        ValueError: If no tumour of the settings fits into the patient.

    Examples:
        >>> from wbad_jax.bioheat import CohortSettings, simulate_patient
        >>> patient = simulate_patient(7, CohortSettings())  # doctest: +SKIP
    """
    rng = _random_streams(seed)
    has_tumour = bool(rng["coin"].integers(2))
    acquisition = draw_acquisition(
        rng["acquisition"],
        settings.camera,
        confounded_label=has_tumour if settings.confounded else None,
    )
    twin = draw_twin(rng["anatomy"], acquisition.room_celsius, settings.healthy)
    scenes, view, tumour, contrast = _solve(rng["tumour"], twin, settings)
    pictures = _take_pictures(rng, scenes, view, acquisition, settings)
    times = np.arange(len(scenes[0]), dtype=np.float32)
    return Patient(
        seed=seed,
        has_tumour=has_tumour,
        healthy_celsius=pictures[0],
        tumour_celsius=pictures[1],
        mask=np.asarray(view.body),
        seconds=times * settings.cold_stress.frame_seconds,
        parameters={
            **_parameters(twin, tumour),
            "room_celsius": acquisition.room_celsius,
            "noise_celsius": acquisition.camera.noise_celsius,
            "tumour_contrast_celsius": contrast,
        },
    )


def draw_healthy(seed: int, settings: CohortSettings) -> tuple[Twin, Acquisition]:
    """The patient without tumour of a seed, and how she was imaged, without a solve.

    Args:
        seed: Names the patient.
        settings: Of a cohort that is not confounded.

    Returns:
        What `simulate_patient` draws under the same arguments.

    Raises:
        ValueError: If the cohort is confounded.

    Examples:
        >>> from wbad_jax.bioheat import CohortSettings, draw_healthy
        >>> twin, acquisition = draw_healthy(7, CohortSettings())
        >>> 36 < twin.core < 38
        True
    """
    if settings.confounded:
        raise ValueError("draw_healthy needs a cohort that is not confounded.")
    rng = _random_streams(seed)
    acquisition = draw_acquisition(rng["acquisition"], settings.camera)
    room = acquisition.room_celsius
    return draw_twin(rng["anatomy"], room, settings.healthy), acquisition


def _random_streams(seed: int) -> dict[str, np.random.Generator]:
    children = np.random.SeedSequence(seed).spawn(len(_STREAMS))
    return {
        name: np.random.default_rng(child)
        for name, child in zip(_STREAMS, children, strict=True)
    }


def _take_pictures(
    rng: dict[str, np.random.Generator],
    scenes: list[np.ndarray],
    view: View,
    acquisition: Acquisition,
    settings: CohortSettings,
) -> list[np.ndarray]:
    """Pictures of each scene, with the same Gaussian field and the same noise."""
    field = texture.draw_field(rng["field"], settings.field_spectrum)
    exposure = draw_exposure(
        rng["exposure"], settings.shape, acquisition.camera, frames=len(scenes[0])
    )
    mask, facing = np.asarray(view.body), np.asarray(view.facing)
    room, camera = acquisition.room_celsius, acquisition.camera
    return [
        take_image(scene + field, mask, facing, room, exposure, camera).astype(
            np.float32
        )
        for scene in scenes
    ]


def _solve(rng: np.random.Generator, twin: Twin, settings: CohortSettings):
    """Skin of both twins `[frames, height, width]`, the view, the tumour, its peak."""
    grid = settings.grid
    healthy, theta, view = thermograms.solve_healthy(twin, grid)
    strength = draw_strength(rng, settings.tumours)
    low, high = settings.tumours.contrast_celsius
    if strength == "weak":
        low, high = 0.0, np.inf
    for _ in range(_MOST_SOLVES):
        tumour = draw_tumour(rng, twin, strength, settings.tumours)
        try:
            ill, ill_theta, ill_view = thermograms.solve_tumour(
                twin, tumour, grid, healthy, theta
            )
        except TumourPlacementError:
            continue
        excess = np.asarray(ill_view.skin) - np.asarray(view.skin)
        contrast = float(excess[np.asarray(view.body)].max())
        if low <= contrast <= high:
            break
    else:
        raise ValueError(
            f"None of {_MOST_SOLVES} tumours warmed the skin by {low} .. {high} "
            "degrees."
        )
    if settings.protocol == "static":
        scenes = [np.asarray(each.skin)[None] for each in (view, ill_view)]
    else:
        scenes = [
            thermograms.cold_stress(patient, state, grid, settings.cold_stress)
            for patient, state in ((healthy, theta), (ill, ill_theta))
        ]
    return scenes, view, tumour, contrast


def _parameters(twin: Twin, tumour: Tumour) -> dict[str, float]:
    """Every number of a patient by name; vessels by their number and exchange."""
    named = {}
    for owner, tree in (("", twin), ("tumour_", tumour)):
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            name = owner + "_".join(part.name for part in path if hasattr(part, "name"))
            values = np.atleast_1d(np.asarray(leaf, np.float64))
            if name.endswith("vessels"):
                watts = values[:, 3]
                named[f"{name}_points"] = float((watts > 0).sum())
                named[f"{name}_watts_per_kelvin"] = float(watts.sum())
            elif values.size == 1:
                index = [str(part.idx) for part in path if hasattr(part, "idx")]
                named["_".join([name, *index])] = float(values[0])
            else:
                for index, value in np.ndenumerate(values):
                    suffix = "_".join(map(str, index))
                    named[f"{name}_{suffix}"] = float(value)
    return named


def _parameter_names() -> tuple[str, ...]:
    rng = np.random.default_rng(0)
    twin = draw_twin(rng, 22.0, HealthySettings())
    tumour = draw_tumour(rng, twin, "weak", TumourSettings())
    measured = "room_celsius", "noise_celsius", "tumour_contrast_celsius"
    return (*_parameters(twin, tumour), *measured)


# Names in `Patient.parameters`.
PARAMETER_NAMES = _parameter_names()
