"""Each way to spoil a workload is refused in one line, with its place and its fix."""

from pathlib import Path

import polars as pl
import pytest

from wattshed.datasets.workloads import check_workload, read_workload
from wattshed.errors import InputError, MissingError, UsageError

HEADER = "input_tokens,output_tokens\n5,2\n"
SKIP = "; correct the row, or pass --skip-bad to leave out and count such rows"

ROWS = {
    "missing": ("5,", "field 'output_tokens': is missing"),
    "short row": ("5", "field 'output_tokens': is missing"),
    "long row": ("5,2,1", ": has more values than the header has columns"),
    "blank row": ("", ": holds no input_tokens and no output_tokens"),
    "negative": ("-5,2", "field 'input_tokens': is -5, below 1"),
    "zero": ("5,0", "field 'output_tokens': is 0, below 1"),
    "fraction": ("5.5,2", "field 'input_tokens': is 5.5, not a whole number"),
    "word": ("five,2", "field 'input_tokens': is 'five', not a number"),
    "decimal comma": ('"5,0",2', "field 'input_tokens': is '5,0', not a number"),
    "nan": ("nan,2", "field 'input_tokens': is nan, not a whole number"),
    "infinite": ("5,inf", "field 'output_tokens': is inf, not a whole number"),
    "absurd": ("10000001,2", "field 'input_tokens': is 10000001, above 10,000,000"),
    "thousands of digits": ("5," + "9" * 5000, f"field 'output_tokens': is {'9' * 59}…, above 10,000,000"),
    "underscore": ("1_000,2", "field 'input_tokens': is 1_000, not a whole number"),
    "digit of another script": (
        "3,\N{FULLWIDTH DIGIT THREE}",
        "field 'output_tokens': is \N{FULLWIDTH DIGIT THREE}, not a whole number",
    ),
    "long word": ("x" * 5000 + ",2", f"field 'input_tokens': is '{'x' * 27}...{'x' * 28}', not a number"),
}


@pytest.mark.parametrize(("row", "problem"), ROWS.values(), ids=ROWS)
def test_a_bad_row_is_named(row: str, problem: str, tmp_path: Path) -> None:
    """One bad value is an error with file, data row and field; with `skip_bad` it is counted instead."""
    path = tmp_path / "pairs.csv"
    path.write_text(HEADER + row + "\n6,2\n")

    with pytest.raises(InputError) as caught:
        read_workload(path)

    assert str(caught.value) == f"{path}, row 2{'' if problem[0] == ':' else ', '}{problem}{SKIP}"
    assert [str(defect) for defect in check_workload(path).defects] == [str(caught.value)]
    assert read_workload(path, skip_bad=True).bad_rows == 1


JSON_ROWS = {
    "broken": ('{"input_tokens": 5, "out', ": holds no input_tokens and no output_tokens"),
    "no object": ("[5, 2]", ": holds no input_tokens and no output_tokens"),
    "thousands of digits": (
        '{"input_tokens": 5, "output_tokens": ' + "9" * 5000 + "}",
        ": holds no input_tokens and no output_tokens",
    ),
    "deep": ('{"input_tokens": ' + "[" * 100_000, ": holds no input_tokens and no output_tokens"),
    "null": ('{"input_tokens": 5, "output_tokens": null}', "field 'output_tokens': is missing"),
    "truth": ('{"input_tokens": true, "output_tokens": 2}', "field 'input_tokens': is 'true', not a number"),
    "list": ('{"input_tokens": [5], "output_tokens": 2}', "field 'input_tokens': is '[5]', not a number"),
}


@pytest.mark.parametrize(("row", "problem"), JSON_ROWS.values(), ids=JSON_ROWS)
def test_a_bad_json_line_is_named(row: str, problem: str, tmp_path: Path) -> None:
    """A line that is no object, or an object with a bad value, is an error with its row."""
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"input_tokens": 5, "output_tokens": 2}\n' + row + "\n")

    with pytest.raises(InputError) as caught:
        read_workload(path)

    assert str(caught.value) == f"{path}, row 2{'' if problem[0] == ':' else ', '}{problem}{SKIP}"


ARRIVALS = {
    "date": ("TIMESTAMP,ContextTokens,GeneratedTokens", "yesterday,5,2", "'TIMESTAMP': is 'yesterday', not a time"),
    "no date": ("TIMESTAMP,ContextTokens,GeneratedTokens", ",5,2", "'TIMESTAMP': is missing"),
    "negative": ("input_tokens,output_tokens,arrival_s", "5,2,-1", "'arrival_s': is '-1', not a time"),
    "failure": ("Timestamp,Request tokens,Response tokens", "5,5,0", "'Response tokens': is 0, below 1"),
}


@pytest.mark.parametrize(("header", "row", "problem"), ARRIVALS.values(), ids=ARRIVALS)
def test_a_bad_arrival_or_failed_request_is_named(header: str, row: str, problem: str, tmp_path: Path) -> None:
    """A query without a time in a trace, or without an answer, is a bad row."""
    path = tmp_path / "trace.csv"
    path.write_text(f"{header}\n{row}\n")

    with pytest.raises(InputError) as caught:
        read_workload(path)

    assert str(caught.value) == f"{path}, row 1, field {problem}{SKIP}"


