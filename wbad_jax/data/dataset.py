"""A data set in memory."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set in memory, ordered by patient, frame and label.

    Attributes:
        images: `[examples, height, width, channels]` float32 in [0, 1].
        masks: `[examples, height, width, 1]` bool, the body.
        labels: `[examples]` int32, 0 = healthy, 1 = tumour.
        patient_ids: `[examples]` int64.
        patient_seeds: `[examples]` int64, what names a simulated patient across
            cohorts; -1 for real ones.
        frames: `[examples]` int32, position in a series of images of one patient; 0
            where there is one image a patient.
        seconds: `[examples]` float32, time of the frame after the end of cooling.
        example_ids: `[examples]` str.
        factual: `[examples]` bool; False for the twin in the state that its patient is
            not in. Training and testing on "patients" use factual examples only.
        background_celsius: `[examples]` float32, see `examples.measure_scalars`; of the
            factual image, twins share it.
        noise_celsius: `[examples]` float32, likewise.
        parameters: Name to `[examples]` float32: what a simulated patient was made
            from, her tumour included whatever her state; of a real one what is known of
            the acquisition, such as `acquisition_day` or `file_size`, NaN where it is
            not known.
        window: Temperatures mapped to 0 and 1, degrees Celsius; (0, 1) where pixels
            stand for no temperature.
        name: Builder and config, "dmr_ir/frontal".
        version: Of the builder.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.data import PIXEL_UNITS, Dataset
        >>> n, rng = 24, np.random.default_rng(0)
        >>> dataset = Dataset(
        ...     images=rng.random((n, 4, 4, 1), np.float32),
        ...     masks=np.ones((n, 4, 4, 1), bool),
        ...     labels=(np.arange(n) % 2).astype(np.int32),
        ...     patient_ids=np.arange(n), patient_seeds=np.full(n, -1),
        ...     frames=np.zeros(n, np.int32), seconds=np.zeros(n, np.float32),
        ...     example_ids=np.arange(n).astype(str), factual=np.ones(n, bool),
        ...     background_celsius=np.full(n, 22.0), noise_celsius=np.full(n, 0.05),
        ...     parameters={"acquisition_year": 2012.0 + np.arange(n) // 12},
        ...     window=PIXEL_UNITS, name="mine", version="1.0.0",
        ... )
        >>> len(dataset), len(dataset.subset(dataset.labels == 1))
        (24, 12)
    """

    images: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    patient_ids: np.ndarray
    patient_seeds: np.ndarray
    frames: np.ndarray
    seconds: np.ndarray
    example_ids: np.ndarray
    factual: np.ndarray
    background_celsius: np.ndarray
    noise_celsius: np.ndarray
    parameters: dict[str, np.ndarray]
    window: tuple[float, float]
    name: str
    version: str

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: np.ndarray) -> "Dataset":
        """The examples at `indices` (integers or a bool mask), in that order."""
        arrays = {
            field.name: getattr(self, field.name)[indices]
            for field in dataclasses.fields(self)
            if isinstance(getattr(self, field.name), np.ndarray)
        }
        parameters = {name: value[indices] for name, value in self.parameters.items()}
        return dataclasses.replace(self, parameters=parameters, **arrays)
