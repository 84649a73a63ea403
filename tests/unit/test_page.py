"""The report as one HTML file: the same content, nothing from outside, figures inside."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from archive import render_archive, write_archive
from effdet_bench.report.page import to_html

VOID = {"meta", "img", "hr", "br", "link"}


class Reader(HTMLParser):
    """Text of a page, and whether every element is closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.text, self.outside = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        # figures, sections of the page, and what lies beside the page
        within = ("data:", "#", "timing/", "report.md", "details.md")
        self.outside += [v for k, v in attrs if k in ("src", "href") and not v.startswith(within)]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    results = tmp_path_factory.mktemp("html") / "results" / "test"
    calm = {"latencies_ns": [10**9] * 5, "stages_ns": [10**6] * 7, "weights": "synthetic"}
    jobs = {("cpu", mode, k): calm for mode in ("baseline", "no-network") for k in (1, 2)}
    text = render_archive(write_archive(results, jobs))
    return text, (results / "report.html").read_text()


def test_a_page_is_whole_and_needs_nothing_from_outside(report):
    reader = Reader()
    reader.feed(report[1])
    assert reader.open == []
    assert reader.outside == []
    assert not re.search(r"@import|url\(|<link", report[1])


def test_a_page_has_the_words_and_figures_of_the_report(report):
    text, page = report
    reader = Reader()
    reader.feed(page)
    words = " ".join(" ".join(reader.text).split())
    for line in ("Executive summary", "CPU baseline", "requests/s", "Raw data"):
        assert line in words
    numbers = set(re.findall(r"\d[\d,.]*\d", re.sub(r"\(figures/\w+\.svg\)|`[^`]*`", "", text)))
    assert {n for n in numbers if n not in words} == set()
    assert page.count("data:image/svg+xml;base64,") == text.count("](figures/") >= 5
    assert '<blockquote class="warning">' in page


def test_contents_and_references_lead_to_sections(report):
    page = report[1]
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert {"executive-summary", "stability", "raw-data"} <= targets
    assert targets <= set(re.findall(r' id="([^"]+)"', page))
    headings = re.findall(r"^## (.+)$", report[0], re.M)
    assert len(headings) == len(set(headings)), "each link leads to one section"
    assert page.count('<details id="') == report[0].split("# Details:")[1].count("\n## ")


def test_text_of_a_report_cannot_become_markup(tmp_path):
    page = to_html("# A & B\n\n| a |\n|---|\n| `<script>x</script>` |\n", tmp_path)
    assert "<code>&lt;script&gt;x&lt;/script&gt;</code>" in page
    assert "<title>A &amp; B</title>" in page


HOSTILE = "<img src=x onerror=alert(1)><script>alert(1)</script>"


def test_whatever_a_machine_calls_itself_is_shown_and_not_run(tmp_path):
    results = tmp_path / "results" / "test"
    calm = {"latencies_ns": [10**9] * 5, "stages_ns": [10**6] * 7}
    failed = {"outcome": "failed", "reason": f"RuntimeError: {HOSTILE}", "latencies_ns": []}
    write_archive(results, {("cpu", "baseline", 1): calm, ("cpu", "mine", 1): failed})
    record = json.loads((results / "environment.json").read_text())
    (results / "environment.json").write_text(json.dumps(record | {"cpu": HOSTILE}))
    render_archive(results)
    page = (results / "report.html").read_text()
    body = page.split("<body>")[1].split("<script>")[0]
    assert "<img src=x" not in body
    assert body.count("&lt;img src=x onerror=alert(1)&gt;") >= 2


def test_a_page_runs_its_own_script_alone(report):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', report[1])[1]
    digest = re.search(r"script-src 'sha256-([^']+)'", policy)[1]
    script = report[1].split("<script>")[1].split("</script>")[0]
    assert base64.b64decode(digest) == hashlib.sha256(script.encode()).digest()
    assert "default-src 'none'" in policy
