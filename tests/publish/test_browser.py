"""The page and the check sheet in a real browser: what people do with them, not what their text says."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from example_lists import AS_OF, FACTS, NASTY, because, issue, not_scored, promises, ranked
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from qma_predict.publish.pages import check_sheet, page, pictures

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
UNITS = ["7047-00318", "7047-00042", "7050-00007", "7047-00400"]
RISKS = [0.22, 0.1, 0.095, 0.03]


def write(folder: Path) -> dict[str, str]:
    """Addresses of the pages of one night, by name."""
    rows = ranked(RISKS, listed=4, unit_id=UNITS, product=["A-55", "B-12", "A-55", "A-56"])
    rows.loc[3, "selected_by"] = "audit"
    times = pd.Series(pd.date_range("2026-11-17", periods=200, freq="h", tz="UTC"))
    given = {
        "issues": [issue(unit_ids=tuple(UNITS[:2]))],
        "because": because(UNITS),
        "promises": promises(*[{}] * 30),
        "courses": {1: pictures.course(times, pd.Series(range(200)), timezone="UTC", good=(20, 80), limits=(0, 150))},
    }
    facts = replace(FACTS, capacity=4, more_hour=0.8, ahead=3)
    doubt = replace(facts, state="DEGRADED", state_reasons=("oven silent since 01:10",))
    n = len(NASTY)
    nasty = ranked([0.2] * n, listed=n, unit_id=NASTY, product=NASTY, station=NASTY, machine=NASTY, check=NASTY)
    evil = replace(facts, plant=NASTY[0], line=NASTY[1], list_id=NASTY[1], state="DEGRADED", state_reasons=NASTY)
    long = ranked([0.2] * 70, listed=70)
    contents = {
        "page": page.render(facts, rows, not_scored(["no oven data"]), **given),
        "doubt": page.render(doubt, rows, not_scored([]), **given),
        "none": page.render(replace(facts, capacity=0), ranked([0.1], listed=0), not_scored([])),
        "nasty": page.render(evil, nasty, not_scored(list(NASTY)), issues=[issue(title=NASTY[0], driver=NASTY[1])]),
        "long": page.render(replace(facts, capacity=70), long, not_scored([])),
        "sheet": check_sheet.render(facts, rows),
        "long sheet": check_sheet.render(facts, long),
    }
    for name, html in contents.items():
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in contents}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine: install one, for example by `apt-get install chromium`")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write(tmp_path_factory.mktemp("pages"))


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    troubles: list[str] = []
    context.on("weberror", lambda error: troubles.append(str(error.error)))
    context.on("console", lambda message: troubles.append(message.text))
    yield context
    context.close()
    assert troubles == []


def opened(context: BrowserContext, address: str, *, later: timedelta = timedelta(hours=1)) -> Page:
    """The page, opened that long after its data."""
    tab = context.new_page()
    tab.set_default_timeout(5_000)
    tab.clock.set_fixed_time(AS_OF + later)
    tab.goto(address)
    return tab


def shown(tab: Page) -> list[str]:
    return tab.locator("#units-table tbody th:visible").all_inner_texts()


def test_units_sort_by_any_column_both_ways(context, address):
    tab = opened(context, address["page"])
    assert shown(tab) == UNITS
    tab.get_by_role("button", name="unit", exact=True).click()
    assert shown(tab) == sorted(UNITS)
    expect(tab.locator("th[aria-sort]")).to_have_count(1)
    expect(tab.get_by_role("status")).to_have_text("4 of 4 units shown, sorted by unit, ascending")
    tab.get_by_role("button", name="unit", exact=True).click()
    assert shown(tab) == sorted(UNITS, reverse=True)
    assert tab.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    tab.get_by_role("button", name="by", exact=True).click()
    assert shown(tab) == UNITS  # equal times in the order of the list
    tab.get_by_role("button", name="risk").click()
    assert shown(tab) == UNITS[::-1]  # 95 in 1,000 comes below 10 in 100
    tab.get_by_role("button", name="part", exact=True).click()
    assert shown(tab) == [UNITS[0], UNITS[2], UNITS[3], UNITS[1]]  # equal parts in the order of the list


def test_units_filter_by_words_of_any_column(context, address):
    tab = opened(context, address["page"])
    tab.get_by_label("Show units with").fill("a-55 7047")
    assert shown(tab) == [UNITS[0]]
    expect(tab.get_by_role("status")).to_have_text("1 of 4 units shown, in the order of the list")
    tab.get_by_label("Show units with").fill("audit")
    assert shown(tab) == [UNITS[3]]
    tab.get_by_label("Show units with").press("Escape")
    assert shown(tab) == UNITS


def test_the_keyboard_alone_is_enough(context, address):
    tab = opened(context, address["page"])
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the units to check"
    tab.keyboard.press("Tab")
    tab.keyboard.type("7047")
    assert len(shown(tab)) == 3
    tab.keyboard.press("Tab")  # the table, which scrolls on narrow screens
    for _ in range(2):
        tab.keyboard.press("Tab")
    style = tab.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert (tab.evaluate("document.activeElement.textContent"), style) == ("unit", "3px")
    tab.keyboard.press("Enter")
    assert shown(tab) == sorted(unit for unit in UNITS if unit.startswith("7047"))
    tab.keyboard.press("Space")
    assert tab.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"


def test_with_scripts_off_everything_is_there_but_the_tools(browser, address):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(address["page"])
    assert [row.inner_text() for row in tab.locator("#units-table tbody th").all()] == UNITS
    assert tab.locator("#find").is_hidden()
    assert tab.locator("#stale").is_hidden()
    assert tab.locator("thead button").count() == 0
    assert "valid until Wed 25 Nov 05:00" in tab.inner_text("header")
    context.close()


def test_the_page_says_itself_that_it_is_out_of_date(context, address):
    tab = opened(context, address["page"], later=timedelta(hours=23, minutes=59))
    assert tab.locator("#stale").is_hidden()
    tab = opened(context, address["page"], later=timedelta(hours=24, minutes=1))
    expect(tab.get_by_role("alert")).to_contain_text("STALE: this list was valid until Wed 25 Nov 05:00")


def test_a_page_left_open_becomes_stale(context, address):
    tab = context.new_page()
    tab.clock.install(time=AS_OF.astimezone(UTC) + timedelta(hours=23, minutes=50))
    tab.goto(address["page"])
    assert tab.locator("#stale").is_hidden()
    tab.clock.run_for(timedelta(minutes=12) // timedelta(milliseconds=1))
    assert tab.locator("#stale").is_visible()


@pytest.mark.parametrize("name", ["page", "doubt", "none", "sheet"])
def test_no_serious_finding_of_the_accessibility_check(context, address, name):
    tab = opened(context, address[name], later=timedelta(days=2))
    findings = Axe().run(tab).response["violations"]
    assert [found["id"] for found in findings if found["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("name", ["page", "none", "nasty", "sheet"])
def test_no_request_leaves_the_page_and_no_text_of_the_plant_acts(context, address, name):
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    tab = opened(context, address[name])
    assert asked == [address[name]]
    assert tab.locator("script").count() == (0 if name == "sheet" else 1)
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_narrow_screen_shows_all_without_scrolling_the_page_sideways(context, address):
    tab = opened(context, address["page"])
    tab.set_viewport_size({"width": 390, "height": 844})
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert tab.locator(".issue h3").bounding_box()["width"] > 250
    assert tab.locator(".issue svg").bounding_box()["width"] > 250


def printed(tab: Page, folder: Path) -> list[str]:
    """Text of each printed sheet."""
    reader = shutil.which("pdftotext")
    if reader is None:
        pytest.skip("the text of printed pages needs poppler-utils")
    (folder / "list.pdf").write_bytes(tab.pdf(prefer_css_page_size=True))
    done = subprocess.run([reader, "-layout", "list.pdf", "-"], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.rstrip("\f").split("\f")


@pytest.mark.parametrize(("name", "title"), [("long", "Risk list"), ("long sheet", "Check sheet")])
def test_every_printed_page_names_the_list_and_its_columns(context, address, tmp_path, name, title):
    tab = opened(context, address[name])
    tab.emulate_media(media="print")
    assert name == "long sheet" or tab.locator("#find").is_hidden()
    sheets = printed(tab, tmp_path)
    assert len(sheets) >= 3
    for number, text in enumerate(sheets, 1):
        assert f"{title} line2-2026-11-24, valid until Wed 25 Nov 05:00" in text
        assert f"page {number} of {len(sheets)}" in text
    for text in sheets[1:-1]:
        assert re.search(r"unit +part +.*check +.*by +result", text)


def test_in_print_the_table_begins_on_the_sheet_of_its_heading(context, tmp_path):
    told, reasons = [issue(number=n) for n in range(1, 4)], because(UNITS, "press force 9 N, good parts 2-5. " * 6)
    rows = ranked(RISKS, listed=4, unit_id=UNITS)
    for lines in range(2, 12, 2):  # the heading comes ever lower
        facts = replace(FACTS, capacity=4, ahead=4, state="DEGRADED", state_reasons=("oven silent " * 18,) * lines)
        html = page.render(facts, rows, not_scored([]), issues=told, because=reasons)
        (tmp_path / "low.html").write_text(html, encoding="utf-8")
        sheets = printed(opened(context, (tmp_path / "low.html").as_uri()), tmp_path)
        [sheet] = [text for text in sheets if "Units to check" in text]
        assert UNITS[0] in sheet


def test_print_leaves_out_what_only_a_screen_has_room_for(context, tmp_path):
    rows = ranked(RISKS, listed=4, unit_id=UNITS, listed_since=AS_OF.date() - timedelta(days=2))
    html = page.render(
        replace(FACTS, capacity=4), rows, not_scored([]), because=because(UNITS), issues=[issue(unit_ids=UNITS)]
    )
    (tmp_path / "again.html").write_text(html, encoding="utf-8")
    tab = opened(context, (tmp_path / "again.html").as_uri())
    expect(tab.get_by_text("again, since").first).to_be_visible()
    text = " ".join(" ".join(printed(tab, tmp_path)).split())
    assert "again" not in text
    assert "; issue 1" in text


def test_grey_print_loses_nothing(context, address):
    tab = opened(context, address["doubt"])
    colours = tab.evaluate(
        """() => [...document.querySelectorAll("body *")].flatMap((node) => {
            const style = getComputedStyle(node);
            return [style.color, style.backgroundColor, style.borderTopColor, style.stroke, style.fill];
        })"""
    )
    parts = [re.findall(r"\d+", colour)[:3] for colour in set(colours) if colour.startswith("rgb")]
    assert len(parts) >= 3
    assert [channels for channels in parts if len(set(channels)) > 1] == []
