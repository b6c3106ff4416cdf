"""What a column holds, told from its values; and what its name says, in English and German."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

from qma_predict.data.values import with_points

NAMES: dict[str, str] = {
    "unit_id": "unit_id serial sn serialnumber serial_no serial_number seriennummer sernr snr unit unitid dmc wafer_id "
    "wafer part_id partid teile_id teil_id teileid teilid bauteil bauteil_id bauteilnr werkstueck werkstueck_id "
    "piece_id product_id barcode uid teilenummer teilenr id",
    "product": "product part part_no partno part_number article artikel artikelnummer artikelnr sachnummer variant "
    "variante typ type model modell produkt teilenummer teilenr",
    "order_no": "order_no order orderno order_number work_order auftrag auftragsnummer auftragsnr auftrag_nr fa job",
    "station": "station process operation step arbeitsgang ag prozess arbeitsplatz work_center workcenter op schritt "
    "arbeitsvorgang",
    "machine": "machine machine_id maschine maschinennr maschine_nr anlage equipment equipment_id resource asset tool",
    "started_at": "started_at time_in started start start_time begin beginn startzeit eintritt eingang timestamp_in "
    "in_time timestamp zeitstempel datum_start start_datum",
    "ended_at": "ended_at time_out ended end end_time ende endzeit austritt ausgang finished timestamp_out out_time "
    "ende_datum fertig",
    "occurred_at": "occurred_at timestamp zeitstempel ts time zeit datum date datetime date_time at tested consumed "
    "started messzeit zeitpunkt pruefzeit pruefdatum event_time measured_at created start time_in uhrzeit verbaut "
    "datum_zeit datum_uhrzeit",
    "recorded_at": "recorded_at booked stored recorded gebucht gespeichert erfasst erfasst_am buchungszeit inserted "
    "inserted_at gebucht_am loaded_at updated_at changed_at geaendert_am gespeichert_am",
    "tag": "tag tag_name tagname sensor signal parameter variable kanal channel messgroesse messstelle point",
    "value": "value wert messwert reading val istwert measurement",
    "lot_id": "lot_id lot batch batch_id charge chargennummer chargennr chargen_nr los losnummer lot_no heat schmelze",
    "material": "material komponente component werkstoff rohstoff",
    "supplier": "supplier vendor lieferant hersteller",
    "kind": "kind event event_type ereignis ereignisart art meldung type aktion alarm stoerung",
    "text": "text comment kommentar description beschreibung bemerkung note message meldungstext "
    "event ereignis meldung",
    "gate": "gate inspection_point test_station pruefstation pruefplatz inspection",
    "characteristic": "characteristic merkmal pruefmerkmal feature check test kriterium",
    "passed": "passed result ergebnis io i_o ionio io_nio iO_niO status ok pass fail failed bewertung urteil verdict "
    "befund defect fehler nok anomaly pruefergebnis",
    "measured": "measured messwert wert istwert value actual",
    "lower": "lower lsl usg lower_limit untere_grenze min toleranz_unten",
    "upper": "upper usl osg upper_limit obere_grenze max toleranz_oben",
    "code": "code defect_code error_code fehlercode fehlerschluessel",
    "reason": "reason grund",
    "probability": "probability",
    "unit": "unit einheit uom",
    "set_point": "set_point setpoint sollwert target nominal soll",
    "valid_from": "valid_from gueltig_ab since",
    "plausible_low": "plausible_low",
    "plausible_high": "plausible_high",
}
"""Our name of a column to what plants call it, the surest first."""

GOOD = {"true", "1", "ok", "pass", "passed", "yes", "good", "io", "i.o.", "gut"}
BAD = {"false", "0", "nok", "not ok", "fail", "failed", "no", "bad", "nio", "n.i.o.", "schlecht", "ausschuss", "scrap"}
_KNOWN = (GOOD - {"gut"}) | (BAD - {"schlecht", "ausschuss", "scrap"})
"""Words that the contract reads without being told."""

TOLD = 0.6
"""From here on, a column's name says by itself what it is; see `named`."""

Names = Mapping[str, str | tuple[str, ...]]
"""Our names to those of the files' columns, of which a time may take two."""

_ANY_TIME = {"timestamp", "zeitstempel", "time", "zeit", "date", "datum", "datetime", "uhrzeit", "zeitpunkt"}
"""Words that in a longer name say no more than that it is a time."""

_NEGATIVE = ("fail", "failed", "defect", "fehler", "nok", "anomaly")
_ISO = re.compile(r"\d{4}-?\d{2}-?\d{2}(?:[T ]\d{2}:?\d{2}[\d:.]*(?: ?(?:Z|[+-]\d{2}(?::?\d{2})?))?)?")
_OTHER = re.compile(
    r"(\d{1,4})([./-])(\d{1,2})\2(\d{2,4})(?:([ T])(\d{1,2}):(\d{2})(?::(\d{2})(?:([.,])\d{1,9})?)?( ?[AaPp][Mm])?)?"
)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?")
_SOME = 3
"""Whole numbers below 1000 that differ, with fewer of which a sign is not taken for one for thousands."""
_EPOCH_1990, _EPOCH_2100 = 631_152_000, 4_102_444_800


