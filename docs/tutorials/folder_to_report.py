# ---
# jupyter:
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # From a folder of thermograms to a report
#
# You have thermograms in a folder and want to know whether a network can tell them
# apart, and how much of that an attacker takes away. This takes one command. Here the
# pictures are simulated, so that you can run all of it; replace the folder by yours.
#
# Research software only, not a diagnostic device. What a network finds in a folder may
# be the camera, the room or the year as well as the disease: read the audit in the
# report.

# %%
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

from wbad_jax import bioheat, data

SMOKE = bool(os.environ.get("WBAD_TUTORIAL_SMOKE"))
work = pathlib.Path(tempfile.mkdtemp(prefix="thermograms-"))

# %% [markdown]
# ## A folder
#
# One sub-folder a class, and the patient in the name of each file. Temperatures are in
# degrees Celsius, as text (one row of the picture a line) or as TIFF of floating point.
# Which of the two is a matter of chance here. If all the sick were TIFF, a network
# could learn the file type, and the audit would tell.

# %%
cohort = data.find_builder(
    f"simulated_thermograms/{'tiny' if SMOKE else 'quickstart'}", {}
)
settings = cohort[1].cohort
folder = work / "thermograms"
for label in ("healthy", "tumour"):
    (folder / label).mkdir(parents=True)

first = 9_700_000  # Patients of no cohort that comes with the library.
for patient in bioheat.simulate(range(first, first + (16 if SMOKE else 240)), settings):
    label = "tumour" if patient.has_tumour else "healthy"
    celsius = (
        patient.tumour_celsius if patient.has_tumour else patient.healthy_celsius
    )[0]
    path = folder / label / f"p{patient.seed - first:04d}"
    if patient.seed % 2:
        np.savetxt(path.with_suffix(".txt"), celsius, fmt="%.2f")
    else:
        Image.fromarray(celsius.astype(np.float32)).save(path.with_suffix(".tiff"))

for label in ("healthy", "tumour"):
    files = sorted(path.name for path in (folder / label).iterdir())
    print(f"{label}: {len(files)} files, such as {', '.join(files[:3])}")

# %% [markdown]
# ## One command
#
# `experiments.train` reads the folder, divides it by patient, asks the cheap questions
# of the audit, trains an undefended network and one behind the wavelet denoiser,
# attacks both, and writes the report. It runs from the root of the repository.
#
# `patient_pattern` finds the patient in the path; without it, or a table, the command
# refuses to go on. `window` says which temperatures become pixel values 0 and 1. Add
# `:smoke` to the config to try a folder with tiny sizes.


# %%
def say(text):
    """Print without the name of the temporary folder."""
    print(text.replace(str(work), "WORK"))


def run(module, *arguments):
    """A command, as in a terminal."""
    say(f"$ python -m {module} " + " \\\n    ".join(arguments))
    finished = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True
    )
    say(finished.stdout)
    if finished.returncode:
        raise RuntimeError(finished.stderr)


size = 32 if SMOKE else 64
run(
    "experiments.train",
    f"--config=configs/image_folder.py{':smoke' if SMOKE else ''}",
    f"--workdir={work / 'run'}",
    f"--config.data.manual_dir={folder}",
    f"--config.data.data_dir={work / 'prepared'}",
    r"--config.data.options.patient_pattern=p(?P<patient>\d+)",
    f"--config.data.options.height={size}",
    f"--config.data.options.width={size}",
    "--config.data.options.window=(22.0, 38.0)",
    "--config.data.options.body=find",
    "--config.data.num_folds=1",
    f"--config.arm.undefended.num_steps={2 if SMOKE else 150}",
    f"--config.arm.wbad.num_steps={2 if SMOKE else 60}",
    *(["--config.evaluation.attacks=('fgsm',)"] if SMOKE else []),
)

# %% [markdown]
# ## The report
#
# `report.html` in the folder of the run is the report: one page that works without a
# network. `report.md` beside it holds its verdict and headline:

# %%
say((work / "run" / "report.md").read_text())

# %% [markdown]
# What to look at first:
#
# - The verdict. A failed check means that the numbers below it are not to be quoted.
# - `baseline:` rows. A network that does no better than the mean temperature has shown
#   nothing about disease.
# - The *adaptive* worst case, not the *graybox* one, says how robust an arm is.
#
# [Your own thermograms](../data.md) has every option, [the report](../report.md) how to
# read it, and [what the numbers mean](../evaluation.md) each column.

# %%
for path in sorted((work / "run").iterdir()):
    print(path.name)
