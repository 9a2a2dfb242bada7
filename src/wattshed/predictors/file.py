"""Predictor files: everything that `fit` found, as one JSON document that gives the same predictions bit for bit.

Numbers are written with as many digits as bring back the same double. The file is written beside its place and renamed,
so a reader never sees half of one. Curves of all kinds look alike; `tokens` holds the knots of the prefix form or the
buckets of the table. What else a basis needs is in the support.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

import msgspec
import numpy as np

from wattshed.domain.choices import Channel, PredictorKind
from wattshed.domain.schema import MOST_OF_UNIT, MOST_TOKENS, SCHEMA_VERSION
from wattshed.errors import InputError
from wattshed.files import read_whole, write_whole
from wattshed.predictors.batch import energy_basis, runtime_basis
from wattshed.predictors.curve import Basis, Curve, CurvePredictor
from wattshed.predictors.fit import Fitted, Pair, Ran
from wattshed.predictors.predictor import Support
from wattshed.predictors.prefix import PrefixBasis
from wattshed.predictors.regression import BilinearBasis
from wattshed.predictors.table import TableBasis

FORMAT = "wattshed predictors"
"""What the field `format` says in a predictor file."""

_MOST_J_OR_S = max(MOST_OF_UNIT["J"], MOST_OF_UNIT["s"])
"""No coefficient is larger: a term counts at least once, and so would be the energy or the runtime."""

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
    ran: Ran | None = None


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
            _Predictor(*pair, one.support, _written(one.energy), _written(one.runtime), fitted.ran.get(pair))
            for pair, one in fitted.predictors.items()
        ],
        [_Skipped(*pair, reason) for pair, reason in fitted.skipped.items()],
    )
    write_whole(path, msgspec.json.encode(document))


def load(path: Path) -> Fitted:
    """The predictors in a file; `InputError` with the place of the defect, `MissingError` where there is none."""
    document = _decoded(path)
    for field, problem in _unsound(document):
        raise InputError(problem, path=path, field=field, fix=_FIX)
    predictors: dict[Pair, CurvePredictor] = {}
    for place, one in enumerate(document.predictors):
        try:
            predictors[one.system, one.model] = _predictor(one, document.kind)
        except ValueError as error:
            raise InputError(str(error), path=path, field=f"predictors[{place}]", fix=_FIX) from error
    skipped: Mapping[Pair, str] = {(one.system, one.model): one.reason for one in document.skipped}
    ran = {(one.system, one.model): one.ran for one in document.predictors if one.ran is not None}
    return Fitted(document.profile, document.profile_digest, document.kind, document.channel, predictors, skipped, ran)


def is_predictor_file(path: Path) -> bool:
    """Whether `path` holds predictors, of whatever version, and so may be written over by others."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Header).format == FORMAT
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def _decoded(path: Path) -> _File:
    content = read_whole(path, wanted="a predictor file, as written by: wattshed fit PROFILE --out FILE")
    try:
        header = msgspec.json.decode(content, type=_Header)
        if header.format != FORMAT:
            raise InputError(f"expected {FORMAT!r}, found {header.format!r}", path=path, field="format", fix=_FIX)
        if header.schema_version < 1:
            problem = f"versions count from 1, got {header.schema_version}"
            raise InputError(problem, path=path, field="schema_version", fix=_FIX)
        if header.schema_version > SCHEMA_VERSION:
            problem = f"version {header.schema_version} is newer than {SCHEMA_VERSION}, the newest this program reads"
            raise InputError(problem, path=path, field="schema_version", fix="update wattshed")
        return msgspec.json.decode(content, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        problem, _, place = str(error).partition(" - at `$")
        field = place.rstrip("`").lstrip(".") or None
        raise InputError(f"not a predictor file: {problem}", path=path, field=field, fix=_FIX) from error
    except RecursionError as error:
        raise InputError("not a predictor file: it is nested too deeply", path=path, fix=_FIX) from error


def _unsound(document: _File) -> Iterator[tuple[str, str]]:
    """Fields that say what no fit can have found, and what is wrong with them."""
    if not document.predictors:
        yield "predictors", "holds none"
    seen: set[Pair] = set()
    for place, one in enumerate(document.predictors):
        if (one.system, one.model) in seen:
            yield f"predictors[{place}]", f"is the second one of {one.system}, {one.model}"
        seen.add((one.system, one.model))
        for name, problem in _unsound_ranges(one.support):
            yield f"predictors[{place}].support.{name}", problem
        for quantity, curve in (("energy", one.energy), ("runtime", one.runtime)):
            for name, problem in _unsound_numbers(curve, document.kind):
                yield f"predictors[{place}].{quantity}.{name}", problem


def _unsound_ranges(support: Support) -> Iterator[tuple[str, str]]:
    least_total = support.min_input_tokens + support.min_output_tokens
    for name, least, most in (
        ("max_input_tokens", support.min_input_tokens, support.max_input_tokens),
        ("max_output_tokens", support.min_output_tokens, support.max_output_tokens),
        ("max_total_tokens", least_total, support.max_total_tokens),
    ):
        if not 1 <= least <= most <= 2 * MOST_TOKENS:
            yield name, f"expected a range within 1 to {2 * MOST_TOKENS:,} tokens, got {least} to {most}"


def _unsound_numbers(curve: _Curve, kind: PredictorKind) -> Iterator[tuple[str, str]]:
    """The same for one curve; the prefix and the batch form never have a negative coefficient."""
    least = 0.0 if kind in {"prefix", "batch"} else -_MOST_J_OR_S
    for name, least_number, numbers in (
        ("tokens", 1.0, curve.tokens),
        ("coefficients", least, curve.coefficients),
        ("factor", -_MOST_J_OR_S, chain.from_iterable(curve.factor)),
        ("replicates", least, chain.from_iterable(curve.replicates)),
        ("misfit", 0.0, [curve.misfit]),
        ("residual_sd", 0.0, [curve.residual_sd]),
    ):
        found = np.array([*numbers], np.float64)
        wrong = found[~((found >= least_number) & (found <= _MOST_J_OR_S))]
        if wrong.size:
            yield name, f"expected numbers from {least_number:g} to {_MOST_J_OR_S:g}, got {wrong[0]:g}"


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


def _predictor(read: _Predictor, kind: PredictorKind) -> CurvePredictor:
    """The predictor of one pair; ValueError where its parts do not fit together."""
    if kind == "batch":
        energy = _curve(read.energy, energy_basis(read.support))
        return CurvePredictor(kind, read.support, energy, _curve(read.runtime, runtime_basis(read.support)), 1)
    energy = _curve(read.energy, _basis(kind, read.energy.tokens, per_token=True))
    runtime = _curve(read.runtime, _basis(kind, read.runtime.tokens, per_token=False))
    return CurvePredictor(kind, read.support, energy, runtime)


def _basis(kind: PredictorKind, tokens: tuple[int, ...], *, per_token: bool) -> Basis:
    if kind == "prefix":
        return PrefixBasis(tokens)
    return TableBasis(tokens, per_token) if kind == "table" else BilinearBasis()


def _curve(read: _Curve, basis: Basis) -> Curve:
    """The curve, if its parts fit together: K terms, K coefficients, a (K, P) factor, (R, K) refits; ValueError."""
    rows = {len(read.coefficients), len(read.factor), *(len(row) for row in read.replicates)}
    if not read.replicates or rows != {basis.size} or len({len(row) for row in read.factor}) > 1:
        raise ValueError(f"expected {basis.size} coefficients, rows of the factor, and numbers in every refit")
    coefficients, factor = np.array(read.coefficients), np.array(read.factor)
    return Curve(basis, coefficients, factor, np.array(read.replicates), read.misfit, read.residual_sd)
