"""Which attacks are compared with which libraries, and with how much work each."""

import dataclasses
import importlib.util
from collections.abc import Sequence

# Modules each library needs, and the process that serves it.
MODULES = {
    "wbad_jax": (),
    "foolbox": ("foolbox",),
    "torchattacks": ("torch", "ptwt", "torchattacks"),
    "art": ("torch", "ptwt", "art"),
    "pyautoattack": ("torch", "ptwt", "pyautoattack"),
}
LIBRARIES = tuple(MODULES)
PEERS = LIBRARIES[1:]
ON_JAX = ("wbad_jax", "foolbox")


@dataclasses.dataclass(frozen=True)
class Budgets:
    """Work of each attack, the same in all libraries.

    Attributes:
        pgd_steps: Gradients of PGD, each moving by `2.5 / pgd_steps` of the radius.
        apgd_steps: Gradients of APGD, less the one at the start.
        fab_steps: Iterations of FAB.
        queries: Forward passes of Square.
        ddn_steps: Gradients of DDN.
        cw_searches: Constants that Carlini-Wagner tries.
        cw_steps: Adam steps for each of them.
        cw_learning_rate: Of Adam, in tanh space.
        cw_const: First constant.
    """

    pgd_steps: int = 40
    apgd_steps: int = 100
    fab_steps: int = 100
    queries: int = 1000
    ddn_steps: int = 100
    cw_searches: int = 6
    cw_steps: int = 100
    cw_learning_rate: float = 0.002
    cw_const: float = 1e-3


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One attack in one norm.

    Attributes:
        attack: Key of `attacks.ATTACKS`.
        norm: "linf" or "l2".
        peers: Libraries that have it too.
        is_random: Whether its result depends on a seed.
        minimal: Whether it looks for the closest success, at any distance.
    """

    attack: str
    norm: str
    peers: tuple[str, ...]
    is_random: bool = True
    minimal: bool = False

    @property
    def name(self) -> str:
        """As the tables show it."""
        return f"{self.attack} {self.norm}"


_GRADIENT = ("foolbox", "torchattacks", "art")
_AUTOATTACK = ("torchattacks", "pyautoattack")
COMPARISONS = (
    Comparison("fgsm", "linf", _GRADIENT, is_random=False),
    Comparison("pgd", "linf", _GRADIENT),
    Comparison("pgd", "l2", _GRADIENT),
    Comparison("apgd", "linf", (*_AUTOATTACK, "art")),
    Comparison("apgd", "l2", (*_AUTOATTACK, "art")),
    Comparison("square", "linf", _AUTOATTACK),
    Comparison("square", "l2", _AUTOATTACK),
    Comparison("fab", "linf", _AUTOATTACK, is_random=False),
    Comparison("fab", "l2", _AUTOATTACK, is_random=False),
    Comparison("cw", "l2", ("foolbox",), is_random=False, minimal=True),
    Comparison("ddn", "l2", ("foolbox",), is_random=False, minimal=True),
)


def choose_comparisons(wanted: str) -> list[Comparison]:
    """Those whose name contains one of the substrings `A,B`."""
    parts = wanted.split(",")
    return [c for c in COMPARISONS if any(part in c.name for part in parts)]


def choose_libraries(wanted: str) -> list[str]:
    """wbad_jax and the peers asked for.

    Raises:
        SystemExit: If one is unknown or not installed.
    """
    chosen = [name for name in wanted.split(",") if name]
    for name in chosen:
        if name not in LIBRARIES:
            raise SystemExit(
                f"--libraries must be of {', '.join(LIBRARIES)}; got {name!r}."
            )
    missing = [m for name in chosen for m in MODULES[name] if not _installed(m)]
    if missing:
        raise SystemExit(
            f"Not installed: {', '.join(sorted(set(missing)))}. Try: pip install "
            "'wbad_jax[bench]', or name the libraries you have: --libraries=foolbox"
        )
    return ["wbad_jax", *(name for name in PEERS if name in chosen)]


def sorted_by_process(libraries: Sequence[str]) -> dict[str, list[str]]:
    """The libraries of each worker process: one for JAX and one for PyTorch."""
    groups: dict[str, list[str]] = {"jax": [], "torch": []}
    for library in libraries:
        groups["jax" if library in ON_JAX else "torch"].append(library)
    return {process: names for process, names in groups.items() if names}


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
