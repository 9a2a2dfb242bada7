"""Pages that are read off the code, so that they cannot disagree with it.

Written to `docs/reference/generated/` before Sphinx reads its sources; the pages beside it include them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from sphinx.application import Sphinx
from typer.testing import CliRunner

from wattshed import errors
from wattshed.cli.main import app
from wattshed.domain import schema

TABLES = {
    "A trial in a profile": schema.PROFILE,
    "A power sample in a bundle": schema.SAMPLE,
    "A row of a generic workload file": schema.WORKLOAD,
    "A row of a log of served requests": schema.REPLAY,
    "A row that `wattshed predict` prints": schema.PREDICTION,
    "A query that `wattshed simulate` served": schema.SIMULATED,
    "A plotted point of the paper": schema.PUBLISHED,
    "A request in the gateway's ledger": schema.LEDGER,
}

METRICS = {"The gateway": schema.METRICS, "An agent": schema.AGENT_METRICS}

CODES = {
    "Reason codes": schema.REASONS,
    "How a request ended": schema.OUTCOMES,
    "Why a request has no attributed joules": schema.ENERGY_REASONS,
    "Why the ledger could not be written": schema.LEDGER_FAILURES,
}


def setup(sphinx: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    sphinx.connect("builder-inited", _write)
    return {"parallel_read_safe": True}


def pages() -> dict[str, str]:
    """Every generated page as Markdown, by file name."""
    return {
        "cli.md": _cli_page(),
        "schema.md": _schema_page(),
        "metrics.md": _metrics_page(),
        "errors.md": _errors_page(),
    }


def _write(sphinx: Sphinx) -> None:
    """Write the pages that changed: an untouched file is not rebuilt."""
    folder = Path(sphinx.srcdir) / "reference" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _cli_page() -> str:
    """What `wattshed VERB --help` says, verb by verb."""
    verbs = [str(command.name) for command in app.registered_commands]
    return "\n".join(f"## wattshed {verb}\n\n```text\n{_help(verb)}\n```\n" for verb in verbs)


def _help(verb: str) -> str:
    plain = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "96"}
    shown = CliRunner().invoke(app, [verb, "--help"], env=plain, catch_exceptions=False)
    return "\n".join(line.rstrip() for line in shown.stdout.strip().splitlines())


def _schema_page() -> str:
    tables = [f"## {title}\n\n{_column_table(columns)}" for title, columns in TABLES.items()]
    codes = [f"## {title}\n\n{_code_table(meanings)}" for title, meanings in CODES.items()]
    return "\n".join([*tables, *codes])


def _metrics_page() -> str:
    """What gateway and agent tell Prometheus, and what their labels may say."""
    metrics = [f"## {title}\n\n{_metric_table(table)}" for title, table in METRICS.items()]
    labels = _table(("label", "holds"), ((f"`{label}`", meaning) for label, meaning in schema.LABELS.items()))
    return "\n".join([*metrics, f"## Labels\n\n{labels}"])


def _metric_table(metrics: Iterable[schema.Metric]) -> str:
    rows = (
        (f"`{one.name}`", one.kind, ", ".join(f"`{label}`" for label in one.labels), one.meaning) for one in metrics
    )
    return _table(("metric", "kind", "labels", "meaning"), rows)


def _code_table(meanings: Mapping[str, str]) -> str:
    return _table(("code", "meaning"), ((f"`{code}`", meaning) for code, meaning in meanings.items()))


def _column_table(columns: Iterable[schema.Column]) -> str:
    rows = (
        (
            f"`{column.name}`",
            column.kind,
            column.unit,
            "yes" if column.required else "",
            "" if column.least is None else f"{column.least:g}",
            column.meaning,
        )
        for column in columns
    )
    return _table(("column", "kind", "unit", "required", "least", "meaning"), rows)


def _errors_page() -> str:
    """The tree of errors as drawn in the module, and one row a class."""
    classes = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.WattshedError)
    ]
    rows = ((f"`{kind.__name__}`", str(kind.exit_code), (kind.__doc__ or "").splitlines()[0]) for kind in classes)
    return _table(("error", "exit code", "meaning"), rows)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = tuple(head)
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
