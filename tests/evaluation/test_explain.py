"""Sentences say what the rows say, with their numbers."""

import pytest

from wbad_jax import evaluation

pytestmark = pytest.mark.fast


def row(arm, protocol, attack, accuracy, **more):
    values = {
        "arm": arm, "set": "test", "protocol": protocol, "attack": attack,
        "norm": "linf", "epsilon": 0.01, "unit": "patient", "n": 200,
        "evaluated_on": 200, "accuracy": accuracy, "surrogate": None,
    }  # fmt: skip
    if protocol == "clean":
        values |= {"norm": None, "epsilon": None}
    return values | more


def undefended(surrogate="undefended", graybox=0.0):
    return [
        row("undefended", "clean", "none", 0.95),
        row("undefended", "graybox", "worst_case", graybox, surrogate=surrogate),
        row("undefended", "adaptive", "worst_case", 0.0),
    ]


DENOISED = [
    row("denoise", "clean", "none", 0.9),
    row("denoise", "graybox", "worst_case", 0.8, surrogate="undefended"),
    row("denoise", "adaptive", "subband", 0.15),
    row("denoise", "adaptive", "worst_case", 0.1),
    row("denoise", "adaptive", "worst_case", 0.7, norm="l2"),
    row("denoise", "adaptive", "worst_case", 0.05, epsilon=0.02),
]


def test_a_denoiser_that_looks_like_a_defence():
    first, second, third = evaluation.explain(DENOISED)
    assert "90.0 % of the clean images" in first
    assert "80.0 % under perturbations made on an undefended" in first
    assert "10.0 % under attacks on the whole classifier" in first
    assert "Graybox flatters by 70.0 points" in first
    assert "undoes it" in second
    assert "approximation band" in third
    assert "from 90.0 % to 15.0 %" in third


def test_norm_and_radius_choose_the_rows():
    (sentence,) = evaluation.explain(DENOISED, norm="l2")
    assert "70.0 %" in sentence
    assert "5.0 % under attacks" in evaluation.explain(DENOISED, epsilon=0.02)[0]
    assert evaluation.explain(DENOISED, norm="l1") == []


def test_a_defence_that_holds_is_not_called_broken():
    rows = [
        row("wbad", "clean", "none", 0.9),
        row("wbad", "graybox", "worst_case", 0.9, surrogate="undefended"),
        row("wbad", "adaptive", "worst_case", 0.9),
    ]
    (sentence,) = evaluation.explain(rows)
    assert "flatters" not in sentence


def test_the_control_takes_its_share_of_the_credit():
    """Undefended of another seed keeps 60 %: of the 80 % only 20 points are left."""
    denoised = [
        {**r, "surrogate": "runs/b"} if r["protocol"] == "graybox" else r
        for r in DENOISED
    ]
    sentences = evaluation.explain([*undefended("runs/b", 0.6), *denoised])
    assert "keeps 60.0 %" in sentences[0]
    assert any("20.0 points of the graybox accuracy lie above" in s for s in sentences)
    # Its own perturbations are no control.
    sentences = evaluation.explain([*undefended(), *DENOISED])
    assert not any("other seeds" in s or "lie above" in s for s in sentences)


def test_several_surrogates_are_told_as_a_range():
    more = row("denoise", "graybox", "worst_case", 0.6, surrogate="runs/c")
    first = evaluation.explain([*DENOISED, more])[0]
    assert "70.0 % (from 60.0 % to 80.0 % over 2 surrogates)" in first


def test_what_the_suite_broke_is_counted_by_attack():
    rows = [
        row("wbad", "clean", "none", 0.9),
        row("wbad", "adaptive", "pgd", 0.8),
        row("wbad", "adaptive", "apgd", 0.75, evaluated_on=160),
        row("wbad", "adaptive", "fab", 0.75, evaluated_on=150),
        row("wbad", "adaptive", "square", 0.74, evaluated_on=150),
        row("wbad", "adaptive", "noise", 0.73, evaluated_on=32),
        row("wbad", "adaptive", "worst_case", 0.73),
    ]
    _, counts, mislead = evaluation.explain(rows)
    assert "of 160 images" in counts
    assert "broke 14 (apgd 10, square 2, noise 2)" in counts
    assert "broke 4 images" in mislead
    assert "mislead" in mislead
