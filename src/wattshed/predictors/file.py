"""Predictor files: everything that `fit` found, as one JSON document that gives the same predictions bit for bit.

Numbers are written with as many digits as bring back the same double. The file is written beside its place and renamed,
so a reader never sees half of one. Curves of all kinds look alike; `tokens` holds the knots of the prefix form or the
buckets of the table.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from wattshed.domain.choices import Channel, PredictorKind
from wattshed.domain.schema import SCHEMA_VERSION
from wattshed.errors import InputError, MissingError
from wattshed.files import write_whole
from wattshed.predictors.curve import Basis, Curve, CurvePredictor
from wattshed.predictors.fit import Fitted, Pair
from wattshed.predictors.predictor import Support
from wattshed.predictors.prefix import PrefixBasis
from wattshed.predictors.regression import BilinearBasis
from wattshed.predictors.table import TableBasis

FORMAT = "wattshed predictors"
"""What the field `format` says in a predictor file."""

_FIX = "write it anew with: wattshed fit"


class _Curve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tokens: tuple[int, ...]
    coefficients: list[float]
    factor: list[list[float]]
    replicates: list[list[float]]
    misfit: float
    residual_sd: float


class _Predictor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    system: str
    model: str
    support: Support
    energy: _Curve
    runtime: _Curve


class _Skipped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    system: str
    model: str
    reason: str


class _Header(msgspec.Struct, frozen=True):
    format: str = ""
    schema_version: int = 0


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    schema_version: int
    profile: str
    profile_digest: str
    kind: PredictorKind
    channel: Channel
    predictors: list[_Predictor]
    skipped: list[_Skipped]


def save(fitted: Fitted, path: Path) -> None:
    """Write the predictors to `path`, whole or not at all."""
    document = _File(
        FORMAT,
        SCHEMA_VERSION,
        fitted.profile,
        fitted.profile_digest,
        fitted.kind,
        fitted.channel,
        [
            _Predictor(*pair, one.support, _written(one.energy), _written(one.runtime))
            for pair, one in fitted.predictors.items()
        ],
        [_Skipped(*pair, reason) for pair, reason in fitted.skipped.items()],
    )
    write_whole(path, msgspec.json.encode(document))


def load(path: Path) -> Fitted:
    """The predictors in a file; `InputError` with the place of the defect, `MissingError` where there is none."""
    document = _decoded(path)
    predictors: dict[Pair, CurvePredictor] = {}
    for place, one in enumerate(document.predictors):
        try:
            energy = _curve(one.energy, document.kind, per_token=True)
            runtime = _curve(one.runtime, document.kind, per_token=False)
        except ValueError as error:
            raise InputError(str(error), path=path, field=f"predictors[{place}]", fix=_FIX) from error
        predictors[one.system, one.model] = CurvePredictor(document.kind, one.support, energy, runtime)
    skipped: Mapping[Pair, str] = {(one.system, one.model): one.reason for one in document.skipped}
    return Fitted(document.profile, document.profile_digest, document.kind, document.channel, predictors, skipped)


def is_predictor_file(path: Path) -> bool:
    """Whether `path` holds predictors, of whatever version, and so may be written over by others."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Header).format == FORMAT
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return False


def _decoded(path: Path) -> _File:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise MissingError(
            f"{path}: there is no such file; write one with: wattshed fit PROFILE --out {path}"
        ) from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path=path, fix="name a predictor file") from error
    try:
        header = msgspec.json.decode(content, type=_Header)
        if header.format != FORMAT:
            raise InputError(f"expected {FORMAT!r}, found {header.format!r}", path=path, field="format", fix=_FIX)
        if header.schema_version > SCHEMA_VERSION:
            problem = f"version {header.schema_version} is newer than {SCHEMA_VERSION}, the newest this program reads"
            raise InputError(problem, path=path, field="schema_version", fix="update wattshed")
        return msgspec.json.decode(content, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        problem, _, place = str(error).partition(" - at `$")
        field = place.rstrip("`").lstrip(".") or None
        raise InputError(f"not a predictor file: {problem}", path=path, field=field, fix=_FIX) from error


def _written(curve: Curve) -> _Curve:
    return _Curve(
        _tokens(curve.basis),
        curve.coefficients.tolist(),
        curve.factor.tolist(),
        curve.replicates.tolist(),
        curve.misfit,
        curve.residual_sd,
    )


def _tokens(basis: Basis) -> tuple[int, ...]:
    match basis:
        case PrefixBasis(knot_tokens=tokens) | TableBasis(bucket_tokens=tokens):
            return tokens
    return ()


def _basis(kind: PredictorKind, tokens: tuple[int, ...], *, per_token: bool) -> Basis:
    if kind == "prefix":
        return PrefixBasis(tokens)
    return TableBasis(tokens, per_token) if kind == "table" else BilinearBasis()


def _curve(read: _Curve, kind: PredictorKind, *, per_token: bool) -> Curve:
    """The curve, if its parts fit together: K terms, K coefficients, a (K, P) factor, (R, K) refits; ValueError."""
    basis = _basis(kind, read.tokens, per_token=per_token)
    rows = {len(read.coefficients), len(read.factor), *(len(row) for row in read.replicates)}
    if not read.replicates or rows != {basis.size} or len({len(row) for row in read.factor}) > 1:
        raise ValueError(f"expected {basis.size} coefficients, rows of the factor, and numbers in every refit")
    coefficients, factor = np.array(read.coefficients), np.array(read.factor)
    return Curve(basis, coefficients, factor, np.array(read.replicates), read.misfit, read.residual_sd)
