"""Fits healthy patients to real frontal thermograms of your own, for `docs/inverse.md`.

    python -m docs.figures.inverse_frontal --matrices=FOLDER --workdir=runs/frontal
    python -m docs.figures.inverse_frontal --simulated=10

`FOLDER` is as `wbad_jax.data.DmrIr` needs it. For your own eyes, one picture of each
residual goes into `--workdir`; only quartiles over all images go into
`inverse_frontal.json`. The second line fits simulated patients in the same way, and
with their own shape. No tumour is looked for. Half a minute a fit on two cores.
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

from docs.figures import twin_pictures
from docs.figures.command_line import output_parser
from docs.figures.twin import versions
from wbad_jax.bioheat import cohort
from wbad_jax.bioheat import twin as twins
from wbad_jax.bioheat.inverse import Inverse
from wbad_jax.bioheat.outline import NoTemplateFitsError, Outline, fit_outline
from wbad_jax.bioheat.patient import Twin
from wbad_jax.data import body_mask, matrices

FIRST_SEED = 9_700_000
MATRIX_SHAPE = (480, 640)
MILLIMETRES_PER_PIXEL = 0.7
RIM_PIXELS = 3  # of the body, which the camera blurs with the wall
INNER_MM = 24.0  # from the outline of the mask and the edge of the region
FITS = ("own_template", "own_shape_no_vessels", "fitted_template")
QUANTITIES = (
    "agreement",
    "picture_sd_celsius",
    "residual_rms_celsius",
    "residual_sd_celsius",
    "inner_residual_rms_celsius",
    "reduced_chi_square",
)


def law() -> cohort.CohortSettings:
    """The default law, which was chosen against DMR-IR, on the grid of `quickstart`."""
    coarse = twin_pictures.cohort("quickstart")
    return cohort.CohortSettings(
        shape=coarse.shape, spacing_mm=coarse.spacing_mm, tumours=coarse.tumours
    )


def fit(
    celsius: np.ndarray,
    mask: np.ndarray,
    region: np.ndarray,
    template: Twin,
    room_celsius: float,
    settings: cohort.CohortSettings,
) -> tuple[dict, np.ndarray]:
    """Fits a healthy patient: numbers of the fit, and the residual, NaN outside."""
    inverse = Inverse(mask, template, room_celsius, settings, region=region)
    found = inverse.fit_healthy(celsius)
    seen = inverse.mask
    residual = np.where(seen, celsius - inverse.predict(found.values), np.nan)
    depth = ndimage.distance_transform_edt(np.pad(seen, 1))[1:-1, 1:-1]
    inner = residual[depth * settings.spacing_mm > INNER_MM]
    row = {
        "picture_sd_celsius": float(celsius[seen].std()),
        "residual_rms_celsius": float(np.sqrt(np.mean(residual[seen] ** 2))),
        "residual_sd_celsius": float(residual[seen].std()),
        "inner_residual_rms_celsius": float(np.sqrt(np.mean(inner**2))),
        "reduced_chi_square": float(found.chi_square) / int(np.count_nonzero(seen)),
        "converged": found.converged,
    }
    return row, residual


def fit_matrix(
    path: pathlib.Path, settings: cohort.CohortSettings
) -> tuple[dict, Outline, np.ndarray, np.ndarray]:
    """Fits one real matrix; also the outline, the picture and the residual."""
    celsius = matrices.read_matrix(path, MATRIX_SHAPE).astype(float)
    found = body_mask.find_body(celsius, path.name)
    body = np.asarray(ndimage.binary_fill_holes(found))
    outline = fit_outline(body, settings, millimetres_per_pixel=MILLIMETRES_PER_PIXEL)
    marker = body_mask.find_marker(celsius, body, outline.millimetres_per_pixel)
    skin = ndimage.binary_erosion(found, iterations=RIM_PIXELS, border_value=1)
    picture, region = outline.resample(celsius, skin & ~marker)
    # The wall is as warm as the room.
    room = float(np.median(celsius[~body]))
    row, residual = fit(picture, outline.mask, region, outline.template, room, settings)
    return {**row, "agreement": outline.agreement}, outline, picture, residual


def fit_simulated(seed: int, settings: cohort.CohortSettings) -> dict[str, dict]:
    """Fits one simulated healthy picture: knowing the patient's body, or not.

    The picture is solved on a grid of 3 mm, then shrunk like a real one.
    """
    fine = dataclasses.replace(
        settings,
        shape=(2 * settings.shape[0], 2 * settings.shape[1]),
        spacing_mm=settings.spacing_mm / 2,
    )
    patient = cohort.simulate_patient(seed, fine)
    own, acquisition = cohort.draw_healthy(seed, fine)
    celsius, room = patient.healthy_celsius[0].astype(float), acquisition.room_celsius
    outline = fit_outline(patient.mask, settings, millimetres_per_pixel=fine.spacing_mm)
    known = dataclasses.replace(
        outline,
        template=own,
        millimetres_per_pixel=fine.spacing_mm,
        centre=(0.0, 0.0),
        mask=np.asarray(twins.silhouette(own.body, settings.grid)),
    )
    bare = own._replace(vessels=np.zeros_like(own.vessels))
    shapes = (known, dataclasses.replace(known, template=bare), outline)
    rows = {}
    for name, shape in zip(FITS, shapes, strict=True):
        picture, region = shape.resample(celsius, patient.mask)
        row, _ = fit(picture, shape.mask, region, shape.template, room, settings)
        rows[name] = {**row, "agreement": outline.agreement}
    return rows


def summarise(rows: list[dict]) -> dict:
    """Quartiles of what was measured; nothing of a single image."""
    summary: dict = {"fitted": len(rows)}
    if rows:
        summary["converged"] = float(np.mean([row["converged"] for row in rows]))
    for name in QUANTITIES if rows else ():
        values = [row[name] for row in rows]
        summary[name] = np.percentile(values, [25, 50, 75]).tolist()
    return summary


def draw_residual(
    path: pathlib.Path, outline: Outline, picture: np.ndarray, residual: np.ndarray
) -> None:
    """Picture, what the fit leaves of it, and both outlines. Not for publication."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
    shown = np.where(outline.mask, picture, np.nan)
    shows = (
        axes[0].imshow(shown, cmap="inferno"),
        axes[1].imshow(residual, cmap="RdBu_r", vmin=-3, vmax=3),
    )
    for axis, image, title in zip(
        axes, shows, ("observed, °C", "residual, °C"), strict=True
    ):
        axis.contour(outline.rendered, [0.5], colors="black", linewidths=0.8)
        axis.set(xticks=[], yticks=[], title=title)
        figure.colorbar(image, ax=axis, shrink=0.7)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def measure_matrices(
    folder: pathlib.Path, limit: int, workdir: pathlib.Path | None, record: pathlib.Path
) -> None:
    """Fits images of a folder, evenly chosen; the record grows with each."""
    settings = law()
    paths = list(matrices.find_matrices(folder).values())
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(limit, len(paths))).round())
    rows = []
    order = np.random.default_rng(0).permutation(chosen.astype(int))
    for tried, index in enumerate(order, start=1):
        try:
            row, *pictures = fit_matrix(paths[index], settings)
        except NoTemplateFitsError as error:
            print(paths[index].stem, error, flush=True)
        else:
            rows.append(row)
            print(paths[index].stem, row, flush=True)
            if workdir:
                workdir.mkdir(parents=True, exist_ok=True)
                draw_residual(workdir / f"{paths[index].stem}.png", *pictures)
        share = len(rows) / tried
        _update(
            record,
            "real",
            {"images": tried, "template_fits": share, **summarise(rows)},
        )


