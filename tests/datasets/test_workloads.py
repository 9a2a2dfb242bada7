"""Every known format reduces to the same histogram."""

import gzip
import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.datasets.workloads import check_workload, read_workload
from wattshed.domain.query import Workload
from wattshed.errors import MissingError, UsageError

PAIRS = Workload.of("pairs", np.array([5, 5, 7]), np.array([2, 2, 3]))
ARRIVALS_S = [0.0, 0.5, 1.25]

ALPACA_CSV = "instruction_tokens,input_field_tokens,input_tokens,input_tokens_one_bos,output_tokens\n"
FILES = {
    "generic": "input_tokens,output_tokens\n5,2\n5,2\n7,3\n",
    "crlf and bom": "\ufeffinput_tokens,output_tokens\r\n5,2\r\n5,2\r\n7,3",
    "columns in any order": "model,output_tokens,input_tokens\na,2,5\n,2,5\nb,3,7\n",
    "quoted": 'output_tokens,prompt,input_tokens\n2,"a, b\nc",5\n"2",,"5"\n 3 ,x,7.0\n',
    "counted": "input_tokens,output_tokens,queries\n7,3,1\n5,2,2\n",
    "json lines": '{"input_tokens": 5, "output_tokens": 2}\n{"output_tokens": "2", "input_tokens": 5.0}\n'
    '{"input_tokens": 7, "output_tokens": 3, "more": [1, {}]}',
    "alpaca": ALPACA_CSV + "4,1,5,4,3\n4,1,5,4,3\n6,1,7,6,4\n",
}
TRACES = {
    "arrival_s": "input_tokens,output_tokens,arrival_s\n5,2,10\n5,2,10.5\n7,3,11.25\n",
    "unsorted": "input_tokens,output_tokens,arrival_s\n7,3,11.25\n5,2,10\n5,2,10.5\n",
    "azure 2023": "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.5000000,5,2\r\n"
    "2023-11-16 18:15:47,5,2\r\n2023-11-16 18:15:47.7500000,7,3",
    "azure 2024": "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.500000+00:00,5,2\n"
    "2024-05-10T00:00:01Z,5,2\n2024-05-10 02:00:01.750000+02:00,7,3\n",
    "mooncake": '{"timestamp": 0, "input_length": 5, "output_length": 2, "hash_ids": [0]}\n'
    '{"timestamp": 500, "input_length": 5, "output_length": 2, "hash_ids": [0]}\n'
    '{"timestamp": 1250, "input_length": 7, "output_length": 3, "hash_ids": [0]}\n',
    "burstgpt": "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,5,2,7,API log\n"
    "5.5,GPT-4,5,2,7,API log\n6.25,GPT-4,7,3,10,Conversation log\n",
}


def write(path: Path, text: str) -> Path:
    """A file with exactly this text."""
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_a_known_format_is_recognised_by_its_content(text: str, tmp_path: Path) -> None:
    """Whatever the file is called, its columns say what it is."""
    workload = read_workload(write(tmp_path / "file", text))

    assert workload == PAIRS
    assert workload.arrivals is None
    assert (workload.name, workload.bad_rows) == ("file", 0)


@pytest.mark.parametrize("text", TRACES.values(), ids=TRACES)
def test_arrivals_are_kept_in_seconds_from_the_first(text: str, tmp_path: Path) -> None:
    """A trace keeps when each query came, in order, whatever clock it was written with."""
    workload = read_workload(write(tmp_path / "trace", text))

    assert workload == PAIRS
    assert workload.arrivals is not None
    np.testing.assert_allclose(workload.arrivals.arrival_s, ARRIVALS_S)
    assert [query.input_tokens for query in workload] == [5, 5, 7]


@pytest.mark.parametrize("dtype", [pl.UInt8, pl.Int64, pl.UInt64, pl.Float32, pl.String])
def test_parquet_is_read_in_any_type(dtype: pl.DataType, tmp_path: Path) -> None:
    """Whole numbers may be stored as integers, floats or text."""
    frame = pl.DataFrame({"input_tokens": [5, 5, 7], "output_tokens": [2, 2, 3]}).cast(dtype)
    frame.write_parquet(tmp_path / "pairs.parquet")

    assert read_workload(tmp_path / "pairs.parquet") == PAIRS


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_parquet_dates_are_read(zone: str | None, tmp_path: Path) -> None:
    """A date column of Parquet is an arrival, with or without a time zone."""
    times = pl.Series([datetime(2024, 5, 10, 0, 0, second, tzinfo=UTC) for second in (0, 1, 3)])
    times = times.dt.convert_time_zone(zone) if zone else times.dt.replace_time_zone(None)
    frame = pl.DataFrame({"TIMESTAMP": times, "ContextTokens": [5, 5, 7], "GeneratedTokens": [2, 2, 3]})
    frame.write_parquet(tmp_path / "azure.parquet")

    workload = read_workload(tmp_path / "azure.parquet")

    assert workload.arrivals is not None
    assert workload.arrivals.arrival_s.tolist() == [0, 1, 3]


def test_columns_can_be_mapped(tmp_path: Path) -> None:
    """A mapping from our names to the file's reads any table; names that are not mapped keep ours."""
    path = write(tmp_path / "own.csv", "prompt len,output_tokens,n\n5,2,2\n7,3,1\n")

    assert read_workload(path, columns={"input_tokens": "prompt len", "queries": "n"}) == PAIRS


