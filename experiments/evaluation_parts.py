"""The finished parts of an evaluation on disk, so that one that was stopped goes on."""

import dataclasses
import hashlib
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from configs.default import Config
from experiments.config_errors import ConfigError
from experiments.run_folder import provenance, to_plain
from experiments.settings import Arm
from experiments.train_arm import parameters_sha256
from experiments.whole_files import read_arrays, read_json, write_arrays, write_json
from wbad_jax import evaluation, processes
from wbad_jax.data.fingerprint import fingerprint
from wbad_jax.evaluation import Attacked, Condition, Examples, Outcome
from wbad_jax.types import Params

Identity = Mapping[str, Any]


class Parts:
    """Outcomes and adversarial images, each in a file of its own.

    A file's name ends with a digest of all that its numbers depend on: settings, code
    version, device, parameters and images. What was made from others is never read.
    """

    def __init__(
        self, folder: pathlib.Path | None, config: Config, name: str = "outcomes"
    ):
        """Parts of one fold.

        Args:
            folder: They lie in its folder `name`; None keeps nothing.
            config: The experiment.
            name: Of the folder.
        """
        self._folder = folder and folder / name
        plain = to_plain(config)
        del plain["data"]["data_dir"]  # may change without changing the run
        self._settings = {"config": plain, **provenance(config)}

    def outcome(
        self, condition: Condition, identity: Identity, make: Callable[[], Outcome]
    ) -> Outcome:
        """The outcome of a condition: found, or made and kept.

        Args:
            condition: The circumstances.
            identity: Classifier, images and what else it depends on.
            make: Called if there is no file of it.
        """
        if self._folder is None:
            return make()
        path = self._path(dataclasses.asdict(condition), identity, "parquet")
        if not processes.as_first(path.exists()):
            outcome = make()
            processes.on_first(lambda: _write_outcome(outcome, path))
        (outcome,) = evaluation.read_parquet(path)
        return outcome

    def batch(
        self,
        condition: Condition,
        identity: Identity,
        index: int,
        make: Callable[[], tuple[np.ndarray, ...]],
    ) -> tuple[np.ndarray, ...]:
        """Arrays of one batch of an attack, until its outcome is kept.

        Args:
            condition: Of the attack.
            identity: As in `outcome`.
            index: Number of the batch.
            make: Called if there is no file of them.
        """
        if self._folder is None:
            return make()
        whole = self._path(dataclasses.asdict(condition), identity, "parquet")
        path = _batch_path(whole, str(index))
        if not processes.as_first(path.exists()):
            arrays = {f"{place:02}": array for place, array in enumerate(make())}
            processes.on_first(lambda: write_arrays(arrays, path))
        arrays = read_arrays(path)
        names = [f"{place:02}" for place in range(len(arrays))]
        _check_names(path, arrays, names or ["00"])
        return tuple(arrays[name] for name in names)

    def attacked(
        self, name: Mapping[str, Any], identity: Identity, make: Callable[[], Attacked]
    ) -> Attacked:
        """Adversarial images: found, or made and kept.

        Args:
            name: Set, protocol, attack, norm and epsilon.
            identity: As in `outcome`.
            make: Called if there is no file of them.
        """
        if self._folder is None:
            return make()
        path = self._path(name, identity, "npz")
        if not processes.as_first(path.exists()):
            arrays = dataclasses.asdict(make())
            processes.on_first(lambda: write_arrays(arrays, path))
        arrays = read_arrays(path)
        fields = [field.name for field in dataclasses.fields(Attacked)]
        _check_names(path, arrays, fields)
        seconds = float(arrays.pop("seconds"))
        return Attacked(**arrays, seconds=seconds)

    def record(
        self, name: str, identity: Identity, make: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """A record of plain values: found, or made and kept. For one process.

        Args:
            name: Of the record, such as "wbad-C13".
            identity: As in `outcome`.
            make: Called if there is no file of it.
        """
        if self._folder is None:
            return make()
        digest = fingerprint([self._settings, name, dict(identity)])
        path = self._folder / f"{name.replace('/', '-')}-{digest}.json"
        if not path.exists():
            write_json(make(), path)
        return read_json(path)

    def remove(self) -> None:
        """Delete all parts: the evaluation is complete."""
        folder = self._folder
        if folder is not None:
            processes.on_first(lambda: shutil.rmtree(folder, ignore_errors=True))

    def _path(self, name: Mapping[str, Any], identity: Identity, suffix: str):
        assert self._folder is not None
        digest = fingerprint([self._settings, dict(name), dict(identity)])
        told = [name.get(field) for field in ("set", "arm", "protocol", "attack")]
        told += [f"{name['epsilon']:.6g}" if name["epsilon"] is not None else None]
        stem = "-".join(str(part).replace(":", "_") for part in told if part)
        return self._folder / f"{stem}-{digest}.{suffix}"


def _batch_path(outcome: pathlib.Path, index: str) -> pathlib.Path:
    return outcome.with_name(f"{outcome.stem}-batch{index}.npz")


def identify(arm: Arm, params: Params, examples: Examples) -> Identity:
    """What the logits of a classifier on a set depend on."""
    images = hashlib.sha256(np.ascontiguousarray(examples.images).tobytes())
    if examples.twins is not None:
        images.update(np.ascontiguousarray(examples.twins).tobytes())
    return {
        "classifier": repr(arm.classifier),
        "parameters": parameters_sha256(params),
        "images": images.hexdigest(),
        "examples": [str(name) for name in examples.example_ids],
    }


def _check_names(path: pathlib.Path, arrays: Mapping[str, Any], names) -> None:
    if set(arrays) != set(names):
        raise ConfigError(
            f"{path} is damaged: it must hold the arrays {sorted(names)}, got "
            f"{sorted(arrays)}."
        )


def _write_outcome(outcome: Outcome, path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    evaluation.write_parquet([outcome], path)
    for batch in path.parent.glob(_batch_path(path, "*").name):
        batch.unlink()
