"""AMDuProf logs as short as they can be."""

from collections.abc import Sequence

COUNTERS = ("socket0-package-power", "core0-power", "core1-power")


def timechart(
    records: Sequence[tuple[str, Sequence[float]]],
    *,
    counters: Sequence[str] = COUNTERS,
    started: str = "Mar-28-2024_11-00-00",
) -> bytes:
    """A log with a preamble, and a record for each stamp and its powers."""
    lines = [
        "AMDPROFILER POWER PROFILE REPORT",
        "",
        "PROFILE DETAILS",
        "Sampling Interval:,100 milli-seconds",
        f"Profile Start Time:,{started},",
        "",
        "PROFILED COUNTERS",
        "COUNTER ID,NAME,CATEGORY,UNIT,DESCRIPTION",
        *(f"{768 + 2 * n}.,{counter},Power,W,{counter} in Watts." for n, counter in enumerate(counters)),
        "",
        "PROFILE RECORDS",
        f"RecordId,Timestamp,{','.join(counters)}",
        *(
            f"{n},{stamp}," + ",".join(f"{power_w:8.2f}" for power_w in powers_w)
            for n, (stamp, powers_w) in enumerate(records, 1)
        ),
    ]
    return "\n".join(lines).encode() + b"\n"
