"""Logs of served requests: read from any known form, and refused with the place of what is wrong."""

import json
from pathlib import Path

import polars as pl
import pytest

from wattshed.datasets.replays import read_replay
from wattshed.errors import InputError, MissingError

HEADER = "input_tokens,output_tokens,queued_at_s,started_at_s,first_token_at_s,finished_at_s\n"
ROWS = HEADER + "8,2,101.0,101.5,102.0,103.0\n16,3,100.0,100.0,100.5,102.5\n"


def test_requests_come_in_the_order_of_their_queue(tmp_path: Path) -> None:
    """Whatever the order of the rows and the zero of the clock, the first request queues at 0 s."""
    # given
    path = tmp_path / "log.csv"
    path.write_text(ROWS)
    # when
    log = read_replay(path)
    # then
    assert log.input_tokens.tolist() == [16, 8]
    assert (log.queued_at_s.tolist(), log.started_at_s.tolist()) == ([0.0, 1.0], [0.0, 1.5])
    assert (log.ttft_s.tolist(), log.tpot_s.tolist(), log.runtime_s.tolist()) == ([0.5, 1.0], [1.0, 1.0], [2.5, 2.0])


def test_logs_of_others_are_known_by_their_columns(tmp_path: Path) -> None:
    """The names of LLMServingSim's logs are read as ours, and what else they hold is left."""
    # given
    theirs = {"request_id": "bench-0", "input_toks": 8, "output_toks": 2, "arrival_time": 1.7e9, "queued_ts": 101.0}
    theirs |= {"scheduled_ts": 101.5, "first_token_ts": 102.0, "last_token_ts": 103.0}
    (tmp_path / "log.jsonl").write_text(json.dumps(theirs) + "\n")
    # when
    log = read_replay(tmp_path / "log.jsonl")
    # then
    assert (log.input_tokens[0], log.output_tokens[0], log.started_at_s[0], log.runtime_s[0]) == (8, 2, 0.5, 2.0)


def test_parquet_is_the_same_log(tmp_path: Path) -> None:
    """What a table is written as changes nothing."""
    # given
    (tmp_path / "log.csv").write_text(ROWS)
    pl.read_csv(tmp_path / "log.csv").write_parquet(tmp_path / "log.parquet")
    # when
    logs = [read_replay(tmp_path / name) for name in ("log.csv", "log.parquet")]
    # then
    assert logs[0].finished_at_s.tolist() == logs[1].finished_at_s.tolist()


SPOILT = {
    "no tokens": ("0,2,1,1,2,3", "field 'input_tokens': is 0, below 1"),
    "half a token": ("8,2.5,1,1,2,3", "field 'output_tokens': is 2.5, not a whole number"),
    "no instant": ("8,2,1,,2,3", "field 'started_at_s': is missing"),
    "a word": ("8,2,soon,1,2,3", "field 'queued_at_s': is 'soon', not a time"),
    "before its queue": ("8,2,2,1,2,3", "field 'started_at_s': is 1, before 'queued_at_s'"),
    "an end before its beginning": ("8,2,1,1,2,1.5", "field 'finished_at_s': is 1.5, before 'first_token_at_s'"),
    "too much": ("8,2,1,1,2,3,4", "has more values than the header has columns"),
}


@pytest.mark.parametrize(("row", "problem"), SPOILT.values(), ids=SPOILT)
def test_a_bad_row_is_named(row: str, problem: str, tmp_path: Path) -> None:
    """The first bad value is an error with file, row, field and fix."""
    # given
    path = tmp_path / "log.csv"
    path.write_text(HEADER + "8,2,1,1,2,3\n" + row + "\n")
    # when
    with pytest.raises(InputError) as caught:
        read_replay(path)
    # then
    place = f"{path}, row 2" + (": " if problem.startswith("has") else ", ")
    assert str(caught.value) == f"{place}{problem}; correct the row, or leave it out"


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    """A log that lacks a column is an error that names it as the log would."""
    # given
    path = tmp_path / "log.jsonl"
    path.write_text('{"input_toks": 8, "output_toks": 2, "queued_ts": 1, "scheduled": 1}\n')
    # when, then
    with pytest.raises(InputError, match="field 'scheduled_ts': there is no such column; did you mean 'scheduled'"):
        read_replay(path)


def test_an_empty_log_is_refused(tmp_path: Path) -> None:
    """A header alone holds no requests, and no file is a missing one."""
    # given
    (tmp_path / "log.csv").write_text(HEADER)
    # when, then
    with pytest.raises(InputError, match="holds no requests"):
        read_replay(tmp_path / "log.csv")
    with pytest.raises(MissingError):
        read_replay(tmp_path / "none.csv")
