"""Receipts: every figure or the reason why there is none, the same in code, table and docs."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.domain import schema
from wattshed.gateway.api.receipt import Receipt

BARE = Receipt(system="mac", model="llama-3-8b-q8", choice="argmin")
WHOLE = Receipt(
    system="mac",
    model="llama-3-8b-q8",
    choice="argmin",
    energy_j=40.0,
    method="attributed",
    energy_lower_j=38.0,
    energy_upper_j=42.0,
    runtime_s=2.0,
    attributed_share=0.25,
    carbon_g=0.002,
    idle_energy_j=6.0,
    predicted_energy_j=52.9,
    baseline_energy_j=118.4,
    wasted_energy_j=0.0,
    baseline="a100",
    profile="bundled:wilkins2024",
    lam=1.0,
    predicted_output_tokens=96.4,
)
PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "receipts.md").read_text(encoding="utf-8")


def test_the_fields_are_those_of_the_table() -> None:
    """What is sent is what the schema names, in its order, and a full receipt has no reasons."""
    wire = json.loads(WHOLE.as_json())

    assert list(wire) == [column.name for column in schema.RECEIPT]
    assert [name for name, value in wire.items() if value is None] == []
    assert wire["reasons"] == {}


def test_what_is_worked_out_agrees() -> None:
    """Kilowatt-hours and watts come from the joules and the seconds."""
    wire = json.loads(WHOLE.as_json())

    assert wire["energy_kwh"] == pytest.approx(40 / 3.6e6, rel=1e-5)
    assert wire["avg_power_watts"] == 20


def test_nothing_unknown_is_a_number() -> None:
    """What is not known is null with a code that the schema explains, and never 0."""
    wire = json.loads(BARE.as_json())

    unknown = {name for name, value in wire.items() if value is None}
    assert unknown == {column.name for column in schema.RECEIPT if not column.required}
    assert set(wire["reasons"]) == unknown
    assert set(wire["reasons"].values()) <= set(schema.RECEIPT_REASONS)


def test_what_follows_is_missing_for_the_same_reason() -> None:
    """Without joules there are no watts, and without seconds neither."""
    no_joules = Receipt(system="s", model="m", choice="c", runtime_s=1.0, reasons={"energy_joules": "no_usage"})
    no_time = Receipt(
        system="s", model="m", choice="c", energy_j=1.0, method="predicted", reasons={"duration_seconds": "unfinished"}
    )

    reasons = json.loads(no_joules.as_json())["reasons"]
    assert {reasons[name] for name in ("energy_kwh", "avg_power_watts", "attribution_method")} == {"no_usage"}
    assert json.loads(no_time.as_json())["reasons"]["avg_power_watts"] == "unfinished"


@settings(deadline=None, max_examples=50)
@given(energy_j=st.floats(-1e9, 1e12))
def test_six_digits_are_kept(energy_j: float) -> None:
    """A figure is right to six digits in header and JSON alike, and none becomes 0 that was not."""
    receipt = Receipt(system="s", model="m", choice="c", energy_j=energy_j, method="attributed")

    sent = json.loads(receipt.as_json())["energy_joules"]

    assert sent == pytest.approx(energy_j, rel=1e-5)
    assert float(dict(receipt.headers())[b"x-energy-joules"]) == sent


@pytest.mark.parametrize(
    "wrong", [{"energy_j": 1.0}, {"method": "predicted"}, {"runtime_s": float("inf")}, {"lam": float("nan")}]
)
def test_a_wrong_receipt_is_none(wrong: dict[str, object]) -> None:
    """Joules of unknown origin, and figures that are no numbers, are refused."""
    with pytest.raises(ValueError, match=r"joules come with|finite"):
        Receipt(system="s", model="m", choice="c", **wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_headers_say_the_estimate_until_the_joules_are_known() -> None:
    """A stream begins with what is expected, an answer in one piece with what it took, and neither says 0."""
    begun = Receipt(system="mac", model="m", choice="argmin", predicted_energy_j=52.9)

    assert dict(begun.headers())[b"x-energy-estimated-joules"] == b"52.9"
    assert dict(begun.headers())[b"x-energy-method"] == b"predicted"
    assert dict(WHOLE.headers())[b"x-energy-method"] == b"attributed"
    assert [name for name, _ in BARE.headers()] == [b"x-routed-to", b"x-routing-reason"]


def test_assumed_watts_are_called_so_from_the_start() -> None:
    """An estimate that rests on assumed watts does not pass for one that rests on a meter."""
    begun = Receipt(system="s", model="m", choice="c", predicted_energy_j=1.0, predicted_by="assumed")

    assert dict(begun.headers())[b"x-energy-method"] == b"assumed"


def test_headers_are_those_of_the_table() -> None:
    """Names are the schema's, lower case on the wire."""
    sent = {
        name
        for receipt in (WHOLE, Receipt(system="s", model="m", choice="c", predicted_energy_j=1.0))
        for name, _ in receipt.headers()
    }

    assert sent == {column.name.lower().encode() for column in schema.RECEIPT_HEADERS}