def test_json_keys_of_any_spelling_can_be_mapped(tmp_path: Path) -> None:
    """Keys with blanks, dots and quotes are names, not paths."""
    lines = [json.dumps({"a 'b'.c": m, 'd"$[0]': n}) for m, n in ((5, 2), (5, 2), (7, 3))]
    path = write(tmp_path / "own.jsonl", "\n".join(lines))

    assert read_workload(path, columns={"input_tokens": "a 'b'.c", "output_tokens": 'd"$[0]'}) == PAIRS


def test_a_length_distribution_takes_the_other_side(tmp_path: Path) -> None:
    """Lengths are inputs where the output is given, and outputs where the input is."""
    path = write(tmp_path / "lengths.csv", "length,count,exact\n5,2,True\n7,1,False\n")

    inputs = read_workload(path, output_tokens=32)
    outputs = read_workload(path, input_tokens=32)

    assert (inputs.input_tokens.tolist(), inputs.output_tokens.tolist()) == ([5, 7], [32, 32])
    assert (outputs.input_tokens.tolist(), outputs.output_tokens.tolist()) == ([32, 32], [5, 7])
    assert inputs.queries.tolist() == outputs.queries.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("given_tokens", "message"),
    [
        ({"input_tokens": 3}, "has input and output lengths; leave out"),
        ({"output_tokens": 0}, "go from 1 to 10,000,000, got 0"),
    ],
)
def test_a_fixed_side_must_make_sense(given_tokens: dict[str, int], message: str, tmp_path: Path) -> None:
    """Fixing a side of pairs, or fixing it to nothing, is a usage error."""
    with pytest.raises(UsageError, match=message):
        read_workload(write(tmp_path / "pairs.csv", FILES["generic"]), **given_tokens)  # type: ignore[arg-type]


def test_bad_rows_can_be_left_out_and_are_counted(tmp_path: Path) -> None:
    """With `skip_bad`, failures and gaps are counted and the rest is read."""
    path = write(tmp_path / "trace.csv", TRACES["burstgpt"] + "9,GPT-4,5,0,5,API log\nx,GPT-4,5,2,7,API log\n\n1,2\n")

    workload = read_workload(path, skip_bad=True)

    assert workload == PAIRS
    assert workload.bad_rows == check_workload(path).bad_rows == 4


def test_the_bundled_pairs_are_the_headline_workload() -> None:
    """52,002 pairs with n one less than the answer's count, at least 1; the one-BOS reading has one token less each."""
    pairs, one_bos = read_workload("bundled:alpaca"), read_workload("bundled:alpaca-one-bos")

    assert pairs.total_queries == one_bos.total_queries == 52_002
    assert pairs.output_tokens.min() == 1
    assert pairs.total_tokens - one_bos.total_tokens == 52_002
    with pytest.raises(MissingError, match="did you mean 'alpaca'"):
        read_workload("bundled:alpacas")


@pytest.mark.parametrize(
    ("name", "form", "queries", "span_s"),
    [
        ("alpaca_pairs.csv", "Alpaca pairs", 52_002, None),
        ("azure_llm_2023_conv.csv", "Azure LLM inference trace", 19_366, 3501.72),
        ("azure_llm_2023_code.csv", "Azure LLM inference trace", 8_819, 3435.95),
        ("mooncake_conversation.jsonl", "Mooncake trace", 12_031, 3537.0),
    ],
)
def test_real_traces_are_read_whole(name: str, form: str, queries: int, span_s: float | None, reference: Path) -> None:
    """Published traces have their published number of rows, none of them bad."""
    path = reference / "workloads" / name
    workload = read_workload(path)

    assert check_workload(path).format == form
    assert (workload.total_queries, workload.bad_rows) == (queries, 0)
    assert (workload.arrivals is None) == (span_s is None)
    if workload.arrivals is not None:
        assert workload.arrivals.arrival_s[-1] == pytest.approx(span_s, abs=0.01)


@pytest.mark.parametrize("name", ["alpaca_input_lengths.csv", "alpaca_gpt4_output_lengths.csv"])
def test_real_length_distributions_are_read_whole(name: str, reference: Path) -> None:
    """Both Alpaca distributions count 52,002 queries."""
    assert read_workload(reference / "workloads" / name, output_tokens=32).total_queries == 52_002


SHAPES = st.lists(st.tuples(st.integers(1, 10**7), st.integers(1, 10**7)), min_size=1, max_size=20)


@settings(deadline=None, max_examples=30)
@given(SHAPES)
def test_reading_counts_every_row_once(tmp_path_factory: pytest.TempPathFactory, shapes: list[tuple[int, int]]) -> None:
    """The histogram of a file is that of its rows, up to the largest token counts."""
    path = tmp_path_factory.mktemp("shapes") / "pairs.csv"
    write(path, "input_tokens,output_tokens\n" + "\n".join(f"{m},{n}" for m, n in shapes))
    m, n = np.array(shapes).T

    assert read_workload(path) == Workload.of("pairs", m, n)


def test_compressed_files_are_not_mistaken_for_text(tmp_path: Path) -> None:
    """A gzip file is refused by its first bytes, with the way out."""
    path = tmp_path / "trace.csv"
    path.write_bytes(gzip.compress(FILES["generic"].encode()))

    with pytest.raises(Exception, match="is compressed; unpack it with gunzip"):
        read_workload(path)


def test_a_pipe_is_read(tmp_path: Path) -> None:
    """A workload may come through a pipe, which can be read only once; messages name the pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for content, problem in ((FILES["generic"], None), ("input_tokens,output_tokens\n5,0\n", "row 1")):
        writer = threading.Thread(target=pipe.write_text, args=(content,))
        writer.start()

        check = check_workload(pipe)
        writer.join()

        assert [(defect.path, f"row {defect.row}") for defect in check.defects[:1]] == (
            [] if problem is None else [(str(pipe), problem)]
        )
