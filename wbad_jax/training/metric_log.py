"""Training metrics as lines of JSON and as TensorBoard events."""

import json
import pathlib
from collections.abc import Mapping

from wbad_jax import processes
from wbad_jax.damaged_files import DamagedFileError


class MetricLog:
    """Appends metrics of one run to `metrics.jsonl` and TensorBoard.

    A resumed run repeats the steps after its checkpoint: their old lines are dropped
    when the log is opened, so every step stands in the file once. Of several processes
    the first writes.

    Examples:
        >>> import pathlib, tempfile
        >>> from wbad_jax.training import MetricLog, read_metrics
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with MetricLog(pathlib.Path(folder), "wbad") as log:
        ...         log.write(1, {"loss": 0.5})
        ...     read_metrics(pathlib.Path(folder) / "metrics.jsonl")
        [{'run': 'wbad', 'step': 1, 'loss': 0.5}]
    """

    def __init__(self, workdir: pathlib.Path, run: str, first_step: int = 0):
        """Open the log.

        Args:
            workdir: Folder of the experiment.
            run: Name of the run inside it, such as "wbad" or "fold0/wbad".
            first_step: Lines of this run after this step are dropped.
        """
        self._run = run
        self._writes = processes.is_first()
        if not self._writes:
            return
        self._path = workdir / "metrics.jsonl"
        self._drop_from(first_step)
        self._file = self._path.open("a", encoding="utf-8")
        from tensorboardX import SummaryWriter  # here: imports PyTorch if it is there

        self._events = SummaryWriter(
            str(workdir / "tensorboard" / run), purge_step=first_step
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._writes:
            self._file.close()
            self._events.close()

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of one step."""
        if not self._writes:
            return
        line = {"run": self._run, "step": step, **metrics}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        for name, value in metrics.items():
            self._events.add_scalar(name, value, step)

    def _drop_from(self, first_step: int) -> None:
        if not self._path.exists():
            return
        kept = [
            line
            for line in read_metrics(self._path)
            if not self._stale(line, first_step)
        ]
        temporary = self._path.with_suffix(".jsonl.tmp")
        text = "".join(json.dumps(line) + "\n" for line in kept)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self._path)

    def _stale(self, line: dict, first_step: int) -> bool:
        return line["run"] == self._run and line["step"] > first_step


def read_metrics(path: pathlib.Path) -> list[dict]:
    """Read a metrics file; a last line cut short by a kill is left out.

    Raises:
        DamagedFileError: If another line is damaged; the message names file and line.

    Examples:
        >>> import pathlib, tempfile
        >>> from wbad_jax.training import read_metrics
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "metrics.jsonl")
        ...     _ = path.write_text('{"run": "wbad", "step": 1, "loss": 0.5}')
        ...     read_metrics(path)
        [{'run': 'wbad', 'step': 1, 'loss': 0.5}]
    """
    lines = []
    texts = path.read_bytes().splitlines()
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
            if not isinstance(line, dict) or not {"run", "step"} <= line.keys():
                raise ValueError("not an object with run and step")
        except (ValueError, RecursionError) as error:
            if number < len(texts):
                raise DamagedFileError(
                    f"{path}, line {number}, is damaged: {error}."
                ) from error
        else:
            lines.append(line)
    return lines
