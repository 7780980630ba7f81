"""Numbers as a reader is told them."""

from typing import Any

MINUS = "\N{MINUS SIGN}"
NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1", "l0": "L0"}
PROTOCOLS = ("clean", "graybox", "adaptive")


def percent(value: float | None, digits: int = 1) -> str:
    """A share as percent, without the sign; a dash for None."""
    return "\N{EN DASH}" if value is None else f"{100 * value:.{digits}f}"


def points(value: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    sign = MINUS if value < 0 else "+"
    return f"{sign}{abs(100 * value):.1f}"


def number(value: Any, digits: int = 4) -> str:
    """A number with some significant digits; a dash for None."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return str(value)


def count(row: dict[str, Any]) -> str:
    """How many are right, such as "143 of 210"."""
    return f"{round(row['accuracy'] * row['n'])} of {row['n']}"


def interval(row: dict[str, Any]) -> str:
    """The 95 % interval of an accuracy in percent."""
    return f"{percent(row['ci_low'])} to {percent(row['ci_high'])}"


def accuracy(row: dict[str, Any]) -> str:
    """An accuracy with its 95 % interval and count, for a sentence."""
    ends = f"[{percent(row['ci_low'])}, {percent(row['ci_high'])}]"
    return f"{percent(row['accuracy'])} % {ends} ({count(row)})"


def radius(epsilon: float | None, width: float, norm: str | None = None) -> str:
    """A radius in pixel units and degrees Celsius, such as "0.00781 = 0.125 °C"."""
    if epsilon is None:
        return "\N{EN DASH}"
    start = f"{norm_name(norm)} " if norm else ""
    return f"{start}{epsilon:.3g} = {epsilon * width:.3g} °C"


def norm_name(norm: str | None) -> str:
    """Name of a norm; a dash for None."""
    return "\N{EN DASH}" if norm is None else NORMS.get(norm, norm)


def p_value(value: float | None) -> str:
    """A p-value; very small ones as a bound."""
    if value is None:
        return "\N{EN DASH}"
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def words(value: Any) -> str:
    """A value of JSON on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {words(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(words, value))
    return number(value)
