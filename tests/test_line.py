import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from qma_predict.errors import LineError
from qma_predict.line import Line, Source, load_line

GOOD = """
name = "pumps"
title = "Pumps"
plant = "Plant A"
timezone = "Europe/Berlin"
route = ["cast", "mill", "wash"]
variables = ["DATA"]

[prediction]
after = "wash"
grace = "15 min"

[gate]
name = "final"
characteristics = ["leak", "size"]
maturity = "5 d"

[candidates]
max_age = "3 d"
leave_at = ["shipping"]

[list]
as_of = "05:00"
capacity = 40

[[sources]]
table = "units"
path = "${DATA}/units-*.csv"
delay = "10 min"
"""


@pytest.fixture
def read(tmp_path):
    """Return a function that reads GOOD with some text replaced."""

    def read(*replaced: tuple[str, str], environ=None) -> Line:
        text = GOOD
        for old, new in replaced:
            assert text.count(old) == 1
            text = text.replace(old, new)
        (tmp_path / "line.toml").write_text(text)
        return load_line(tmp_path, {"DATA": "/data"} if environ is None else environ)

    return read


def test_costs_are_optional_and_one_currency(read):
    assert read().costs.escape is None
    costs = read(("[candidates]", "[costs]\nescape = 400\ninspection = 2.5\n[candidates]")).costs
    assert (costs.escape, costs.inspection, costs.false_alarm) == (400.0, 2.5, 0.0)


def test_a_product_may_have_costs_of_its_own(read):
    text = '[costs]\nescape = 400\ninspection = 2.5\n[costs.product."A-55"]\nescape = 900\n[candidates]'
    costs = read(("[candidates]", text)).costs
    assert (costs.of("A-55").escape, costs.of("A-55").inspection, costs.of("A-55").false_alarm) == (900.0, 2.5, 0.0)
    assert costs.of("B").escape == costs.of(None).escape == 400.0


def test_a_capacity_in_minutes_is_as_many_checks_as_fit(read):
    text = 'minutes = 100\ncheck_minutes = 3.5\ncheck_minutes_of = { "A-55" = 7 }\naudits = 0.1\nconfirm = true'
    found = read(("capacity = 40", text)).list
    assert (found.minutes, found.capacity, found.audits, found.confirm) == (100.0, 28, 0.1, True)
    assert (found.check_minutes, found.check_minutes_of) == (3.5, {"A-55": 7.0})


def test_a_capacity_in_units_knows_no_minutes(read):
    found = read().list
    assert (found.capacity, found.audits, found.confirm) == (40, 0, False)
    assert (found.minutes, found.check_minutes, found.check_minutes_of) == (None, None, {})


@pytest.mark.parametrize("said", ["minutes = 100", "capacity = 20\ncheck_minutes_of = { A-55 = 7 }"])
def test_a_line_that_counts_in_minutes_need_not_say_those_of_every_check(read, said):
    found = read(("capacity = 40", said)).list
    assert (found.check_minutes, found.capacity) == (5.0, 20)


def test_nobody_is_told_unless_the_line_says_whom(read):
    assert read().messages.to == ()
    assert read().messages.link is None


def test_addresses_of_messages_come_from_the_environment_and_a_missing_one_stops_nothing(read):
    told = ("[candidates]", '[messages]\nto = ["${MAIL}", "${HOOK}"]\nlink = "https://lists/"\n[candidates]')
    listed = ('variables = ["DATA"]', 'variables = ["DATA", "MAIL", "HOOK"]')
    messages = read(told, listed, environ={"DATA": "/data", "MAIL": "mailto://a:b@plant"}).messages
    assert messages.to == ("mailto://a:b@plant", "${HOOK}")
    assert messages.link == "https://lists/"