@cache
def plain(name: str) -> str:
    """Name in lower case with `_` between its words, and without umlauts.

    Examples
    --------
    >>> plain(" Prüf-Ergebnis (i.O.)"), plain("SerialNo")
    ('pruef_ergebnis_i_o', 'serial_no')
    """
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip()).lower()
    for umlaut, letters in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss")):
        text = text.replace(umlaut, letters)
    return re.sub(r"[^a-z0-9]+", "_", text).strip("_")


@cache
def named(name: str, role: str) -> float:
    """How sure a column's name says that it is our `role`: 0 not at all, 1 its own name."""
    known, own = [plain(one) for one in NAMES[role].split()], plain(name)
    if own in known:
        return 1.0 - 0.015 * known.index(own)
    squeezed = own.replace("_", "")
    if squeezed in (one.replace("_", "") for one in known):
        return 0.6
    words = set(own.split("_")) - _ANY_TIME
    return 0.3 if any(len(word) > 3 and word in words for word in known) else 0.0


def taken_by(mapping: Names) -> set[str]:
    """Columns of the files that a mapping takes."""
    return {one for value in mapping.values() for one in ((value,) if isinstance(value, str) else value)}


@dataclass(frozen=True)
class Column:
    """A column of a group of files, with some thousand of its values, and whether each of the files has it."""

    name: str
    values: pd.Series
    everywhere: bool = True

    @cached_property
    def texts(self) -> pd.Series:
        """Values that are there, as text without blanks around them."""
        text = self.values.dropna().astype("str").str.strip()
        return text[text != ""]

    @cached_property
    def kind(self) -> str:
        """`empty`, `time`, `number` or `text`."""
        if self.texts.empty:
            return "empty"
        if self.time_format is not None:
            return "time"
        return "number" if self._numeric(".") or self._numeric(",") else "text"

    @cached_property
    def decimal(self) -> str | None:
        """The decimal sign that was seen, or the one that a sign for thousands leaves; None where none was."""
        if is_numeric_dtype(self.values.dtype):
            return None
        if self.thousands is not None:
            return "," if self.thousands == "." else "."
        seen = (sign for sign in ",." if self.texts.str.contains(sign, regex=False).any())
        return next((sign for sign in seen if self._numeric(sign)), None)

    @cached_property
    def thousands(self) -> str | None:
        """The sign that by itself could be a decimal one, and is for thousands as far as the values tell.

        It stands once or more before three digits and nowhere else, and beside such values are whole numbers below
        1000 and none above: 961, 1.023, 1.318.
        """
        if is_numeric_dtype(self.values.dtype):
            return None
        numbers = self.texts[self.texts.str.fullmatch(r"[-+]?\d[\d.,]*")]
        signed = numbers.str.contains("[.,]")
        plain = numbers[~signed].str.fullmatch(r"[-+]?(?:0|[1-9]\d{0,2})")
        if not signed.any() or not plain.all() or numbers[~signed].nunique() < _SOME:
            return None
        signs = {sign: rf"[-+]?[1-9]\d{{0,2}}(?:\{sign}\d{{3}})+" for sign in ".,"}
        return next((sign for sign, form in signs.items() if numbers[signed].str.fullmatch(form).all()), None)

    def _numeric(self, sign: str) -> bool:
        if is_bool_dtype(self.values.dtype) or is_datetime64_any_dtype(self.values.dtype):
            return False
        if is_numeric_dtype(self.values.dtype):
            return True
        if not self.texts.head(20).str.contains(r"\d").any():
            return False
        fits = with_points(self.texts, sign).str.fullmatch(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?", na=False)
        return bool(fits.mean() > 0.9)

    @cached_property
    def time_format(self) -> str | None:
        """`time_format` of a line.toml by which the values are moments, or None."""
        if is_datetime64_any_dtype(self.values.dtype):
            return "ISO8601"
        if is_numeric_dtype(self.values.dtype) or self._numeric("."):
            return self._epoch()
        if self.texts.empty:
            return None
        if self.texts.str.fullmatch(_ISO).mean() > 0.9 and not self._numeric("."):
            return "ISO8601"
        found = self.texts.str.extract(_OTHER.pattern)[self.texts.str.fullmatch(_OTHER)]
        return None if len(found) < 0.9 * len(self.texts) else _format(found)

    def _epoch(self) -> str | None:
        words = set(plain(self.name).split("_"))
        if not words & {
            "time",
            "timestamp",
            "ts",
            "zeit",
            "zeitstempel",
            "epoch",
            "at",
            "start",
            "end",
            "date",
            "datum",
        }:
            return None
        median = float(pd.to_numeric(self.texts, errors="coerce").median())
        for unit, factor in (("s", 1), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)):
            if _EPOCH_1990 < median / factor < _EPOCH_2100:
                return f"epoch {unit}"
        return None

    @cached_property
    def clock(self) -> bool:
        """Whether the values are times of day without a date."""
        return not self.texts.empty and bool(self.texts.str.fullmatch(_CLOCK).mean() > 0.5)

    @cached_property
    def unsure(self) -> bool:
        """Whether day and month could be the other way round."""
        found = self.texts.str.extract(_OTHER.pattern)
        slash = (self.time_format or "").startswith(("%d/", "%m/", "%d-", "%m-"))
        return slash and bool((found[0].astype("float") <= 12).all() and (found[2].astype("float") <= 12).all())

    @cached_property
    def moments(self) -> pd.Series:
        """Values as local moments without a zone, or missing; whoever needs the zone reads them by a source."""
        if self.time_format is None:
            return pd.Series(dtype="datetime64[us]")
        if is_datetime64_any_dtype(self.values.dtype):
            found = pd.to_datetime(self.values, utc=True)
        elif self.time_format.startswith("epoch"):
            number = pd.to_numeric(self.values, errors="coerce").astype("float64")
            found = pd.to_datetime(number, unit=self.time_format.split()[1], utc=True, errors="coerce")
        else:
            found = pd.to_datetime(self.values, format=self.time_format, errors="coerce", utc=True)
        return found.dt.tz_localize(None)

    @cached_property
    def flag(self) -> bool:
        """Whether the values can be the result of an inspection."""
        words = {word.lower() for word in self.texts.unique()[:10]}
        return 0 < len(words) <= 6 and (words <= GOOD | BAD | {"n", "y", "j", "x"})

    @cached_property
    def words(self) -> dict[str, str]:
        """Words of a result that the contract must be told, and ours for them."""
        given = sorted(self.texts.unique()[:10])
        negative = any(word in plain(self.name).split("_") for word in _NEGATIVE) or plain(self.name) in ("rework",)
        if negative:
            return {one: "NOK" if one.lower() in GOOD | {"y", "j", "x"} else "OK" for one in given}
        if {one.lower() for one in given} <= _KNOWN:
            return {}
        return {one: "OK" if one.lower() in GOOD | {"y", "j"} else "NOK" for one in given}

    @cached_property
    def some(self) -> frozenset[str]:
        """Some of the values that differ."""
        return frozenset(self.texts.head(1000))

    @cached_property
    def distinct(self) -> float:
        """Share of values that differ."""
        return self.texts.nunique() / max(1, len(self.texts))

    @property
    def zoned(self) -> bool:
        """Whether the values say their offset from UTC."""
        if isinstance(self.values.dtype, pd.DatetimeTZDtype):
            return True
        return self.time_format == "ISO8601" and bool(self.texts.str.contains(r"(?:Z|[+-]\d{2}:?\d{2})$").mean() > 0.9)


