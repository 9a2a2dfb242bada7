"""The energy receipt of one request: joules, how they are known, and what the request would have cost elsewhere.

    headers      as the answer begins: final joules if they are known by then, else the estimate
    inside       a top-level `energy` object in a JSON body, or in a stream's last chunk, which clients get who ask
                 for `include_usage`
    comment      the same as an SSE comment before `[DONE]`, which every client skips that does not look for it

A *named* event would break OpenAI's clients (openai-python 3.54, openai-node 6.49). Names on the wire are those of
`domain/schema.py`, `RECEIPT` and `RECEIPT_HEADERS`. Nothing is made up: what is not known is null, and `reasons` has
the code of why. Figures have six digits, more than any of them deserves, in headers and JSON alike.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from math import isfinite
from operator import itemgetter
from types import MappingProxyType, NoneType
from typing import Final, Literal, NamedTuple

import msgspec

from wattshed.domain.schema import RECEIPT
from wattshed.gateway.api.splice import with_last
from wattshed.units import kwh

Method = Literal["measured", "attributed", "predicted", "assumed"]
"""How joules are known: metered for this request alone, its part of what a meter counted, a predictor's word, or the
word of a predictor that was fitted to assumed watts."""

_NUMBERS: Final = tuple(column.name for column in RECEIPT if column.kind == "number")
_TEXTS: Final = tuple(column.name for column in RECEIPT if column.kind == "text" and column.name != "reasons")

_REASONS_OF: Final = {
    "avg_power_watts": ("energy_joules", "duration_seconds"),
    **dict.fromkeys(("energy_kwh", "attribution_method", "lower_joules", "upper_joules"), ("energy_joules",)),
}
"""What is worked out from something else, or goes with it, is missing for the same reason."""

_PRINTABLE: Final = bytes(byte if 0x20 <= byte < 0x7F else ord("?") for byte in range(256))


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What one request cost. `None` is what is not known, and `reasons` says why by the field's name on the wire.

    `energy_j` is known when the answer has ended, by `method`; `predicted_energy_j` from the start, by `predicted_by`,
    over the forecast of the output; `baseline_energy_j` is what the `baseline` system would have taken.
    `attributed_share` is the request's part of the joules that were metered while it ran. `wasted_energy_j` went to
    attempts that failed.
    """

    system: str
    model: str
    choice: str
    energy_j: float | None = None
    method: Method | None = None
    predicted_by: Method = "predicted"
    energy_lower_j: float | None = None
    energy_upper_j: float | None = None
    runtime_s: float | None = None
    attributed_share: float | None = None
    carbon_g: float | None = None
    idle_energy_j: float | None = None
    predicted_energy_j: float | None = None
    baseline_energy_j: float | None = None
    wasted_energy_j: float | None = None
    baseline: str | None = None
    profile: str | None = None
    lam: float | None = None
    predicted_output_tokens: float | None = None
    reasons: Mapping[str, str] = MappingProxyType({})
    _numbers: tuple[float | None, ...] = ()

    def __post_init__(self) -> None:
        if (self.energy_j is None) != (self.method is None):
            raise ValueError(f"joules come with how they are known: {self.energy_j} J, {self.method}")
        numbers = self._counted()
        if not isfinite(sum(filter(None, numbers))):
            raise ValueError("a receipt holds finite numbers; leave out what is not known")
        msgspec.structs.force_setattr(self, "_numbers", numbers)

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Headers of the answer, of what is known now."""
        routed = ((b"x-routed-to", _printable(self.system)), (b"x-routing-reason", _printable(self.choice)))
        if self.energy_j is not None and self.method is not None:
            energy, method = (b"x-energy-joules", b"%.6g" % self.energy_j), self.method
        elif self.predicted_energy_j is not None:
            energy, method = (b"x-energy-estimated-joules", b"%.6g" % self.predicted_energy_j), self.predicted_by
        else:
            return routed
        return energy, (b"x-energy-method", method.encode("ascii")), *routed

    def as_json(self) -> bytes:
        """The `energy` object."""
        numbers = self._numbers
        said = (self.method, self.system, self.model, self.baseline, self.profile)
        form, known = _form(tuple(map(type, numbers)), said, tuple(self.reasons.items()))
        return form % known(numbers)

    def comment(self) -> bytes:
        """An SSE comment, which clients skip."""
        return b": energy " + self.as_json() + b"\n\n"

    def inside(self, text: bytes) -> bytes:
        """A body that is a JSON object, or an event whose data are one, with the receipt as its last member."""
        return with_last(text, "energy", self.as_json())

    def _counted(self) -> tuple[float | None, ...]:
        """Every number on the wire, in the order of `_NUMBERS`."""
        energy_j, runtime_s = self.energy_j, self.runtime_s
        return (
            energy_j,
            None if energy_j is None else kwh(energy_j),
            energy_j / runtime_s if energy_j is not None and runtime_s else None,
            runtime_s,
            self.attributed_share,
            self.carbon_g,
            self.energy_lower_j,
            self.energy_upper_j,
            self.idle_energy_j,
            self.predicted_energy_j,
            self.baseline_energy_j,
            self.wasted_energy_j,
            self.lam,
            self.predicted_output_tokens,
        )


class _Form(NamedTuple):
    """The `energy` object with `%.6g` in the place of each number, and what picks those that are known."""

    text: bytes
    known: Callable[[tuple[float | None, ...]], object]


@lru_cache(maxsize=1024)
def _form(kinds: tuple[type, ...], texts: tuple[str | None, ...], reasons: tuple[tuple[str, str], ...]) -> _Form:
    """The form of all receipts that are alike but for their numbers, which are of these `kinds`.

    What varies is the system and what is not known, so there are few. Numbers come first and are written by hand: to
    round them for an encoder takes as long as all the rest.
    """
    unknown = [kind is NoneType for kind in kinds]
    at = [position for position, missing in enumerate(unknown) if not missing]
    numbers = "".join(
        f'"{name}":{"null" if missing else "%.6g"},' for name, missing in zip(_NUMBERS, unknown, strict=True)
    )
    said: dict[str, object] = dict(zip(_TEXTS, texts, strict=True))
    missing_names = [name for name, missing in zip(_NUMBERS, unknown, strict=True) if missing]
    missing_names += [name for name, text in said.items() if text is None]
    said["reasons"] = {name: _reason(name, dict(reasons)) for name in missing_names}
    form = b"{" + numbers.encode("ascii") + msgspec.json.encode(said)[1:].replace(b"%", b"%%")
    return _Form(form, itemgetter(*at) if at else lambda _: ())


def _reason(name: str, reasons: Mapping[str, str]) -> str:
    for known in (name, *_REASONS_OF.get(name, ())):
        if known in reasons:
            return reasons[known]
    return "no_carbon_intensity" if name == "carbon_g_co2eq" else "not_known"


def _printable(text: str) -> bytes:
    """Text that cannot end a header: what is not printable ASCII becomes a question mark."""
    return text.encode("ascii", "replace").translate(_PRINTABLE)