def test_what_follows_from_a_wrong_value_is_not_told_as_wrong(read, tmp_path):
    with pytest.raises(LineError) as error:
        read(('as_of = "05:00"\ncapacity = 40', 'as_of = "5"\nminutes = -1'))
    assert [row.split(":")[0] for row in problems(error, tmp_path)] == ["list.as_of", "list.minutes"]


@pytest.mark.parametrize(
    ("as_of", "by", "moment"),
    [
        ("05:00", "", "2025-01-15 05:00"),
        ("05:00", 'by = "05:30"', "2025-01-15 04:30"),
        ("23:30", "", "2025-01-15 23:30"),  # half past midnight in Berlin, on the next day
        ("23:30", 'by = "04:00"', "2025-01-16 03:00"),
    ],
)
def test_the_list_is_promised_by_a_local_time(read, as_of, by, moment):
    line = read(('as_of = "05:00"', f'as_of = "{as_of}"\n{by}'))
    assert line.promised_by(date(2025, 1, 15)) == utc(moment)


def problems(error: pytest.ExceptionInfo[LineError], folder: Path) -> list[str]:
    first, *rest = str(error.value).split("\n")
    assert first == f"{folder / 'line.toml'}:"
    return [row.removeprefix("  ") for row in rest]


def test_a_line_says_what_the_plant_is(read):
    line = read()
    assert (line.name, line.route) == ("pumps", ("cast", "mill", "wash"))
    assert line.prediction.grace == timedelta(minutes=15)
    assert line.gate.maturity == timedelta(days=5)
    assert line.list.as_of.isoformat() == "05:00:00"
    assert line.sources[0].delay == timedelta(minutes=10)
    assert line.learning.recipe == "default"


