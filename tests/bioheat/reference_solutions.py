"""Closed forms and a 1-D solution of the Pennes equation, independent of the package.

Pennes (1948), J. Appl. Physiol. 1:93: density * specific heat * dT/dt = div(k grad T) +
perfusion * blood * (37 - T) + metabolic heat, and -k dT/dn = h (T - air) at the skin.
SI units and degrees Celsius, float64; layers run from the core to the skin, which loses
heat_transfer W/m2/K to the air.
"""

import dataclasses
import math

import numpy as np
from scipy import linalg, special

ARTERIAL_CELSIUS = 37.0
BLOOD_HEAT = 1060.0 * 3770.0  # J/m3/K, density times specific heat of blood


@dataclasses.dataclass(frozen=True)
class Layer:
    """m, W/m/K, kg/m3, J/kg/K, 1/s (blood volume per tissue volume), W/m3."""

    thickness: float
    conductivity: float
    density: float
    specific_heat: float
    perfusion: float
    metabolic_heat: float

    @property
    def decay_rate(self):
        """Returns m = sqrt(w rho_b c_b / k), 1/m."""
        rate = math.sqrt(self.perfusion * BLOOD_HEAT / self.conductivity)
        # At 0 the formulas read 0 / 0; at 1e-6 a layer of centimetres equals the limit,
        # a parabola, to rounding.
        return max(rate, 1e-6)


# Muscle, gland, fat, skin: Figueiredo et al. (2020), Int. Commun. Heat Mass Transfer,
# doi 10.1016/j.icheatmasstransfer.2019.104453.
FOUR = (
    Layer(0.015, 0.48, 1085.0, 3800.0, 0.0027, 700.0),
    Layer(0.0434, 0.48, 1050.0, 3770.0, 0.00054, 700.0),
    Layer(0.005, 0.21, 930.0, 2770.0, 0.00022, 400.0),
    Layer(0.0016, 0.45, 1085.0, 3680.0, 0.00018, 368.1),
)
# Muscle, gland, fat, reticular and papillary dermis, epidermis: Cetingul and Herman
# (2010) for the skin; doi 10.1080/02656736.2017.1306758 for the list.
SIX = (
    Layer(0.015, 0.51, 1085.0, 3800.0, 0.0027, 684.2),
    Layer(0.0434, 0.48, 1050.0, 3770.0, 0.00054, 700.0),
    Layer(0.005, 0.185, 1000.0, 2674.0, 0.0001, 368.3),
    Layer(0.0008, 0.445, 1200.0, 3300.0, 0.0013, 368.1),
    Layer(0.0007, 0.445, 1200.0, 3300.0, 0.0002, 368.1),
    Layer(0.0001, 0.235, 1200.0, 3589.0, 0.0, 0.0),
)
GLAND_SLAB = (Layer(0.05, 0.48, 1050.0, 3770.0, 0.00054, 700.0),)


@dataclasses.dataclass(frozen=True, eq=False)
class SteadySlab:
    """Celsius at the interfaces, core and skin included; W/m2 leaving the skin."""

    layers: tuple[Layer, ...]
    interface_celsius: np.ndarray
    flux: float

    @property
    def skin_celsius(self):
        return float(self.interface_celsius[-1])

    def temperature(self, x):
        """Celsius at x metres from the core, any shape."""
        x = np.asarray(x, dtype=np.float64)
        edges = np.cumsum([0.0, *(layer.thickness for layer in self.layers)])
        ends = self.interface_celsius - ARTERIAL_CELSIUS
        profiles = [
            _layer_excess(x - edges[i], layer, ends[i], ends[i + 1])
            for i, layer in enumerate(self.layers)
        ]
        return ARTERIAL_CELSIUS + np.choose(np.searchsorted(edges[1:-1], x), profiles)


def layered_slab(layers, heat_transfer, air_celsius, core_celsius=ARTERIAL_CELSIUS):
    """Exact steady slab: 37 + Q/(w rho_b c_b) + A cosh(mx) + B sinh(mx) in each layer.

    A and B are written in the temperatures of the interfaces, unknowns whose balance of
    heat is diagonally dominant and does not overflow however thick a layer is.
    """
    matrix = np.zeros((len(layers) + 1, len(layers) + 1))
    source = np.zeros(len(layers) + 1)
    for i, layer in enumerate(layers):
        m, x = layer.decay_rate, layer.decay_rate * layer.thickness
        own = layer.conductivity * m / math.tanh(x)
        other = layer.conductivity * m * 2 * math.exp(-x) / math.expm1(-2 * x)
        matrix[i : i + 2, i : i + 2] += [[own, other], [other, own]]
        source[i : i + 2] += layer.metabolic_heat / m * math.tanh(x / 2)
    matrix[-1, -1] += heat_transfer
    source[-1] += heat_transfer * (air_celsius - ARTERIAL_CELSIUS)
    matrix[0] = np.eye(len(layers) + 1)[0]
    source[0] = core_celsius - ARTERIAL_CELSIUS
    interfaces = ARTERIAL_CELSIUS + np.linalg.solve(matrix, source)
    flux = heat_transfer * float(interfaces[-1] - air_celsius)
    return SteadySlab(tuple(layers), interfaces, flux)


