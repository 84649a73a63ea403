"""Pages of reports in a real browser, where Chromium is installed."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from effdet_bench.__main__ import main
from helpers import EXAMPLES

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REPORT = EXAMPLES / "amd-epyc-zen4-2-core" / "report.html"  # has latencies above and below 1 s

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture
def page() -> Iterator[Page]:
    """A page that must neither log an error nor fetch anything but the file that it shows."""
    said, fetched = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: fetched.append(request.url))
        yield page
        browser.close()
    assert said == []
    assert [url for url in fetched if not url.startswith(("file:", "data:"))] == []
    assert len({url for url in fetched if url.startswith("file:")}) == 1


def test_contents_lead_to_sections_and_unfold_them(page):
    page.goto(REPORT.as_uri())
    links = page.locator("nav a").all()
    assert len(links) == 15
    for link in links:
        link.click()
        section = page.locator(f"[id='{link.get_attribute('href')[1:]}']")
        assert section.count() == 1
        page.wait_for_function(
            "id => document.getElementById(id).open !== false", arg=section.get_attribute("id")
        )
        assert -2 < section.bounding_box()["y"] < 900, link.inner_text()


def test_a_folded_section_unfolds_and_folds_by_a_click(page):
    page.goto(REPORT.as_uri())
    section = page.locator("details#raw-data")
    table = section.locator("table")
    assert not table.is_visible()
    section.locator("summary").first.click()
    assert table.is_visible()
    section.locator("summary").first.click()
    assert not table.is_visible()


def latencies(page: Page) -> list[float]:
    """The medians of the table of all modes from top to bottom, in milliseconds."""
    cells = page.locator("h3:has-text('All modes') + .wide td:nth-child(2)").all_inner_texts()
    return [float(text.split()[0]) * (1000 if " s" in text else 1) for text in cells]


def test_tables_sort_by_a_click_on_their_header(page):
    page.goto(REPORT.as_uri())
    header = page.locator("h3:has-text('All modes') + .wide th:nth-child(2) button")
    before = latencies(page)
    assert min(before) < 1000 < max(before)
    header.click()
    assert latencies(page) == sorted(before)
    header.click()
    assert latencies(page) == sorted(before, reverse=True)


def test_the_filter_of_the_comparison_keeps_what_has_its_words(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    for name in ("amd-epyc-zen4-2-core-avx512-all-modes", "amd-epyc-zen5-2-core"):
        (tmp_path / "results" / name).symlink_to(EXAMPLES / name)
    main(["compare"])
    page.goto((tmp_path / "results" / "comparison.html").as_uri())
    field = page.locator("input[type=search]").first
    table = page.locator("input[type=search] + .wide").first
    rows = table.locator("tbody tr")
    assert rows.count() > 9
    field.fill("openvino")
    kept = [row.inner_text().split()[0] for row in rows.all() if row.is_visible()]
    assert kept == [name for name in kept if "openvino" in name] != []
    field.fill("")
    assert all(row.is_visible() for row in rows.all())
