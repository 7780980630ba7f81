"""Run an exported classifier on thermograms: needs jax, flatbuffers and numpy alone.

python load_exported.py FOLDER MATRIX.csv [MATRIX.csv ...]

FOLDER is what experiments.export wrote; each matrix holds degrees Celsius as text, as
many rows and columns as the manifest says, the background set to its outside_of_body.
Research only: not a diagnostic device.
"""

import json
import pathlib
import sys

import jax
import numpy as np
from jax import export


def main(folder: str, *files: str) -> None:
    """Print probabilities and what a perturbation of the temperatures could do."""
    manifest = json.loads((pathlib.Path(folder) / "manifest.json").read_text("utf-8"))
    content = (pathlib.Path(folder) / manifest["file"]).read_bytes()
    program = export.deserialize(bytearray(content))
    shape = tuple(manifest["input"]["shape"][1:])
    texts = [pathlib.Path(name).read_text("ascii").split("\n") for name in files]
    rows = [[line.replace(",", " ").replace(";", " ") for line in t] for t in texts]
    images = np.stack([np.loadtxt(r, np.float32, ndmin=2) for r in rows])[..., None]
    if images.shape[1:] != shape or not np.isfinite(images).all():
        sys.exit(f"error: matrices must be {shape[:2]} and finite, got {images.shape}.")
    probabilities = jax.nn.softmax(jax.jit(program.call)(images))
    # By temperatures, of the score; L1 is dual to a bound on every pixel.
    slopes = jax.grad(lambda x: (program.call(x) @ np.array([-1.0, 1.0])).sum())
    norms = np.abs(jax.jit(slopes)(images)).sum((1, 2, 3))
    print(manifest["notice"])
    for name, given, norm in zip(files, np.asarray(probabilities), norms, strict=True):
        shares = zip(manifest["classes"], given.tolist(), strict=True)
        print(name, *(f"{label} {share:.6f}" for label, share in shares), end=" ")
        print(f"gradient {norm:.6g} per degree Celsius of every pixel")
    limit = manifest["decision"]["threshold_at_90_percent_specificity"]
    print(f"A score above {limit} means a tumour at 90 % specificity.")


if __name__ == "__main__":
    main(*sys.argv[1:])
