# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # A patient twin from one image
#
# Given one thermogram: which patient explains it? `bioheat.Inverse` fits the twin by
# derivatives through the heat solver, with and without a tumour, and says how sure it
# is.
#
# Here the patient is simulated, from the same law that the fit assumes, and her shape
# and vessels are given. That is the best case. On real pictures the method explains
# next to nothing, see [the inverse](../inverse.md#real-frontal-thermograms). Research
# software only, not a diagnostic device.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from wbad_jax import bioheat, data

SMOKE = bool(os.environ.get("WBAD_TUTORIAL_SMOKE"))

# %% [markdown]
# ## One patient
#
# A patient is a number. Her body, room, tumour, camera noise all follow from it;
# pictures of her with and without the tumour differ in nothing else.

# %%
seed = 9_730_000
_, builder = data.find_builder(
    f"simulated_thermograms/{'tiny' if SMOKE else 'quickstart'}", {}
)
cohort = builder.cohort
patient = bioheat.simulate_patient(seed, cohort)
template, acquisition = bioheat.draw_healthy(seed, cohort)
print(f"room {acquisition.room_celsius:.1f} °C; some of the numbers drawn:")
for name in ("tumour_depth", "tumour_diameter", "core"):
    print(f"  {name}: {patient.parameters[name]:.2f}")

# %% [markdown]
# ## The fit
#
# `Inverse` is made for a body, `calibrate` takes a picture of it. Of the template only
# shape and vessels are used: fat, blood flow, cooling and core temperature are
# estimated.

# %%
inverse = bioheat.Inverse(
    patient.mask,
    template,
    acquisition.room_celsius,
    cohort,
    bioheat.InverseSettings(num_starts=1, max_iterations=2 if SMOKE else 20),
)
found = inverse.calibrate(patient.tumour_celsius[0])
print("converged:", found.converged)
print(f"log evidence of a tumour against none: {found.log_evidence_ratio:.1f}")

# %%
truth = {
    "column": patient.parameters["tumour_column"],
    "row": patient.parameters["tumour_row"],
    "depth": patient.parameters["tumour_depth"],
    "diameter": patient.parameters["tumour_diameter"],
    "log_heat": float(np.log(patient.parameters["tumour_tissue_metabolic_heat"])),
}
print(f"{'':10}{'true':>8}{'estimate':>10}{'sd':>8}")
for name, value in truth.items():
    estimate, spread = found.values[name], found.standard_deviations[name]
    print(f"{name:10}{value:8.2f}{estimate:10.2f}{spread:8.2f}")
for first, second in (("log_heat", "log_diameter"), ("depth", "log_power")):
    print(
        f"correlation of {first} and {second}: {found.correlation(first, second):.2f}"
    )

# %% [markdown]
# `converged` is False where the last step was longer than 0.3 stated deviations: the
# model has kinks where a boundary of tissue passes a cell of the grid, and a fit may
# stop at one. Look at the residual then.
#
# What the skin shows is the heat of the tumour in watts and its place. A small hot
# tumour and a larger, less hot one look alike, and a picture at rest does not separate
# them: the correlations say so. Where a tumour has recruited vessels of its own, which
# are not in the model, the stated deviations are too small.
#
# ## What is left over

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained")
body = inverse.mask
pictures = {
    "picture, °C": (patient.tumour_celsius[0], "inferno", None),
    "residual without tumour": (found.healthy_residual, "coolwarm", 1.0),
    "residual with tumour": (found.residual, "coolwarm", 1.0),
}
for axis, (title, (picture, colours, limit)) in zip(
    axes, pictures.items(), strict=True
):
    shown = np.where(body, picture, np.nan)
    scale = {} if limit is None else {"vmin": -limit, "vmax": limit}
    figure.colorbar(axis.imshow(shown, cmap=colours, **scale), ax=axis, shrink=0.7)
    axis.set_title(title)
    axis.axis("off")
plt.show()
for name, residual in (("without", found.healthy_residual), ("with", found.residual)):
    rms = np.sqrt((residual[body] ** 2).mean())
    print(f"residual {name} tumour: {rms:.3f} °C rms")

# %% [markdown]
# ## The same woman without the tumour
#
# The evidence should now speak against one.

# %%
healthy = inverse.calibrate(patient.healthy_celsius[0])
print(f"log evidence of a tumour against none: {healthy.log_evidence_ratio:.1f}")

# %% [markdown]
# One patient proves nothing: [the inverse](../inverse.md) has the errors over fifty,
# how often the stated intervals hold, what cannot be told apart, and an attack on the
# score of physics consistency. [The patient twin](../twin.md) has the physics.
