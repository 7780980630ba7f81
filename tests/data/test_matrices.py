import numpy as np
import pytest

from wbad_jax.data import errors, matrices

SHAPE = (4, 6)


@pytest.fixture
def celsius():
    return np.linspace(20, 35, 24, dtype=np.float32).reshape(SHAPE)


def write(path, celsius, separator=" ", end="\n"):
    decimals = 2 if separator == " " else 5
    rows = [separator.join(f"{v:.{decimals}f}" for v in row) for row in celsius]
    path.write_text(end.join(rows) + end)


@pytest.mark.parametrize("separator", [" ", ";"])
@pytest.mark.parametrize("end", ["\n", "\r\n", " \n", ";\r\n"])
def test_reads_both_dialects(tmp_path, celsius, separator, end):
    path = tmp_path / "T0001.txt"
    if ";" in end and separator == " ":
        end = " \r\n"
    write(path, celsius, separator, end)
    read = matrices.read_matrix(path, SHAPE)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, celsius, atol=0.0051)


@pytest.mark.parametrize("separator", [" ", ";"])
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{sep}27.17", "", "row 2: a row must have 6 temperatures, got 5"),
        ("27.17", "abc", "row 2, column 6: 'abc' is not a number"),
        ("27.17", "nan", "row 2, column 6: a temperature must be in 5 .. 45.*got nan"),
        ("27.17", "inf", "row 2, column 6: a temperature must be in 5 .. 45.*got inf"),
        ("27.17", "99.9", "row 2, column 6: a temperature must .*got 99.9"),
        ("27.17", "-3", "row 2, column 6: a temperature must .*got -3"),
    ],
)
def test_names_the_bad_value(tmp_path, celsius, separator, old, new, message):
    path = tmp_path / "T0001.txt"
    write(path, np.round(celsius, 2), separator)
    text = path.read_text().replace("27.17000", "27.17")
    old = old.format(sep=separator)
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(errors.DataError, match=f"T0001.txt, {message}"):
        matrices.read_matrix(path, SHAPE)


def test_names_an_empty_field(tmp_path):
    path = tmp_path / "T0001.txt"
    path.write_text("30.1;;30.2\n30.1;30.2;30.3\n")
    with pytest.raises(errors.DataError, match="row 1, column 2: .* is missing"):
        matrices.read_matrix(path, (2, 3))


def test_names_a_truncated_file(tmp_path, celsius):
    path = tmp_path / "T0001.txt"
    write(path, celsius[:3])
    with pytest.raises(errors.DataError, match="4 rows, got 3. The file may be trunc"):
        matrices.read_matrix(path, SHAPE)
    path.write_text(path.read_text()[:-9] + "\n31.00 32.00 33.00\n")
    with pytest.raises(errors.DataError, match=r"T0001.txt, row 3: .*got 5"):
        matrices.read_matrix(path, SHAPE)


@pytest.mark.parametrize("shape", [(3, 6), (4, 5), (6, 4)])
def test_names_a_wrong_shape(tmp_path, celsius, shape):
    path = tmp_path / "T0001.txt"
    write(path, celsius)
    with pytest.raises(errors.DataError, match=r"T0001.txt.* must have \d"):
        matrices.read_matrix(path, shape)


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_names_an_empty_file(tmp_path, content):
    path = tmp_path / "T0001.txt"
    path.write_bytes(content)
    with pytest.raises(errors.DataError, match="4 rows, got 0"):
        matrices.read_matrix(path, SHAPE)


def test_names_a_binary_file(tmp_path):
    path = tmp_path / "T0001.txt"
    path.write_bytes(b"\x89PNG\r\n")
    with pytest.raises(errors.DataError, match="plain text, got byte 0x89"):
        matrices.read_matrix(path, SHAPE)


def test_finds_matrices_in_order_of_patients(tmp_path):
    folder = tmp_path / "matrices"
    folder.mkdir()
    for name in ("T0010.txt", "T0002.txt", "notes.md"):
        (folder / name).touch()
    assert list(matrices.find_matrices(tmp_path)) == [2, 10]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (None, "matrices: this folder of temperature matrices is missing"),
        ([], "matrices: there is no matrix"),
        (["image.txt"], "image.txt: a matrix must be named T<patient number>.txt"),
        (["T0001.txt", "T001.txt"], "T001.txt: patient 1 already has the matrix T0001"),
    ],
)
def test_rejects_a_bad_folder(tmp_path, names, message):
    if names is not None:
        (tmp_path / "matrices").mkdir()
        for name in names:
            (tmp_path / "matrices" / name).touch()
    with pytest.raises(errors.DataError, match=message):
        matrices.find_matrices(tmp_path)


def test_reads_diagnoses_as_spreadsheets_write_them(tmp_path):
    path = tmp_path / "diagnosis.csv"
    path.write_bytes(b"\xef\xbb\xbfID,Diagnosis\r\n1,Healthy\r\n 2 , SICK\r\n")
    assert matrices.read_diagnoses(path) == {1: 0, 2: 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "diagnosis.csv: this table .* is missing"),
        ("", r"the column ID is missing from the header \[\]"),
        ("ID,Label\n1,Sick\n", "the column Diagnosis is missing"),
        ("ID,Diagnosis\n1,Sick\n2,Ill\n", "line 3: .*Healthy or Sick, got 'Ill'"),
        ("ID,Diagnosis\n1\n", "line 2: Diagnosis must be .*got ''"),
        ("ID,Diagnosis\nT1,Sick\n", "line 2: ID must be a whole number, got 'T1'"),
        ("ID,Diagnosis\n1,Sick\n01,Sick\n", "line 3: patient 1 is listed twice"),
    ],
)
def test_rejects_a_bad_table(tmp_path, text, message):
    path = tmp_path / "diagnosis.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(errors.DataError, match=message):
        matrices.read_diagnoses(path)


@pytest.mark.parametrize("content", [b"ID,Diagnosis\n1,Sick\xe9\n", b"ID\x00,\n\x00"])
def test_rejects_a_table_that_is_no_text(tmp_path, content):
    path = tmp_path / "diagnosis.csv"
    path.write_bytes(content)
    with pytest.raises(errors.DataError, match="diagnosis.csv: "):
        matrices.read_diagnoses(path)


def test_matrices_and_diagnoses_must_be_of_the_same_patients(tmp_path):
    paths = {1: tmp_path / "T0001.txt", 3: tmp_path / "T0003.txt"}
    matrices.check_same_patients(paths, {1: 0, 3: 1})
    with pytest.raises(errors.DataError, match="no matrix for patient 7; .*T0007.txt"):
        matrices.check_same_patients(paths, {1: 0, 3: 1, 7: 0})
    with pytest.raises(errors.DataError, match=r"T0003.txt: no diagnosis .* patient 3"):
        matrices.check_same_patients(paths, {1: 0})
    many = dict.fromkeys(range(30), 0)
    with pytest.raises(errors.DataError, match="and 18 more"):
        matrices.check_same_patients(paths, many)