def _layer_excess(x, layer, left, right):
    """Degrees above arterial at x in a layer whose ends are `left` and `right` so."""
    m, thickness = layer.decay_rate, layer.thickness
    x = np.clip(x, 0.0, thickness)  # points of other layers are dropped by the caller
    y = thickness - x
    ends = left * np.exp(-m * x) * np.expm1(-2 * m * y)
    ends += right * np.exp(-m * y) * np.expm1(-2 * m * x)
    bump = np.expm1(-m * x) * np.expm1(-m * y) / (1 + math.exp(-m * thickness))
    heat = layer.metabolic_heat / (layer.conductivity * m**2)
    return ends / math.expm1(-2 * m * thickness) + heat * bump


def homogeneous_sphere(radius, tissue, heat_transfer, air):
    """Exact steady sphere, Robin all around, as a function of the distance r in metres.

    T = 37 + Q/(w rho_b c_b) + C sinh(mr)/r. The thickness of the tissue is not used.
    """
    if not tissue.perfusion > 0:
        raise ValueError(f"the sphere needs perfusion > 0, got {tissue.perfusion}.")
    m, k = tissue.decay_rate, tissue.conductivity
    balance = ARTERIAL_CELSIUS + tissue.metabolic_heat / (k * m**2)
    slope = m / math.tanh(m * radius) - 1 / radius
    at_skin = heat_transfer * (air - balance) / (heat_transfer + k * slope)

    def temperature(r):
        # sinh(mr)/r is flat at the centre, where the value a hair away is the limit.
        r = np.maximum(np.asarray(r, dtype=np.float64), 1e-9 * radius)
        sinh = np.exp(m * (r - radius)) * np.expm1(-2 * m * r)
        return balance + at_skin * radius / r * sinh / math.expm1(-2 * m * radius)

    return temperature


def convective_step(time, diffusivity, conductivity, heat_transfer, start, air):
    """Surface of a bloodless half-space at `start` until time 0 (s); diffusivity m2/s.

    Carslaw and Jaeger (1959), Conduction of heat in solids, section 2.7.
    """
    z = heat_transfer / conductivity * np.sqrt(diffusivity * np.asarray(time))
    return air + (start - air) * special.erfcx(z)


def slab_transient(layers, phases, step, cell, *, start):
    """Times in s and skin in Celsius: Crank-Nicolson started as in Rannacher (1984).

    Time 0 is the steady state of `start`, (heat transfer, air); `phases` are (duration,
    heat transfer, air), and `step` (s) divides each duration. The core stays at 37,
    cells measure at most `cell` metres. At a change the skin is still that of the phase
    which ends.
    """
    _, matrix, source, skin = _cell_system(layers, cell, *start)
    celsius = linalg.solveh_banded(matrix, source)
    record = [skin(celsius)]
    for duration, *boundary in phases:
        steps = round(duration / step)
        if not math.isclose(steps * step, duration):
            raise ValueError(f"step {step} s does not divide a phase of {duration} s.")
        capacity, matrix, source, skin = _cell_system(layers, cell, *boundary)
        storage = 2 * capacity / step
        factor = linalg.cholesky_banded(matrix + [0 * storage, storage]), False
        for i in range(steps):
            # Backward Euler for half a step: extrapolated it is one of Crank-Nicolson,
            # repeated it damps the jump, after which the skin would oscillate.
            half = linalg.cho_solve_banded(factor, storage * celsius + source)
            if i < 2:
                celsius = linalg.cho_solve_banded(factor, storage * half + source)
            else:
                celsius = 2 * half - celsius
            record.append(skin(celsius))
    return step * np.arange(len(record)), np.array(record)


def _cell_system(layers, cell, heat_transfer, air):
    """Finite volumes: capacity J/m2/K, banded W/m2/K, source W/m2, skin of a state."""
    counts = [math.ceil(layer.thickness / cell - 1e-9) for layer in layers]
    table = np.array([dataclasses.astuple(layer) for layer in layers])
    thickness, k, density, heat, perfusion, q = np.repeat(table, counts, axis=0).T
    width = thickness / np.repeat(counts, counts)
    half = width / (2 * k)  # m2 K/W from the centre of a cell to its face
    inner = 1 / (half[:-1] + half[1:])
    to_core, to_air = 1 / half[0], 1 / (half[-1] + 1 / heat_transfer)
    blood = perfusion * BLOOD_HEAT * width
    diagonal = blood + np.append(to_core, inner) + np.append(inner, to_air)
    source = q * width + blood * ARTERIAL_CELSIUS
    source[0] += to_core * ARTERIAL_CELSIUS
    source[-1] += to_air * air

    def skin(celsius):
        return air + to_air / heat_transfer * float(celsius[-1] - air)

    banded = np.stack([np.append(0.0, -inner), diagonal])
    return density * heat * width, banded, source, skin
