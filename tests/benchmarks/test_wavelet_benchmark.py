"""The wavelet benchmark: choice of cases, agreement, ratios, and a smoke run."""

import json

import pytest

from benchmarks import wavelet_summary, wavelets
from benchmarks.wavelet_libraries import check_agreement


def times(**wall):
    return {name: {"wall_ms": ms, "cpu_ms": 2 * ms} for name, ms in wall.items()}


def row(wall, level):
    names = {"ptwt_1": "ptwt, threads 1", "ptwt_2": "ptwt, threads 2"}
    spent = {names.get(name, name): t for name, t in times(**wall).items()}
    case = {"job": "forward", "shape": (2, 16, 16, 1), "wavelet": "haar", "taps": 2}
    return wavelet_summary.add_ratios({**case, "level": level, "times": spent})


@pytest.mark.fast
def test_the_better_number_of_threads_counts_on_each_clock():
    spent = {
        "ptwt, threads 1": {"wall_ms": 3.0, "cpu_ms": 3.0},
        "ptwt, threads 2": {"wall_ms": 2.0, "cpu_ms": 4.0},
    }
    best = wavelet_summary.times_by_library(spent)
    assert best == {"ptwt": {"wall_ms": 2.0, "cpu_ms": 3.0}}


@pytest.mark.fast
def test_summary_holds_geometric_means_and_worst_cases():
    rows = [
        row({"wbad_jax": 1, "copy": 0.5, "jaxwt": 2, "ptwt_1": 9, "ptwt_2": 8}, 1),
        row({"wbad_jax": 1, "copy": 0.125, "jaxwt": 8, "ptwt_1": 2, "ptwt_2": 3}, 2),
    ]
    entries = {e["against"]: e for e in wavelet_summary.summarize(rows)}
    assert entries["jaxwt"]["wall"] == pytest.approx(4)
    assert entries["jaxwt"]["worst_cpu"] == pytest.approx(2)
    assert entries["jaxwt"]["worst_wall_case"] == "2x16x16x1 haar 1"
    assert entries["ptwt"]["wall"] == pytest.approx(4)
    assert entries["copy"]["wall"] == pytest.approx(4)
    assert entries["copy"]["worst_wall"] == pytest.approx(8)
    assert entries["copy"]["worst_wall_case"] == "2x16x16x1 haar 2"


@pytest.mark.fast
def test_disagreement_is_an_error():
    same = {"a": {"loss": 1.0}, "b": {"loss": 1.00001}, "copy": {}}
    check_agreement(same)
    with pytest.raises(AssertionError, match="loss"):
        check_agreement({**same, "c": {"loss": 1.001}})


@pytest.mark.fast
def test_cases_are_chosen_by_name():
    options = wavelets.parse_arguments(["--cases=64x64x64x1 db10,denoiser"])
    cases, parts = wavelets.choose_cases(options)
    assert [case.level for case in cases if case.wavelet == "db10"] == [1, 2, 3]
    assert len(cases) == 3
    assert {p.function for p in parts if "db10" not in p.name} == {"compile_denoiser"}


@pytest.mark.fast
def test_all_cases_and_parts_have_names_of_their_own():
    cases, parts = wavelets.choose_cases(wavelets.parse_arguments([]))
    names = [thing.name for thing in (*cases, *parts)]
    assert len(cases) == 36
    assert len(set(names)) == len(names)


@pytest.mark.fast
def test_without_optimisation_nothing_is_timed(capsys):
    assert wavelets.main(["--smoke"]) == 2  # as all tests run
    assert "optimisation is off" in capsys.readouterr().err


@pytest.mark.fast
def test_unknown_libraries_are_refused():
    with pytest.raises(SystemExit, match="scipy"):
        wavelets.choose_libraries("jaxwt,scipy")


@pytest.mark.fast
def test_missing_libraries_are_left_out_with_a_note(monkeypatch, capsys):
    monkeypatch.setattr(wavelets, "_installed", lambda module: module != "torch")
    assert wavelets.choose_libraries("ptwt,jaxwt") == ["wbad_jax", "jaxwt"]
    assert "Without ptwt: torch not installed." in capsys.readouterr().out


@pytest.mark.slow
def test_smoke_run_writes_a_report(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("XLA_FLAGS")
    output = tmp_path / "wavelets.json"
    arguments = ["--smoke", "--cases=x1 haar 1,denoiser", f"--output={output}"]
    assert wavelets.main([*arguments, "--libraries=jaxwt,pywavelets"]) == 0
    report = json.loads(output.read_text())
    assert "jaxwt" in report["machine"]["versions"]
    assert [r["job"] for r in report["rows"]] == ["forward", "gradient"]
    assert set(report["rows"][0]["speedup"]) == {"jaxwt", "pywavelets"}
    assert report["parts"][0]["wall_s"] > 0
    assert "times jaxwt" in capsys.readouterr().out
