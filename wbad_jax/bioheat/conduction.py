"""The discrete heat balance of a body: conductances between cells, sinks and sources.

Finite volumes: what flows into a cell through its open faces and its piece of skin, is
carried in by blood and is generated in it, sums to zero. Temperatures are relative to
37 degrees Celsius, where single precision resolves a thousandth of a degree easily.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax.lax import slice_in_dim
from jaxtyping import Array, Float

from wbad_jax.bioheat.cut_cells import AXES, Cells, CutCells

Surface = Float[Array, "*batch rows columns"]
REFERENCE_CELSIUS = 37.0


class HeatOperator(NamedTuple):
    """A symmetric positive operator on temperatures, W/K.

    Attributes:
        link_z: Conductance from each cell to the next along z; 0 in the last.
        link_y: Likewise along y.
        link_x: Likewise along x.
        sink: Conductance from each cell to fixed temperatures: blood, air, core.
    """

    link_z: Cells
    link_y: Cells
    link_x: Cells
    sink: Cells

    @property
    def links(self) -> tuple[Cells, Cells, Cells]:
        """The three kinds of links, in the order of the axes."""
        return self.link_z, self.link_y, self.link_x


class Medium(NamedTuple):
    """Thermal properties on the grid, SI units.

    Attributes:
        resistivity: Mean of 1 / conductivity along the link from each cell to the next,
            for z, y and x, m K/W.
        base_resistivity: The same between the chest wall and the centres of the first
            layer of cells, `[..., rows, columns]`.
        skin_resistance: Integral of 1 / conductivity from the skin to the centre of
            each cell that has a piece of it, m2 K/W; negative for centres outside.
        perfusion: Heat capacity of the blood flow per volume, W/m3/K.
        heat: Metabolic heat, W/m3.
        capacity: Heat capacity per volume, J/m3/K.
    """

    resistivity: tuple[Cells, Cells, Cells]
    base_resistivity: Surface
    skin_resistance: Cells
    perfusion: Cells
    heat: Cells
    capacity: Cells


class Surroundings(NamedTuple):
    """What the body is exposed to; scalars or `[..., 1, rows, columns]`.

    Attributes:
        heat_transfer: Of the skin by convection and radiation together, W/m2/K.
        air: Temperature around, degrees Celsius.
        core: Temperature at the chest wall, degrees Celsius.
        blood: Arterial temperature, degrees Celsius.

    Examples:
        >>> from wbad_jax.bioheat import Surroundings
        >>> Surroundings(heat_transfer=10.0, air=21.0, core=37.0, blood=37.0).air
        21.0
    """

    heat_transfer: Array | float
    air: Array | float
    core: Array | float
    blood: Array | float


class HeatBalance(NamedTuple):
    """Operator and right-hand side of one body, and what links skin to cells.

    Attributes:
        operator: On temperatures relative to 37 degrees.
        source: Right-hand side, W.
        skin_conductance: From the cell to the air through its skin, W/K.
        skin_share: Temperature of the skin as a share of the way from air to the
            cell's centre.
    """

    operator: HeatOperator
    source: Cells
    skin_conductance: Cells
    skin_share: Cells


def heat_balance(
    cells: CutCells, medium: Medium, surroundings: Surroundings, spacing: float
) -> HeatBalance:
    """Assembles the heat balance.

    The sides of the grid are insulated; its bottom, where the body reaches it, is held
    at the core temperature.

    Args:
        cells: Geometry, in units of the spacing.
        medium: Properties.
        surroundings: Temperatures and heat transfer outside.
        spacing: Edge of a cell, metres.

    Returns:
        The balance of each cell.

    Reference:
        Pennes (1948), J. Appl. Physiol. 1:93; Patankar (1980), Numerical heat transfer
        and fluid flow, section 4.2, for conductances in series.

    Examples:
        >>> from wbad_jax.bioheat import heat_balance
        >>> balance = heat_balance(cells, medium, outside, spacing=0.003)
        >>> balance.source.shape  # see `solve`
        (8, 2, 2)
    """
    volume = cells.volume * spacing**3
    links = [
        _inner_link(share, resistivity, axis) * spacing
        for share, resistivity, axis in zip(
            (cells.open_z, cells.open_y, cells.open_x), medium.resistivity, AXES,
            strict=True,
        )
    ]  # fmt: skip
    base = 2 * spacing * cells.open_z[..., 0, :, :] / medium.base_resistivity
    core_link = jnp.zeros_like(volume).at[..., 0, :, :].set(base)
    heat_transfer = jnp.broadcast_to(surroundings.heat_transfer, volume.shape)
    # A centre far outside a warm skin would turn the resistance round.
    air_resistance = 1 / heat_transfer
    resistance = air_resistance + medium.skin_resistance
    resistance = jnp.maximum(resistance, 0.1 * air_resistance)
    skin = cells.skin_area * spacing**2 / resistance
    blood = volume * medium.perfusion
    return HeatBalance(
        operator=HeatOperator(*links, sink=blood + skin + core_link),
        source=volume * medium.heat
        + blood * (surroundings.blood - REFERENCE_CELSIUS)
        + skin * (surroundings.air - REFERENCE_CELSIUS)
        + core_link * (surroundings.core - REFERENCE_CELSIUS),
        skin_conductance=skin,
        skin_share=air_resistance / resistance,
    )


def apply(operator: HeatOperator, theta: Cells) -> Cells:
    """Heat that leaves each cell at given temperatures, W."""
    result = diagonal(operator) * theta
    for link, axis in zip(operator.links, AXES, strict=True):
        inner = _drop(link, axis, last=True)
        result -= _shift(inner * _drop(theta, axis, last=False), axis, down=True)
        result -= _shift(inner * _drop(theta, axis, last=True), axis, down=False)
    return result


def diagonal(operator: HeatOperator) -> Cells:
    """Sum of all conductances of each cell, W/K; 0 in cells outside the body."""
    total = operator.sink
    for link, axis in zip(operator.links, AXES, strict=True):
        inner = _drop(link, axis, last=True)
        total = total + _shift(inner, axis, down=True) + _shift(inner, axis, down=False)
    return total


def skin_temperature(
    balance: HeatBalance, theta: Cells, cells: CutCells, surroundings: Surroundings
) -> Surface:
    """Temperature of the skin as the camera sees it, along z.

    Args:
        balance: Of the body.
        theta: Temperatures of the cells relative to 37 degrees.
        cells: Geometry.
        surroundings: As in `heat_balance`.

    Returns:
        Degrees Celsius, `[..., rows, columns]`: the mean over the skin in each column
        of cells, weighted by its projection on the image; the air's where there is
        none.

    Examples:
        >>> from wbad_jax.bioheat import skin_temperature
        >>> skin = skin_temperature(balance, theta, cells, outside)  # see `solve`
        >>> bool(jnp.all((skin > 21) & (skin < 37)))
        True
    """
    air = surroundings.air - REFERENCE_CELSIUS
    skin = air + balance.skin_share * (theta - air)
    weight = jnp.maximum(cells.skin_facing, 0.0)
    total = weight.sum(axis=-3)
    visible = total > 0
    # Not a sum of products: XLA:CPU of JAX 0.10 gets that wrong for many batches of
    # more than eight bodies.
    seen = jnp.einsum("...zyx,...zyx->...yx", weight, skin)
    mean = seen / jnp.where(visible, total, 1.0)
    background = jnp.broadcast_to(air, theta.shape)[..., 0, :, :]
    return jnp.where(visible, mean, background) + REFERENCE_CELSIUS


def _inner_link(share: Array, resistivity: Cells, axis: int) -> Cells:
    """Open share over resistivity for links between cells, 0 for the last of each."""
    inner = _drop(_drop(share, axis, last=False), axis, last=True)
    return _shift(inner / _drop(resistivity, axis, last=True), axis, down=True)


def _drop(array: Array, axis: int, *, last: bool) -> Array:
    """Without the last, or the first, element along an axis."""
    start, stop = (0, -1) if last else (1, None)
    return slice_in_dim(array, start, stop, axis=axis)


def _shift(array: Array, axis: int, *, down: bool) -> Array:
    """One zero more along an axis: behind (`down`) or in front."""
    pad = [(0, 0)] * array.ndim
    pad[axis] = (0, 1) if down else (1, 0)
    return jnp.pad(array, pad)