WRONG = {
    "unknown key": (
        ("capacity = 40", "capacity = 40\ncapacty = 40"),
        "list.capacty: unknown key. The nearest known key is 'capacity'; known are as_of, by, minutes, "
        "check_minutes_of, check_minutes, capacity, audits, confirm.",
    ),
    "unknown key of a source": (
        ('delay = "10 min"', 'delay = "10 min"\nseperator = ";"'),
        "sources[0].seperator: unknown key. The nearest known key is 'separator'; known are "
        f"{', '.join(Source.model_fields)}.",
    ),
    "unknown section": (
        ("[candidates]", "[gait]\na = 1\n[candidates]"),
        "gait: unknown key. The nearest known key is 'gate'; known are name, title, plant, timezone, route, variables, "
        "units, prediction, gate, candidates, list, learning, schedule, training, costs, messages, sources.",
    ),
    "trust in a package": (
        ("[candidates]", '[learning]\ntrust = ["a_plant.Trees", "my_plant.*"]\n[candidates]'),
        "learning.trust[1]: found 'my_plant.*', expected the full import path of a class such as "
        '"my_plant.models.SteppedTrees", of each class its own.',
    ),
    "missing key": (('as_of = "05:00"\n', ""), "list.as_of: missing. It is required."),
    "no capacity": (
        ("capacity = 40\n", ""),
        "list: expected one of two: capacity (units to check) or minutes (of work).",
    ),
    "two capacities": (
        ("capacity = 40", "capacity = 40\nminutes = 200"),
        "list: expected one of two: capacity (units to check) or minutes (of work).",
    ),
    "minutes of less than a check": (
        ("capacity = 40", "minutes = 4.5"),
        "list: minutes is 4.5, expected those of one check (5.0) or more.",
    ),
    "no minutes": (("capacity = 40", "minutes = 0"), "list.minutes: found 0, expected greater than or equal to 0.01."),
    "a check that takes no time": (
        ("capacity = 40", "capacity = 40\ncheck_minutes_of = { A-55 = 0.0 }"),
        "list.check_minutes_of.A-55: found 0.0, expected greater than or equal to 0.01.",
    ),
    "more audits than checks": (
        ("capacity = 40", "capacity = 40\naudits = 1.1"),
        "list.audits: found 1.1, expected less than or equal to 1.",
    ),
    "promised for when it is made": (
        ("capacity = 40", 'capacity = 40\nby = "05:00"'),
        "list: expected a time after as_of for by.",
    ),
    "confirmed by a word": (
        ("capacity = 40", 'capacity = 40\nconfirm = "yes"'),
        "list.confirm: found 'yes', expected a valid boolean.",
    ),
    "missing section": (
        ('[prediction]\nafter = "wash"\ngrace = "15 min"\n', ""),
        "prediction: missing. It is required.",
    ),
    "name": (
        ('"pumps"', '"Pumps 1"'),
        'name: found \'Pumps 1\', expected lower-case letters, digits, "-" and "_".',
    ),
    "name of another type": (('"pumps"', "7"), "name: found 7, expected text in quotes."),
    "empty title": (('"Pumps"', '""'), "title: found '', expected text."),
    "zone": (
        ('"Europe/Berlin"', '"Berlin"'),
        'timezone: found \'Berlin\', expected a zone of the tz database such as "Europe/Berlin" or "UTC".',
    ),
    "duration": (
        ('"15 min"', '"15 minutes"'),
        'prediction.grace: found \'15 minutes\', expected a duration such as "30 s", "15 min", "20 h" or "5 d".',
    ),
    "duration as a number": (
        ('"15 min"', "15"),
        'prediction.grace: found 15, expected a duration such as "30 s", "15 min", "20 h" or "5 d".',
    ),
    "negative duration": (
        ('"15 min"', '"-15 min"'),
        'prediction.grace: found \'-15 min\', expected a duration such as "30 s", "15 min", "20 h" or "5 d".',
    ),
    "duration beyond any calendar": (
        ('"5 d"', '"99999999999 d"'),
        'gate.maturity: found \'99999999999 d\', expected a duration such as "30 s", "15 min", "20 h" or "5 d".',
    ),
    "no time to be a candidate": (('"3 d"', '"0 d"'), "candidates.max_age: found '0 d', expected more than 0."),
    "time of day": (
        ('"05:00"', '"5 o\'clock"'),
        'list.as_of: found "5 o\'clock", expected a local time of day such as "05:00".',
    ),
    "time of day as TOML has it": (
        ('"05:00"', "05:00:00"),
        'list.as_of: found 05:00:00, expected a local time of day such as "05:00".',
    ),
    "24 o'clock": (
        ('"05:00"', '"24:00"'),
        "list.as_of: found '24:00', expected a local time of day such as \"05:00\".",
    ),
    "cost of an escape without that of a check": (
        ("[candidates]", "[costs]\nescape = 100\n[candidates]"),
        "costs: expected both or none of escape and inspection.",
    ),
    "negative cost": (
        ("[candidates]", "[costs]\nescape = -1\ninspection = 2\n[candidates]"),
        "costs.escape: found -1, expected greater than or equal to 0.",
    ),
    "unknown cost": (
        ("[candidates]", "[costs]\nscrap = 1\n[candidates]"),
        "costs.scrap: unknown key. The nearest known key is 'escape'; known are escape, inspection, "
        "false_alarm, product.",
    ),
    "unknown cost of a product": (
        ("[candidates]", "[costs]\nescape = 9\ninspection = 1\nproduct.A-55.escpe = 1\n[candidates]"),
        "costs.product.A-55.escpe: unknown key. The nearest known key is 'escape'; known are escape, inspection, "
        "false_alarm.",
    ),
    "costs of one product only": (
        ("[candidates]", "[costs.product.A-55]\nescape = 9\ninspection = 1\n[candidates]"),
        "costs: product goes with escape and inspection, which are those of the other products.",
    ),
    "address with a variable that is not listed": (
        ("[candidates]", '[messages]\nto = ["json://hook", "${QMA_MAIL}"]\n[candidates]'),
        "messages.to[1]: found ${QMA_MAIL}, expected a name listed in variables",
    ),
    "capacity of nothing": (("= 40", "= 0"), "list.capacity: found 0, expected greater than or equal to 1."),
    "capacity of a half": (("= 40", "= 40.5"), "list.capacity: found 40.5, expected a whole number."),
    "capacity of true": (("= 40", "= true"), "list.capacity: found true, expected a whole number."),
    "text for a list": (
        ('["cast", "mill", "wash"]', '"wash"'),
        "route: found 'wash', expected a list.",
    ),
    "empty list": (('["leak", "size"]', "[]"), "gate.characteristics: found [], expected at least one."),
    "the same twice": (
        ('["leak", "size"]', '["leak", "leak"]'),
        "gate.characteristics: found ['leak', 'leak'], expected each name once.",
    ),
    "value for a section": (
        ('[candidates]\nmax_age = "3 d"\nleave_at = ["shipping"]\n', "[candidates.max_age]\n"),
        'candidates.max_age: found a table, expected a duration such as "30 s", "15 min", "20 h" or "5 d".',
    ),
    "table": (
        ('"units"', '"unit"'),
        "sources[0].table: found 'unit', expected 'units', 'visits', 'readings', 'tags', 'materials', 'events', "
        "'inspections', 'agreement', 'answers' or 'issue_answers'.",
    ),
    "separator": (
        ('delay = "10 min"', 'delay = "10 min"\nseparator = "::"'),
        "sources[0].separator: found '::', expected one character such as \";\" or a tab.",
    ),
    "encoding": (
        ('delay = "10 min"', 'delay = "10 min"\nencoding = "latin-99"'),
        'sources[0].encoding: found \'latin-99\', expected an encoding of text such as "utf-8", "latin-1" or "cp1252".',
    ),
    "encoding of something else than text": (
        ('delay = "10 min"', 'delay = "10 min"\nencoding = "hex"'),
        'sources[0].encoding: found \'hex\', expected an encoding of text such as "utf-8", "latin-1" or "cp1252".',
    ),
    "time format": (
        ('delay = "10 min"', 'delay = "10 min"\ntime_format = "%d.%m.%Q"'),
        'sources[0].time_format: found \'%d.%m.%Q\', expected "ISO8601", "epoch ms" or directives such as '
        '"%d.%m.%Y %H:%M:%S".',
    ),
    "time format that guesses": (
        ('delay = "10 min"', 'delay = "10 min"\ntime_format = "mixed"'),
        'sources[0].time_format: found \'mixed\', expected "ISO8601", "epoch ms" or directives such as '
        '"%d.%m.%Y %H:%M:%S".',
    ),
    "no second clock": (
        ('delay = "10 min"', ""),
        "sources[0]: expected one of two: columns.recorded_at (the plant says when the row could first be read) or "
        'delay (for example delay = "10 min" after it happened).',
    ),
    "two second clocks": (
        ('delay = "10 min"', 'delay = "10 min"\ncolumns = { recorded_at = "booked" }'),
        "sources[0]: expected one of two: columns.recorded_at (the plant says when the row could first be read) or "
        'delay (for example delay = "10 min" after it happened).',
    ),
    "a column that is also constant": (
        (
            'delay = "10 min"',
            'delay = "10 min"\ncolumns = { product = "part" }\nconstants = { product = "P1" }',
        ),
        "sources[0]: columns and constants both name product, expected one of them.",
    ),
    "neither files nor a database": (
        ('path = "${DATA}/units-*.csv"\n', ""),
        "sources[0]: expected one of two: path (files), or url and query (a database).",
    ),
    "files and a database": (
        ('delay = "10 min"', 'delay = "10 min"\nurl = "sqlite://"\nquery = "select 1"'),
        "sources[0]: expected one of two: path (files), or url and query (a database).",
    ),
    "a database without a query": (
        ('path = "${DATA}/units-*.csv"', 'url = "sqlite:///mes.db"'),
        "sources[0]: expected one of two: path (files), or url and query (a database).",
    ),
    "habits of files for a database": (
        ('path = "${DATA}/units-*.csv"', 'url = "sqlite:///mes.db"\nquery = "select 1"\nseparator = ";"\nskip = 2'),
        "sources[0]: skip, separator goes with path (files), found it with url.",
    ),
    "a watermark that no query compares with": (
        ('path = "${DATA}/units-*.csv"', 'url = "sqlite:///mes.db"\nquery = "select 1"\nwatermark = "id"'),
        'sources[0]: watermark goes with a query that compares with it, such as "... where id >= :watermark".',
    ),
    "a footer that is no pattern": (
        ('delay = "10 min"', 'delay = "10 min"\nfooter = "(Total"'),
        "sources[0].footer: found '(Total', expected a regular expression such as \"^Total\" "
        "(missing ), unterminated subpattern at position 0).",
    ),
    "columns of nothing": (
        ('delay = "10 min"', 'delay = "10 min"\ncolumns = { occurred_at = ["Date", 7] }'),
        "sources[0].columns.occurred_at: found ['Date', 7], expected the name of a column, or several such as "
        '["Date", "Time"].',
    ),
    "a rule that there is not": (
        ('delay = "10 min"', 'delay = "10 min"\nnormalise = { unit_id = ["upper", "trim"] }'),
        'sources[0].normalise.unit_id[1]: found \'trim\', expected "upper", "lower", "remove blanks", "remove signs", '
        '"remove leading zeros", "remove prefix SN-", "remove suffix -A", "add prefix M" or "pad 6".',
    ),
    "a unit that there is not": (
        ('variables = ["DATA"]', 'variables = ["DATA"]\nunits = { "cast.temperature" = "warm" }'),
        'units.cast.temperature: found \'warm\', expected a unit of measure such as "degC", "bar", "mm" or "1/min".',
    ),
    "units of what is no reading": (
        ('delay = "10 min"', 'delay = "10 min"\nunits = { "temperature" = "degF" }'),
        "sources[0]: units goes with readings only, found it with units.",
    ),
    "prediction off the route": (
        ('after = "wash"', 'after = "paint"'),
        "prediction.after: found 'paint', expected a station of route",
    ),
    "leaving on the route": (
        ('["shipping"]', '["mill"]'),
        "candidates.leave_at: found mill, expected stations that are not on the route",
    ),
    "a code that is void and disputed": (
        ('maturity = "5 d"', 'maturity = "5 d"\nvoid = ["X1", "X2"]\ndisputed = ["X2"]'),
        "gate: void and disputed both name X2, expected one of them",
    ),
    "variable that is not listed": (
        ('["DATA"]', '["QMA_DATA"]'),
        "sources[0].path: found ${DATA}, expected a name listed in variables",
    ),
}