FILES = {
    "empty": (b"", ": is empty; begin with a header"),
    "byte order mark alone": (b"\xef\xbb\xbf", ": is empty; begin with a header"),
    "CR alone": (b"input_tokens,output_tokens\r5,2\r", ": ends its lines with CR alone; save it with LF, as by: tr"),
    "many columns": (b",".join(b"c%d" % i for i in range(5000)) + b"\n", ": columns c0, c1, c2, c3"),
    "JSON of thousands of digits": (b'{"input_tokens": ' + b"9" * 5000 + b"}\n", "row 1: holds a number or a nesting"),
    "deep JSON": (b'{"input_tokens": ' + b"[" * 100_000 + b"\n", "row 1: holds a number or a nesting"),
    "blank": (b"\n\n\n\n\n", ": begins with a blank line; begin with a header"),
    "header only": (b"input_tokens,output_tokens\n", ": holds no queries; add a row for each query"),
    "no header": (b"5,2\n6,2\n", ": columns 5, 2 are of no known workload format; name yours with --column"),
    "semicolons": (b"input_tokens;output_tokens\n5;2\n", ": columns input_tokens;output_tokens are of no known"),
    "column twice": (b"input_tokens,input_tokens\n5,2\n", "field 'input_tokens': the header names this column twice"),
    "header not UTF-8": (
        b"input_tokens,output_tokens,\xe9\n5,2,1\n",
        ": line 1 is not UTF-8 text; save the file as UTF-8",
    ),
    "row not UTF-8": (
        b"input_tokens,output_tokens,c\n5,2,1\n5,2,\xe9\n",
        ": line 3 is not UTF-8 text; save the file as",
    ),
    "JSON not UTF-8": (b'{"input_tokens": 5, "output_tokens": 2}\n{"\xe9": 1}\n', ": line 2 is not UTF-8 text; save"),
    "UTF-16": ("input_tokens,output_tokens\n".encode("utf-16"), ": is neither UTF-8 text nor Parquet; save it as one"),
    "binary": (bytes(range(8)), ": is neither UTF-8 text nor Parquet; save it as one"),
    "open quote": (b'input_tokens,output_tokens\n5,"2\n6,3\n', ": cannot be read: could not parse"),
    "broken JSON": (b'{"input_tokens": 5\n', "row 1: is not JSON: Expecting ',' delimiter; write one JSON object"),
    "unknown JSON": (b'{"a": 5}\n', ": columns a are of no known workload format"),
    "broken Parquet": (b"PAR1 and nothing more", ": is broken Parquet: "),
    "lengths alone": (
        b"length,count\n5,2\n",
        ": holds one distribution of lengths, and a query has two; pass --output",
    ),
    "counts with times": (
        b"input_tokens,output_tokens,queries,arrival_s\n5,2,2,0\n",
        "field 'queries': counts several queries, and 'arrival_s' gives them one time; give each query a row",
    ),
}


@pytest.mark.parametrize(("content", "problem"), FILES.values(), ids=FILES)
def test_a_bad_file_is_refused(content: bytes, problem: str, tmp_path: Path) -> None:
    """A file that is no workload is an error with the way out, in one line."""
    path = tmp_path / "file"
    path.write_bytes(content)

    with pytest.raises(InputError) as caught:
        read_workload(path)

    message = str(caught.value)
    assert message.startswith(f"{path}{'' if problem[0] == ':' else ', '}{problem}")
    assert "\n" not in message
    assert len(message.removeprefix(str(path))) < 200


def test_rows_that_are_all_bad_are_no_workload(tmp_path: Path) -> None:
    """Leaving out every row leaves nothing, and that is an error."""
    path = tmp_path / "pairs.csv"
    path.write_text("input_tokens,output_tokens\n0,0\n0,1\n")

    with pytest.raises(InputError, match="holds no queries; all its 2 rows are bad"):
        read_workload(path, skip_bad=True)


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"input_tokens": "promt"}, InputError, "field 'promt': there is no such column; did you mean 'prompt'"),
        ({"queries": "n"}, InputError, "field 'input_tokens': there is no such column"),
        ({"tokens": "prompt"}, UsageError, "--column tokens=prompt: 'tokens' is no part of a query; did you mean"),
    ],
)
def test_a_mapping_names_real_columns(
    columns: dict[str, str], error: type[Exception], message: str, tmp_path: Path
) -> None:
    """A mapped name that the file or the schema lacks is an error with the closest that there is."""
    path = tmp_path / "own.csv"
    path.write_text("prompt,output_tokens\n5,2\n")

    with pytest.raises(error, match=message):
        read_workload(path, columns=columns)


@pytest.mark.parametrize(
    ("values", "message"), [([[5]], "holds List.*, not numbers"), ([True], "holds Boolean, not numbers")]
)
def test_a_parquet_column_of_another_kind_is_refused(values: list[object], message: str, tmp_path: Path) -> None:
    """Lists and flags are no token counts, whatever is in them."""
    pl.DataFrame({"input_tokens": values, "output_tokens": [2]}).write_parquet(tmp_path / "pairs.parquet")

    with pytest.raises(InputError, match=f"field 'input_tokens': {message}; write it as numbers"):
        read_workload(tmp_path / "pairs.parquet")


def test_what_is_not_there_is_missing(tmp_path: Path) -> None:
    """No file is a `MissingError`, and a directory is no file."""
    with pytest.raises(MissingError, match="no such file"):
        read_workload(tmp_path / "trace.csv")
    with pytest.raises(MissingError, match="is a directory; give a CSV, JSON lines or Parquet file"):
        read_workload(tmp_path)


def test_bundled_columns_cannot_be_renamed() -> None:
    """A mapping has nothing to say about a workload that ships with the package, and is refused."""
    with pytest.raises(UsageError, match="bundled:alpaca has columns of its own; leave out --column"):
        read_workload("bundled:alpaca", columns={"input_tokens": "prompt"})
