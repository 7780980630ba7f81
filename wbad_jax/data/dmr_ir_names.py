"""What the names of DMR-IR files say: who, when, which view, which frame.

The archive has been named in five ways over the years. Views of names with dots are
numbered: 1 is the frontal one, 2 to 5 are the laterals.
"""

import dataclasses
import datetime
import re

from wbad_jax.data.errors import DataError

FRONTAL = "frontal"
VIEWS = (
    FRONTAL,
    *(f"lateral_{number}" for number in range(2, 6)),
    *(f"{side}_{degrees}" for side in ("right", "left") for degrees in (45, 90)),
)
# By name of the grammar, for the error.
EXAMPLES = {
    "number": "T0001",
    "dots": "T0328.1.1.D.2020-01-20.02",
    "old": "16-TFRON_V1_31-10-2012_8",
    "project": "PAC_62_DN0",
    "list": "355_img_Static-Frontal_2019-09-25",
}
_ISO_DATE = r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
_GRAMMARS = {
    "number": r"T(?P<patient>\d+)",
    "dots": r"T(?P<patient>\d+)\.(?P<visit>\d+)\.(?P<view>\d+)\.(?P<protocol>[SD])\."
    rf"{_ISO_DATE}\.(?P<frame>\d+)",
    "old": r"(?P<patient>\d+)-T(?P<view>[A-Z]+)_V(?P<visit>\d+)_"
    r"(?P<day>\d\d)-(?P<month>\d\d)-(?P<year>\d{4})_(?P<frame>\d+)",
    "project": r"PAC_(?P<patient>\d+)_DN(?P<frame>\d+)",
    "list": r"(?P<patient>\d+)_img_(?P<protocol>Static|Dynamic)-"
    rf"(?P<view>\w+(-\d\d)?)[°º]?_{_ISO_DATE}(_(?P<frame>\d+))?",
}
_OF_SERIES = ("old", "project")  # these number the frames and name no protocol
# ASCII: the digits of other scripts are digits to `\d` otherwise.
_PATTERNS = {name: re.compile(text, re.ASCII) for name, text in _GRAMMARS.items()}
_VIEW_CODES = {"FRON": FRONTAL, "1": FRONTAL} | {
    str(number): f"lateral_{number}" for number in range(2, 6)
}
# Longer ones are no numbers of this archive, and int() of them may fail.
_MOST_DIGITS = 9


@dataclasses.dataclass(frozen=True, kw_only=True)
class DmrIrName:
    """One exposure.

    Attributes:
        grammar: Which of `EXAMPLES` the name is like.
        patient: Number. That of the grammar "project" is the project's own.
        visit: Number; 1 where the name says none.
        view: One of `VIEWS`.
        protocol: "static", after acclimatisation, or "dynamic", rewarming after a fan.
        date: Of the exposure, if the name says so.
        frame: Position in a series; 0 where the name says none.

    Examples:
        >>> from wbad_jax.data import parse_name
        >>> name = parse_name("T0328.1.1.D.2020-01-20.02")
        >>> name.patient, name.protocol, name.date.isoformat()
        (328, 'dynamic', '2020-01-20')
    """

    grammar: str
    patient: int
    visit: int
    view: str
    protocol: str
    date: datetime.date | None
    frame: int

    @property
    def exposure(self) -> tuple[int, str, int, str, int]:
        """What no two files of a folder may share."""
        return self.patient, self.protocol, self.visit, self.view, self.frame


def parse_name(stem: str) -> DmrIrName:
    """Reads the name of a file.

    Args:
        stem: Without folder and suffix.

    Raises:
        DataError: If the name is of no known grammar, or a part of it is impossible.

    Examples:
        >>> from wbad_jax.data import parse_name
        >>> parse_name("T0001").patient, parse_name("PAC_62_DN0").frame
        (1, 0)
    """
    for grammar, pattern in _PATTERNS.items():
        if match := pattern.fullmatch(stem):
            return _exposure(stem, grammar, match.groupdict())
    raise DataError(
        f"a matrix must be named T<patient number>.txt, like {EXAMPLES['number']}.txt, "
        f"or as one of {', '.join(list(EXAMPLES.values())[1:])}, got {stem!r}."
    )


def _exposure(stem: str, grammar: str, parts: dict[str, str | None]) -> DmrIrName:
    date = None
    if parts.get("year"):
        date = _date(stem, *(parts[part] or "" for part in ("year", "month", "day")))
    protocol = parts.get("protocol") or ("D" if grammar in _OF_SERIES else "S")
    return DmrIrName(
        grammar=grammar,
        patient=_number(stem, parts["patient"]),
        visit=_number(stem, parts.get("visit") or "1"),
        view=_view(stem, parts.get("view") or "1"),
        protocol="static" if protocol[0] == "S" else "dynamic",
        date=date,
        frame=_number(stem, parts.get("frame") or "0"),
    )


def _number(stem: str, digits: str | None) -> int:
    if not digits or len(digits) > _MOST_DIGITS:
        raise DataError(
            f"a number must have at most {_MOST_DIGITS} digits, got {digits!r} in "
            f"{stem!r}."
        )
    return int(digits)


def _view(stem: str, code: str) -> str:
    view = _VIEW_CODES.get(code) or code.lower().replace("-", "_")
    if view not in VIEWS:
        known = ", ".join([*_VIEW_CODES, "Frontal", "Right-45", "..."])
        raise DataError(f"a view must be one of {known}, got {code!r} in {stem!r}.")
    return view


def _date(stem: str, year: str, month: str, day: str) -> datetime.date:
    try:
        return datetime.date(int(year), int(month), int(day))
    except ValueError as error:
        raise DataError(
            f"a date must exist, got {year}-{month}-{day} in {stem!r}: {error}."
        ) from error
