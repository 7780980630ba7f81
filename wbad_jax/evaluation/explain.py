"""What the rows of an evaluation say, in sentences."""

from collections.abc import Iterable

from wbad_jax.evaluation.rows import Row

_GRADIENT_FREE = ("coarse", "square_blocks", "square", "noise")
# In points of accuracy: what graybox must say too much, and adaptive leave, for a
# defence to be called broken by attacks that know it.
_GAP, _LITTLE = 0.2, 0.5


def explain(
    rows: Iterable[Row], *, norm: str = "linf", epsilon: float | None = None
) -> list[str]:
    """Sentences about graybox and adaptive accuracy, and what makes the difference.

    Args:
        rows: Of `results.json`; those of the first set and of single images are used.
        norm: Whose rows.
        epsilon: Radius in pixel units; the smallest with adaptive rows if None.

    Returns:
        Sentences in English, in the order of the arms; none without adaptive rows.

    Examples:
        >>> from wbad_jax.evaluation import add_worst_cases, explain, make_rows
        >>> outcomes = add_worst_cases([clean, attacked])  # see `Outcome`
        >>> rows = make_rows(outcomes, window=(22.0, 38.0))
        >>> sentences = explain(rows, epsilon=0.01)
    """
    rows = list(rows)
    adaptive = [r for r in rows if r["protocol"] == "adaptive" and r["norm"] == norm]
    if not adaptive:
        return []
    epsilon = epsilon or min(row["epsilon"] for row in adaptive)
    first = adaptive[0]["set"]
    chosen = [
        row
        for row in rows
        if row["set"] == first
        and (row["protocol"] == "clean" or row["norm"] == norm)
        and row["epsilon"] in (None, epsilon)
    ]
    arms: dict[str, list[Row]] = {}
    for row in chosen:
        arms.setdefault(row["arm"], []).append(row)
    sentences = []
    control = _control(arms.get("undefended", []))
    if control is not None:
        sentences.append(
            f"The undefended network keeps {_percent(control)} under perturbations "
            "made on networks of other seeds: only what lies above that is owed to a "
            "defence."
        )
    for arm, own in arms.items():
        sentences += _of_arm(arm, own, control)
    return sentences


def _control(rows: list[Row]) -> float | None:
    """Undefended accuracy under images of other seeds, mean over these."""
    values = [
        row["accuracy"]
        for row in _find(rows, "graybox", "worst_case")
        if row["surrogate"] != row["arm"]
    ]
    return _mean(values)


def _of_arm(arm: str, rows: list[Row], control: float | None) -> list[str]:
    clean = _mean([row["accuracy"] for row in rows if row["protocol"] == "clean"])
    worst = _mean([r["accuracy"] for r in _find(rows, "adaptive", "worst_case")])
    if clean is None or worst is None:
        return []
    graybox = [row["accuracy"] for row in _find(rows, "graybox", "worst_case")]
    sentences = [_protocols(arm, clean, graybox, worst)]
    mean = _mean(graybox)
    if mean is not None and arm != "undefended":
        if control is not None:
            points = 100 * (mean - control)
            sentences.append(
                f"{arm}: {points:.1f} points of the graybox accuracy lie above that of "
                "the undefended network."
            )
        if mean - worst > _GAP and worst < _LITTLE:
            sentences.append(
                f"{arm}: what it gains is against attacks that do not know of it; one "
                "that follows the gradient of the whole classifier undoes it."
            )
    return sentences + _subband(arm, rows, clean) + _suite(arm, rows)


def _protocols(arm: str, clean: float, graybox: list[float], worst: float) -> str:
    parts = [f"{arm}: {_percent(clean)} of the clean images are right"]
    mean = _mean(graybox)
    if mean is not None:
        spread = ""
        if len(graybox) > 1:
            low, high = _percent(min(graybox)), _percent(max(graybox))
            spread = f" (from {low} to {high} over {len(graybox)} surrogates)"
        parts.append(
            f"{_percent(mean)}{spread} under perturbations made on an undefended "
            "network (graybox)"
        )
    parts.append(f"{_percent(worst)} under attacks on the whole classifier (adaptive)")
    sentence = ", ".join(parts[:-1]) + f", and {parts[-1]}."
    if mean is not None and mean > worst:
        sentence += f" Graybox flatters by {100 * (mean - worst):.1f} points."
    return sentence


def _subband(arm: str, rows: list[Row], clean: float) -> list[str]:
    whole = [r for r in _find(rows, "adaptive", "subband") if _on_all(r)]
    value = _mean([row["accuracy"] for row in whole])
    if value is None or arm == "undefended":
        return []
    return [
        f"{arm}: a perturbation of the approximation band alone, which the wavelet "
        f"denoiser passes untouched, takes accuracy from {_percent(clean)} to "
        f"{_percent(value)}."
    ]


def _suite(arm: str, rows: list[Row]) -> list[str]:
    """How many images each attack of a suite broke after all before it."""
    suite = [row for row in rows if row["protocol"] == "adaptive" and not _on_all(row)]
    if not suite:
        return []
    left, broken = suite[0]["evaluated_on"], {}
    for row in suite:
        now = round(row["accuracy"] * row["n"])
        broken[row["attack"]], left = left - now, now
    told = ", ".join(f"{name} {count}" for name, count in broken.items() if count)
    sentences = [
        f"{arm}: of {suite[0]['evaluated_on']} images that withstood the first "
        f"attacks, the suite broke {sum(broken.values())}"
        + (f" ({told})." if told else ".")
    ]
    hidden = sum(broken.get(name, 0) for name in _GRADIENT_FREE)
    if hidden:
        sentences.append(
            f"{arm}: attacks without gradients broke {hidden} images that those with "
            "gradients did not, a sign that its gradients mislead."
        )
    return sentences


def _find(rows: list[Row], protocol: str, attack: str) -> list[Row]:
    """Of images and patients, where there are both, the images."""
    found = [r for r in rows if (r["protocol"], r["attack"]) == (protocol, attack)]
    images = [row for row in found if row["unit"] == "image"]
    return images or found


def _on_all(row: Row) -> bool:
    return row["evaluated_on"] == row["n"]


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
