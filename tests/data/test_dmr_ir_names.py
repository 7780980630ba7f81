import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbad_jax.data import DataError, matrices
from wbad_jax.data.dmr_ir_names import EXAMPLES, VIEWS, parse_name

pytestmark = pytest.mark.fast
D = datetime.date
NAMES = {
    "T0001": (1, 1, "frontal", "static", None, 0),
    "T0328.1.1.D.2020-01-20.02": (328, 1, "frontal", "dynamic", D(2020, 1, 20), 2),
    "T0138.2.4.S.2013-09-06.00": (138, 2, "lateral_4", "static", D(2013, 9, 6), 0),
    "16-TFRON_V3_31-10-2012_8": (16, 3, "frontal", "dynamic", D(2012, 10, 31), 8),
    "PAC_62_DN0": (62, 1, "frontal", "dynamic", None, 0),
    "355_img_Static-Frontal_2019-09-25": (
        355, 1, "frontal", "static", D(2019, 9, 25), 0,
    ),
    "7_img_Static-Right-45°_2019-09-25": (
        7, 1, "right_45", "static", D(2019, 9, 25), 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("stem", NAMES)
def test_reads_every_grammar(stem):
    name = parse_name(stem)
    got = name.patient, name.visit, name.view, name.protocol, name.date, name.frame
    assert got == NAMES[stem]


def test_each_grammar_reads_its_own_example():
    assert {parse_name(stem).grammar for stem in EXAMPLES.values()} == set(EXAMPLES)


@pytest.mark.parametrize(
    ("stem", "message"),
    [
        ("TFRON_V16_31-10-2012_8", "must be named T<patient number>.txt.*'TFRON_V16"),
        ("image", "like T0001.txt, or as one of T0328.*got 'image'"),
        ("", "got ''"),
        ("T", "got 'T'"),
        ("T١", "must be named"),
        ("T0001 ", "must be named"),
        ("T0001\n", "must be named"),
        ("T1234567890", "at most 9 digits, got '1234567890'"),
        ("T0328.1.6.D.2020-01-20.02", "a view must be one of .* got '6' in 'T0328.1.6"),
        ("16-TSIDE_V3_31-10-2012_8", "a view must be one of .*FRON.* got 'SIDE'"),
        ("355_img_Static-Back_2019-09-25", "a view must .*Frontal.* got 'Back'"),
        ("T0328.1.1.D.2020-13-20.02", "a date must exist, got 2020-13-20"),
        ("16-TFRON_V3_31-02-2012_8", "a date must exist, got 2012-02-31"),
    ],
)
def test_names_what_is_wrong(stem, message):
    with pytest.raises(DataError, match=message):
        parse_name(stem)


numbers = st.integers(0, 999_999_999)
dates = st.dates(D(1900, 1, 1), D(2999, 12, 31))


@given(numbers, numbers, st.integers(1, 5), st.sampled_from("SD"), dates, numbers)
def test_reads_back_names_with_dots(patient, visit, view, protocol, date, frame):
    name = parse_name(f"T{patient:04d}.{visit}.{view}.{protocol}.{date}.{frame:02d}")
    assert (name.patient, name.visit, name.frame) == (patient, visit, frame)
    assert (VIEWS.index(name.view), name.protocol[0]) == (view - 1, protocol.lower())
    assert name.date == date


@given(numbers, numbers, dates, numbers)
def test_reads_back_old_names(patient, visit, date, frame):
    name = parse_name(f"{patient}-TFRON_V{visit}_{date:%d-%m-%Y}_{frame}")
    assert (name.patient, name.visit, name.date, name.frame) == (
        patient, visit, date, frame,
    )  # fmt: skip


pieces = st.sampled_from(
    ["T", "PAC_", "DN", "_img_", "Static", "-Frontal", ".", "-", "_V", "1", "0328", "S"]
    + ["2020-01-20", "31-10-2012", "TFRON", "\n", "..", "/", "é", "٣"]
)


@given(st.one_of(st.text(max_size=40), st.lists(pieces, max_size=12).map("".join)))
def test_any_name_is_read_or_refused(stem):
    try:
        name = parse_name(stem)
    except DataError:
        return
    assert name.view in VIEWS
    assert name.protocol in ("static", "dynamic")
    assert str(name.patient) in stem


def fill(folder, *names):
    for name in names:
        path = folder / "matrices" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_exposures_come_in_order_also_from_folders_within(tmp_path):
    fill(
        tmp_path,
        "b/T0002.1.1.D.2020-01-20.10.txt",
        "b/T0002.1.1.D.2020-01-20.02.txt",
        "a/T0010.1.3.S.2020-01-20.00.txt",
        "a/T0010.1.1.S.2020-01-20.00.txt",
        "a/T0002.2.1.D.2020-03-20.00.txt",
    )
    found = matrices.find_exposures(tmp_path)
    keys = [(n.patient, n.visit, n.view, n.frame) for _, n in found]
    assert keys == [
        (2, 1, "frontal", 2),
        (2, 1, "frontal", 10),
        (2, 2, "frontal", 0),
        (10, 1, "frontal", 0),
        (10, 1, "lateral_3", 0),
    ]
    assert [n.visit for _, n in matrices.first_visits(found)] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("T0001.txt", "a/T0001.1.1.S.2020-01-20.00.txt"),
            "patient 1 already has the matrix T0001.txt of this visit, view and frame",
        ),
        (("PAC_1_DN0.txt", "T0001.txt"), "files named PAC_... number the patients"),
    ],
)
def test_refuses_folders_in_which_patients_would_be_confused(tmp_path, names, message):
    fill(tmp_path, *names)
    with pytest.raises(DataError, match=message):
        matrices.find_exposures(tmp_path)