def _format(found: pd.DataFrame) -> str:
    """Directives for dates of which the parts are given; the day first unless the values say otherwise."""
    first, sign, second, third = found[0].astype("int64"), found[1].iloc[0], found[2].astype("int64"), found[3]
    if found[0].str.len().max() == 4:
        date = f"%Y{sign}%m{sign}%d"
    else:
        year = "%Y" if third.str.len().max() == 4 else "%y"
        month_first = bool((second > 12).any()) and not bool((first > 12).any())
        if sign == "/" and not (first > 12).any() and not (second > 12).any():
            month_first = bool(found[9].notna().any())
        date = f"%m{sign}%d{sign}{year}" if month_first else f"%d{sign}%m{sign}{year}"
    if found[5].isna().all():
        return date
    seconds = ":%S" if found[7].notna().any() else ""
    fraction = "" if found[8].isna().all() else f"{found[8].dropna().iloc[0]}%f"
    half = found[9].dropna()
    hour = "%I" if len(half) else "%H"
    suffix = "" if half.empty else (" %p" if half.iloc[0].startswith(" ") else "%p")
    return f"{date}{found[4].dropna().iloc[0]}{hour}:%M{seconds}{fraction}{suffix}"


def columns(rows: pd.DataFrame, partly: Collection[str] = ()) -> list[Column]:
    """Columns of a sample of rows; `partly` are those that not all the files have."""
    return [
        Column(str(name), rows[name], name not in partly) for name in rows if not isinstance(rows[name], pd.DataFrame)
    ]


def numeric(column: Column) -> bool:
    """Whether a column can be a tag of its own: numbers, not all of them codes that count up."""
    if column.kind != "number":
        return False
    values = pd.to_numeric(with_points(column.texts, column.decimal or "."), errors="coerce").dropna()
    counted = len(values) > 10 and bool((np.diff(values.to_numpy()[:1000]) == 1).all())
    return not counted