@pytest.mark.parametrize(("replaced", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_told_with_its_key_what_was_found_and_what_was_expected(read, tmp_path, replaced, message):
    with pytest.raises(LineError) as error:
        read(replaced)
    assert problems(error, tmp_path) == [message]


def test_everything_that_is_wrong_is_told_at_once(read, tmp_path):
    with pytest.raises(LineError) as error:
        read(('"pumps"', '"P"'), ("capacity = 40", "capacity = 0"), ('"15 min"', '"soon"'), ('table = "units"\n', ""))
    keys = [problem.split(":")[0] for problem in problems(error, tmp_path)]
    assert keys == ["name", "prediction.grace", "list.capacity", "sources[0].table"]


def test_all_contradictions_are_told_at_once(read, tmp_path):
    with pytest.raises(LineError) as error:
        read(('after = "wash"', 'after = "x"'), ('["shipping"]', '["cast"]'), ('["DATA"]', "[]"))
    keys = [problem.split(":")[0] for problem in problems(error, tmp_path)]
    assert keys == ["prediction.after", "candidates.leave_at", "sources[0].path"]


def test_all_variables_that_are_not_set_are_told_at_once(read, tmp_path):
    two = ('path = "${DATA}/units-*.csv"', 'path = "${DATA}/${SHIFT}/units-*.csv"')
    with pytest.raises(LineError) as error:
        read(two, ('["DATA"]', '["DATA", "SHIFT"]'), environ={"DATA": ""})
    assert problems(error, tmp_path) == [
        f"sources[0].path: the environment variable {name} is not set, expected the folder that holds the data."
        for name in ("DATA", "SHIFT")
    ]


def test_variables_are_replaced_in_urls_and_queries_and_quoted_for_sql(read):
    database = ('path = "${DATA}/units-*.csv"', 'url = "${DB}"\nquery = "select * from \'${DATA}/u.csv\'"')
    environ = {"DB": "postgresql://reader:secret@db/mes", "DATA": "/srv/o'neill"}
    [source] = read(database, ('["DATA"]', '["DATA", "DB"]'), environ=environ).sources
    assert source.url == "postgresql://reader:secret@db/mes"
    assert source.query == "select * from '/srv/o''neill/u.csv'"
    assert source.place == "postgresql://reader:***@db/mes"


def test_a_url_is_no_relative_path(read):
    assert read(("${DATA}/", "s3://plant/")).sources[0].path == "s3://plant/units-*.csv"


def test_local_times_of_a_source_are_those_of_the_line_unless_it_says_otherwise(read):
    assert read().sources[0].timezone == "Europe/Berlin"
    assert read(('delay = "10 min"', 'delay = "10 min"\ntimezone = "UTC"')).sources[0].timezone == "UTC"


def test_variables_are_replaced_in_paths(read):
    assert read(environ={"DATA": "/srv/plant"}).sources[0].path == "/srv/plant/units-*.csv"


def test_variables_come_from_the_environment_by_default(read, tmp_path, monkeypatch):
    read()
    monkeypatch.setenv("DATA", "/srv/other")
    assert load_line(tmp_path).sources[0].path == "/srv/other/units-*.csv"


def test_a_folder_whose_name_looks_like_a_pattern_is_meant_as_it_is(read):
    assert read(environ={"DATA": "/srv/[old] plant"}).sources[0].path == "/srv/[[]old] plant/units-*.csv"


def test_relative_paths_start_at_the_folder_of_line_toml(read, tmp_path):
    assert read(("${DATA}/", "files/")).sources[0].path == str(tmp_path / "files" / "units-*.csv")


def test_a_line_is_found_by_its_name_under_models(read, tmp_path, monkeypatch):
    read()
    (tmp_path / "models" / "pumps").mkdir(parents=True)
    shutil.move(tmp_path / "line.toml", tmp_path / "models" / "pumps" / "line.toml")
    monkeypatch.chdir(tmp_path)
    assert load_line("pumps", {"DATA": "/data"}).title == "Pumps"


def test_an_unknown_line_is_told_with_those_there_are(tmp_path, monkeypatch):
    for name in ("b", "a"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "line.toml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LineError) as error:
        load_line("c")
    assert str(error.value) == (
        "c: no such line. Expected a folder with a line.toml, or a name under "
        f"{tmp_path / 'models'} (found there: a, b)."
    )


@pytest.mark.parametrize("text", [b"name = ", b'name = "\xff"'], ids=["not TOML", "not UTF-8"])
def test_what_is_not_toml_is_told_with_the_file(tmp_path, text):
    (tmp_path / "line.toml").write_bytes(text)
    with pytest.raises(LineError, match=r"line\.toml: not valid TOML: .* Expected UTF-8 text in TOML syntax\."):
        load_line(tmp_path)


def test_a_byte_order_mark_is_read_over(tmp_path):
    (tmp_path / "line.toml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_line(tmp_path, {"DATA": "/data"}).name == "pumps"


def test_the_digest_is_that_of_the_text(read, tmp_path):
    first = read().digest
    assert first == read(environ={"DATA": "/elsewhere"}).digest
    assert first != read(("capacity = 40", "capacity = 41")).digest
    assert len(first) == 64


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("as_of", "day", "moment"),
    [
        ("05:00", "2025-01-15", "2025-01-15 04:00"),
        ("05:00", "2025-07-15", "2025-07-15 03:00"),
        ("05:00", "2025-03-30", "2025-03-30 03:00"),
        ("01:30", "2025-03-30", "2025-03-30 00:30"),
        ("02:30", "2025-03-30", "2025-03-30 01:00"),  # skipped: at the change itself
        ("02:30", "2025-10-26", "2025-10-26 00:30"),  # twice: the first
        ("03:00", "2025-10-26", "2025-10-26 02:00"),
    ],
)
def test_the_list_is_made_at_a_local_time(read, as_of, day, moment):
    line = read(('"05:00"', f'"{as_of}"'))
    assert line.as_of(date.fromisoformat(day)) == utc(moment)


@pytest.mark.parametrize(
    ("moment", "current", "first"),
    [
        ("2025-01-15 03:59:59.999999", "2025-01-14", "2025-01-15"),
        ("2025-01-15 04:00", "2025-01-15", "2025-01-15"),
        ("2025-01-15 04:00:00.000001", "2025-01-15", "2025-01-16"),
        ("2025-01-14 23:00", "2025-01-14", "2025-01-15"),  # midnight in Berlin
        ("2025-01-14 22:59", "2025-01-14", "2025-01-15"),
        ("2025-03-30 03:00", "2025-03-30", "2025-03-30"),  # summer time began two hours before
        ("2025-03-30 02:59", "2025-03-29", "2025-03-30"),
        ("2025-10-26 04:00", "2025-10-26", "2025-10-26"),  # and ended
        ("2025-10-26 03:59", "2025-10-25", "2025-10-26"),
    ],
)
def test_business_dates_at_their_edges(read, moment, current, first):
    line = read()
    assert line.current_business_date(utc(moment)) == date.fromisoformat(current)
    assert line.business_date(utc(moment)) == date.fromisoformat(first)


@pytest.mark.parametrize("as_of", ["00:00", "02:30", "23:59"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Havana", "Africa/Cairo", "Asia/Kolkata", "UTC"])
def test_every_moment_lies_between_two_lists(read, zone, as_of):
    line = read(('"Europe/Berlin"', f'"{zone}"'), ('"05:00"', f'"{as_of}"'))
    for half_hours in range(2 * 24 * 366):
        moment = utc("2024-01-01 00:00") + timedelta(minutes=30) * half_hours
        current, first = line.current_business_date(moment), line.business_date(moment)
        assert line.as_of(current) <= moment < line.as_of(current + timedelta(days=1))
        assert line.as_of(first - timedelta(days=1)) < moment <= line.as_of(first)


@pytest.mark.parametrize(
    ("cron", "listed", "next_one"),
    [
        (None, date(2026, 11, 20), date(2026, 11, 21)),
        ("0 5 * * 1-5", date(2026, 11, 20), date(2026, 11, 23)),  # a Friday
        ("0 5 * * 1-5", date(2026, 11, 22), date(2026, 11, 23)),
        ("30 4 * * *", date(2026, 11, 20), date(2026, 11, 21)),  # the run waits for five o'clock
        ("0 5,17 * * *", date(2026, 11, 20), date(2026, 11, 21)),
    ],
)
def test_a_list_holds_until_the_next_one_is_due(tiny_line, cron, listed, next_one):
    schedule = tiny_line.schedule.model_copy(update={"cron": cron})
    assert tiny_line.model_copy(update={"schedule": schedule}).next_due(listed) == next_one
