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
ALERT = re.compile(r"<blockquote>\s*<p>\[!(\w+)\]\s*")


def to_html(markdown: str, folder: Path) -> str:
    """The page of `markdown`, its figures taken from `folder`. Its title is the first heading."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    body = parser.render(markdown)
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


def _figure(path: Path, caption: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{html.escape(caption)}"/>'
        "</figure>"
    )