def measure_simulated(count: int, record: pathlib.Path) -> None:
    """Fits simulated patients of the same law; the record grows with each."""
    settings, rows = law(), []
    for tried, seed in enumerate(range(FIRST_SEED, FIRST_SEED + count), start=1):
        try:
            rows.append(fit_simulated(seed, settings))
        except NoTemplateFitsError as error:
            print(seed, error, flush=True)
            continue
        print(seed, rows[-1], flush=True)
        fits = {name: summarise([row[name] for row in rows]) for name in FITS}
        found = {"images": tried, "template_fits": len(rows) / tried, **fits}
        _update(record, "simulated", {"first_seed": FIRST_SEED, **found})


def _update(path: pathlib.Path, name: str, part: dict) -> None:
    record = json.loads(path.read_text("utf-8")) if path.exists() else {}
    record["versions"] = versions()
    record["law"] = dataclasses.asdict(law().healthy)
    record[name] = part
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is asked for and writes `inverse_frontal.json`."""
    parser = output_parser(__doc__, "inverse_frontal.json")
    parser.add_argument("--matrices", type=pathlib.Path)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--workdir", type=pathlib.Path)
    parser.add_argument("--simulated", type=int, default=0)
    options = parser.parse_args(arguments)
    record = options.output / "inverse_frontal.json"
    if options.matrices:
        measure_matrices(options.matrices, options.limit, options.workdir, record)
    if options.simulated:
        measure_simulated(options.simulated, record)


if __name__ == "__main__":
    main()
