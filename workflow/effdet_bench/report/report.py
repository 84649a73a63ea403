"""Renders a machine's archive: report.md to decide by, details.md, and report.html with both.

The templates choose no words and print no number that is not in the archive.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import jinja2

from effdet_bench import records
from effdet_bench.facts.engines import is_shipped
from effdet_bench.layout import TEMPLATES, Archive
from effdet_bench.report.numbers import brief, times
from effdet_bench.report.page import to_html
from effdet_bench.report.passes import passes_view
from effdet_bench.report.standings import aligned
from effdet_bench.report.tables import View, context, over_bound, worst
from effdet_bench.report.under_load import load_view, read_capacities, shape
from effdet_bench.report.words import FILTERS, name, shown
from effdet_bench.summary.rows import Summary, p50, unsplit
from effdet_bench.summary.summary import read_summary


def templates() -> jinja2.Environment:
    """The templates of the package, with the filters that put numbers into words."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=shown,
    )
    environment.filters |= FILTERS
    more = (shape, unsplit, over_bound, worst, is_shipped)
    environment.filters |= {function.__name__: function for function in more}
    return environment


class Documents(NamedTuple):
    """What is written of an archive, in Markdown: the report to decide by, and its details."""

    report: str
    details: str


def render(view: View) -> Documents:
    """The documents of a view; the same for the same view."""
    environment = templates()
    names = [f"{name}.md.j2" for name in Documents._fields]
    return Documents(*(environment.get_template(name).render(view) for name in names))


def view_of(archive: Archive, summary: Summary) -> View:
    """The view of `archive`."""
    config = records.settings_of(archive)
    environment = records.read_json(archive.environment, "environment")
    photos = records.read_json(archive.photos, "photos")["photos"]
    models = [entry["model"] for entry in summary["ensemble"]]
    pictured = [model for model in models if archive.pictured(model).exists()]
    load = load_view(read_capacities(archive), config)
    options, passes = records.options_of(archive), passes_view(archive)
    return context(summary, environment, photos, config, options, pictured, load, passes)


def write_report(archive: Archive, view: View) -> None:
    """Writes report.md, details.md and report.html to the archive, whose figures are drawn."""
    written = render(view)
    records.write_text(archive.report, written.report)
    records.write_text(archive.details, written.details)
    records.write_text(archive.report_page, to_html(written.report, archive.root, written.details))


def terminal(view: View) -> str:
    """What the report finds, for a terminal: the key finding, and a line per mode."""
    lines = [("", "p50", "as fast as baseline", "verdict", "answers")]
    for row in view["measured"]:
        mode, versus = f"{row['device']} {row['mode']}", row["comparison"]
        ratio = "1.00x" if row is view["baseline"] else times(versus["ratio"]) if versus else "–"
        verdict = versus["verdict"] if versus else "–"
        lines.append((mode, brief(p50(row)), ratio, verdict, row["validity"]["verdict"]))
    for row in view["missing"]:
        mode, reason = f"{row['device']} {row['mode']}", row["reason"] or ""
        lines.append((mode, "–", "–", row["outcome"], reason))
    answer = [f"{view['key_finding']}."]
    if view["valid"]:
        answer.append(f"The fastest valid mode is {name(view['valid'][0])}. {view['standing']}")
        answer.append(f"Accuracy: {view['accuracy_cost']}.")
    return "\n".join([*answer, *_doubts(view), "", aligned(lines, "<>><<")])


def _doubts(view: View) -> list[str]:
    known = {
        "this is a smoke run, no benchmark": view["smoke"],
        "the weights are synthetic": view["synthetic"],
        "some figures are unsteady": view["doubted"],
    }
    found = [words for words, holds in known.items() if holds]
    return [f"Doubts: {', '.join(found)}: see the report."] if found else []


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", required=True, help="results/<machine>")


def run(args: argparse.Namespace) -> None:
    archive = Archive(Path(args.results))
    summary = read_summary(archive)
    view = view_of(archive, summary)
    write_report(archive, view)
    print(terminal(view), f"The report: {archive.report}, and report.html", sep="\n\n")
