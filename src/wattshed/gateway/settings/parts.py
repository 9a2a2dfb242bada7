"""What gateway.yaml is made of: strict parts, sections read into frozen values, and kinds of texts and numbers."""

from dataclasses import MISSING, fields
from typing import Annotated, Any, Final, Self, TypeVar, get_type_hints
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model
from pydantic import model_validator as validator

V = TypeVar("V")

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)
"""Building waits until a file is read: then one validator is made for the whole, and none for each part."""


def read(value: type[V]) -> BeforeValidator:
    """Reads a section into a frozen value that has no other fields; what its `__post_init__` refuses is a defect."""

    def section(given: object) -> V:
        return given if isinstance(given, value) else value(**dict(_model_of(value).model_validate(given)))

    return BeforeValidator(section)


def _model_of(value: type[Any]) -> type[BaseModel]:  # made when a file has the section, since each takes milliseconds
    kinds = get_type_hints(value)
    parts: dict[str, Any] = {
        one.name: (kinds[one.name], ... if one.default is MISSING else one.default) for one in fields(value)
    }
    return create_model(value.__name__, __config__=STRICT, **parts)


def _http(url: str) -> str:
    """The URL of a server, without a slash at its end; ValueError says why it cannot be one."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError("expected http://HOST:PORT or https://HOST")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL must not hold a secret: take it out, and use a key from the environment or a file")
    if parts.query or parts.fragment or not 0 < (parts.port or 1) < 2**16:
        raise ValueError("expected no query, no fragment, and a port from 1 to 65535")
    bare = url.rstrip("/")
    if bare.endswith("/v1"):
        raise ValueError("leave out /v1: the gateway appends it")
    return bare


_MOST_CARBON_G: Final = 2000.0
"""For a kilowatt-hour, more than any grid emits: coal emits 820 g over its life in the median, 910 at most (IPCC, AR5
WG III, table A.III.2)."""


def _grid(carbon_g_per_kwh: float) -> float:
    """What a grid emits; ValueError beyond any, and below 1 g, where wind and nuclear power emit 11 and 12 (ibid.)."""
    if 0 < carbon_g_per_kwh < 1 or carbon_g_per_kwh > _MOST_CARBON_G:
        raise ValueError(f"expected grams, 0 or 1 to {_MOST_CARBON_G:.0f}")
    return carbon_g_per_kwh


Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
FilePath = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00]+$")]
Url = Annotated[str, Field(max_length=1000), AfterValidator(_http)]
Lambda = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(ge=0)]
Duration = Annotated[float, Field(gt=0)]
GridCarbon = Annotated[Amount, AfterValidator(_grid)]


class Part(BaseModel):
    """A part that takes its own keys alone."""

    model_config = STRICT


class Secretive(Part):
    """A part with secrets: each stands in an environment variable or in a file, never here."""

    @validator(mode="after")
    def _one_source(self) -> Self:
        for name in type(self).model_fields:
            of = name.removesuffix("_env")
            if of != name and getattr(self, name) is not None and getattr(self, f"{of}_file") is not None:
                raise ValueError(f"expected {name} or {of}_file, not both")
        return self
