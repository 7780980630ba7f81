"""The page on audits quotes what was measured, and names what exists."""

import re

import pytest

from docs.figures import audit_tables, page_tables
from wbad_jax.data.shortcuts import SHORTCUTS

pytestmark = pytest.mark.fast

PAGE = audit_tables.PAGE.read_text("utf-8")


def statuses(name):
    findings = audit_tables.sets()[name]["findings"]
    return {finding["id"]: finding["status"] for finding in findings}


def test_the_tables_are_those_of_the_results_files():
    assert page_tables.filled(PAGE, audit_tables.tables()) == PAGE


def test_every_finding_is_explained():
    explained = PAGE.split("## What the findings mean")[1].split("\n- ")[0]
    for finding in audit_tables.sets()["DMR-IR"]["findings"]:
        name = finding["title"].removeprefix("Label and ")
        name = "both" if name == "room temperature and camera noise" else name
        assert name in explained
    assert len(SHORTCUTS) == 6


def test_what_the_text_says_of_the_sets():
    assert set(statuses("`quickstart`").values()) == {"pass"}
    number, noise = "shortcut_patient_number", "shortcut_noise_level"
    real = statuses("DMR-IR")
    assert real[number] == real[noise] == "fail"
    matched = statuses("DMR-IR, 135 to 300")
    assert [name for name, status in matched.items() if status == "fail"] == [number]
    sets = audit_tables.sets()
    areas = {
        name: {f["id"]: f["evidence"].get("auc") for f in sets[name]["findings"]}
        for name in sets
    }
    assert areas["DMR-IR"]["linear_signal"] < areas["DMR-IR"][number]
    for one in sets.values():
        assert one["seconds_quick"] < 2


def test_results_name_no_patient():
    text = (page_tables.RESULTS / "audit_dmr_ir.json").read_text("utf-8")
    assert not re.search(r"T0\d\d\d|/tmp|/home|/root", text)
