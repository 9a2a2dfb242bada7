"""`wattshed report`: the figures of a profile, beside the systems that ship with the package."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, bundled_profiles, emit

if TYPE_CHECKING:
    from wattshed.report.profile_figures import Trace

EXAMPLES: Final = (
    "Examples: [bold]wattshed report my-bundle/[/]  ·  "
    "[bold]wattshed report bundled:wilkins2024 --beside none --out pages/[/]  ·  "
    "[bold]wattshed report bundled:h100 --against bundled:wilkins2024[/]"
)


def command(
    profile: Annotated[
        str, typer.Argument(help="Bundle or profile: a directory, or bundled:NAME.", autocompletion=bundled_profiles)
    ],
    beside: Annotated[str, typer.Option(help="Profile to draw behind it, or none.")] = "bundled:wilkins2024",
    against: Annotated[
        str | None, typer.Option(help="Another profile to compare it with, cell by cell, with intervals.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Write report.html and its figures here.")] = Path("report"),
    json_: JsonFlag = False,
) -> None:
    """Draw Figures 1 and 2 for a profile, the split at the first token, what one change does, and the power trace.

    One change: a KV cache, requests in flight, or kernels replayed from a graph, where the profile has both sides.
    With --against, also how many times the joules and seconds of another profile each cell takes.
    """
    from wattshed.datasets.profiles import read_profile
    from wattshed.report.comparison_page import comparison_pictures, comparison_sections
    from wattshed.report.page import page, write_page, write_pictures
    from wattshed.report.profile_page import profile_pictures, profile_sections

    new = read_profile(profile)
    known = None if beside in ("none", profile) else read_profile(beside)
    trace = power_trace(profile)
    pictures = profile_pictures(new, known, trace)
    sections = profile_sections(new, pictures)
    if against is not None:
        other = read_profile(against)
        versus = comparison_pictures(new, other)
        sections = [*comparison_sections(new, other, versus), *sections]
        pictures |= versus
    files = write_pictures(out, pictures)
    lead = f"{len(new.measurements):,} trials of {len(new.systems)} systems, as measured."
    files.append(write_page(out / "report.html", page(new.name, lead, sections)))
    document = {"profile": new.name, "trials": len(new.measurements), "files": [str(file) for file in files]}
    emit(document, as_json=json_, show=lambda console: console.print("\n".join(f"wrote {file}" for file in files)))


def power_trace(profile: str) -> "Trace":
    """Power samples by channel, sessions laid end to end, since each has its own clock; none where there are none."""
    import polars as pl

    from wattshed.datasets.profiles import profile_directory
    from wattshed.profiler.bundle import SAMPLES_FILE
    from wattshed.profiler.evidence import read_samples

    directory = profile_directory(profile)
    if not (directory / SAMPLES_FILE).exists():
        return {}
    frame = read_samples(directory).select("session", "channel", "at_s", "power_w").drop_nulls()
    sessions = frame.group_by("session").agg(start_s=pl.min("at_s"), stop_s=pl.max("at_s")).sort("session")
    length_s = pl.col("stop_s") - pl.col("start_s")
    later_s = sessions.select("session", (length_s.cum_sum() - length_s - pl.col("start_s")).alias("later_s"))
    frame = frame.join(later_s, on="session").with_columns(pl.col("at_s") + pl.col("later_s")).sort("at_s")
    return {str(channel): part.select("at_s", "power_w").rows() for (channel,), part in frame.group_by("channel")}