@settings(deadline=None, max_examples=50)
@given(text=st.text(max_size=30))
def test_no_text_ends_a_header(text: str) -> None:
    """Whatever a name or a reason holds, a header is one line of printable ASCII."""
    values = [value for _, value in Receipt(system=text, model=text, choice=text).headers()]

    assert all(re.fullmatch(rb"[ -~]*", value) for value in values)


@pytest.mark.parametrize(
    "body", [b'{"id":"x","usage":{}}', b' {"n":1e400,"n":2} \n', b"{}", b'{"energy":{"system":"inner"}}']
)
def test_a_body_keeps_all_its_bytes(body: bytes) -> None:
    """The receipt is one more member at the end, and counts where the engine had one of that name."""
    merged = WHOLE.inside(body)

    before, after = body.rstrip()[:-1], body[len(body.rstrip()) - 1 :]
    assert merged.startswith(before)
    assert merged.endswith(WHOLE.as_json() + after)
    assert json.loads(merged)["energy"]["system"] == "mac"


def test_an_event_keeps_its_end() -> None:
    """The receipt is within the data, whatever ends the lines."""
    assert (
        WHOLE.inside(b'data: {"choices":[]}\r\n\r\n') == b'data: {"choices":[],"energy":%b}\r\n\r\n' % WHOLE.as_json()
    )


def test_the_comment_is_one_event_of_one_line() -> None:
    """Text with line ends in it cannot make a second event."""
    comment = Receipt(system="a\n\ndata: x", model="m\r", choice="c").comment()

    assert comment.startswith(b": energy {")
    assert comment.endswith(b"}\n\n")
    assert comment.count(b"\n") == 2
    assert b"\r" not in comment


@settings(deadline=None, max_examples=50)
@given(text=st.text(max_size=30), code=st.sampled_from(sorted(schema.RECEIPT_REASONS)))
def test_receipts_alike_keep_their_own_figures(text: str, code: str) -> None:
    """Of two receipts that differ in figures alone each has its own, whatever their names hold."""
    alike = {"system": text, "model": "100%", "choice": "c", "profile": "%.6g", "reasons": {"energy_joules": code}}

    first, second = (
        json.loads(Receipt(**alike, predicted_energy_j=energy_j).as_json())  # type: ignore[arg-type]  # as they are
        for energy_j in (1.5, 2.5)
    )

    assert (first["predicted_joules"], second["predicted_joules"]) == (1.5, 2.5)
    assert (first["system"], first["model"], first["profile"]) == (text, "100%", "%.6g")
    assert first["reasons"] == second["reasons"]
    assert first["reasons"]["energy_kwh"] == code


@pytest.mark.parametrize("column", [*schema.RECEIPT_HEADERS, *schema.RECEIPT], ids=lambda column: column.name)
def test_every_field_and_header_is_documented(column: schema.Column) -> None:
    """The page has the table's name, unit and meaning."""
    assert f"| `{column.name}` | {column.unit} | {column.meaning} |" in PAGE


@pytest.mark.parametrize("code", schema.RECEIPT_REASONS)
def test_every_reason_is_documented(code: str) -> None:
    """The page explains each code in the table's words."""
    assert f"| `{code}` | {schema.RECEIPT_REASONS[code]} |" in PAGE


def test_the_documented_example_is_a_receipt() -> None:
    """It has the fields of the table, and the reasons of what is null."""
    example = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])

    assert list(example) == [column.name for column in schema.RECEIPT]
    assert set(example["reasons"]) == {name for name, value in example.items() if value is None}
