"""A report in Markdown as one HTML file that needs no other: figures inside, sortable tables."""

import base64
import hashlib
import html
import re
from pathlib import Path

from markdown_it import MarkdownIt

from effdet_bench.layout import TEMPLATES

PAGE = TEMPLATES / "page.html"
IMAGE = re.compile(r'<img src="([^":]+\.svg)" alt="([^"]*)" />')
HEADING = re.compile(r"<h2>(.*?)</h2>")
ANCHOR = re.compile(r'<h2 id="([^"]*)">(.*?)</h2>')
ALERT = re.compile(r"<blockquote>\s*<p>\[!(\w+)\]\s*")


def to_html(markdown: str, folder: Path, details: str = "") -> str:
    """The page of `markdown`, its figures taken from `folder`. Its title is the first heading.

    Sections of `details`, another document, follow folded. A list of all sections comes first.
    """
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    body, folded = (_with_anchors(parser.render(text)) for text in (markdown, details))
    contents = _contents(body, "Contents") + _contents(folded, "Details")
    body = body.replace("</h1>", f"</h1>\n<nav>{contents}</nav>", 1) + _folded(folded)
    body = body.replace('href="details.md#', 'href="#')
    body = IMAGE.sub(lambda image: _figure(folder / image[1], image[2]), body)
    body = ALERT.sub(lambda alert: f'<blockquote class="{alert[1].lower()}"><p>', body)
    body = body.replace("<table>", '<div class="wide"><table>').replace(
        "</table>", "</table></div>"
    )
    title = re.search(r"<h1>(.*?)</h1>", body)
    page = PAGE.read_text()
    # whatever stands in the body, no other script is run, and nothing is fetched
    script = page.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = page.replace("{{ script }}", f"sha256-{digest}")
    return page.replace("{{ title }}", title[1] if title else "").replace("{{ body }}", body)


def _with_anchors(body: str) -> str:
    """`body`, whose sections have the ids that GitHub gives them."""
    return HEADING.sub(lambda head: f'<h2 id="{_anchor(head[1])}">{head[1]}</h2>', body)


def _anchor(heading: str) -> str:
    words = re.sub(r"<[^>]+>|[^\w\s-]", "", heading.lower())
    return words.strip().replace(" ", "-")


def _contents(body: str, title: str) -> str:
    """Links to the sections of `body`; nothing where it has none."""
    sections = ANCHOR.findall(body)
    links = "".join(f'<li><a href="#{anchor}">{text}</a></li>' for anchor, text in sections)
    return f"<p>{title}</p><ul>{links}</ul>" if links else ""


def _folded(body: str) -> str:
    """Each section of `body` folded under its heading; what comes before the first is left out."""
    parts = ANCHOR.split(body)[1:]
    return "".join(
        f'<details id="{anchor}"><summary>{text}</summary>\n{section}</details>\n'
        for anchor, text, section in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    )


def _figure(path: Path, caption: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{html.escape(caption)}"/>'
        "</figure>"
    )
