"""From gateway.yaml to `Settings`, or everything that is wrong with it: each defect with file, line, key and fix.

Two passes. The first holds each key against `document.py`; the second, once all keys read well, looks at what
hangs together: names that refer to one another, secrets, predictor files, and whether strangers could come in.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from wattshed.errors import InputError
from wattshed.files import read_whole
from wattshed.gateway.settings.assembly import Overrides, assembled
from wattshed.gateway.settings.document import Document
from wattshed.gateway.settings.settings import Secret, Settings
from wattshed.gateway.settings.site import Flaw, Site, Steps

_WANTED: Final = "the YAML file of a gateway (see the guide 'Serve'), or try: wattshed serve --demo"
_MOST_SHOWN: Final = 60
_LET_OUT: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What PyYAML lets out for values of no meaning, such as `!!int x`."""

_HIDDEN: Final = frozenset({"sha256", "predictor", "vocabulary"})


def read_settings(path: Path, environ: Mapping[str, str], overrides: Overrides | None = None) -> Settings:
    """The settings in a file; `InputError` with its first defect, and how many more there are."""
    settings, found = parse_settings(path, environ, overrides)
    if settings is None:
        more = f" (and {len(found) - 1} more: wattshed serve --validate shows them all)" if len(found) > 1 else ""
        first = found[0]
        raise InputError(first.problem, path=first.path, field=first.field, fix=first.fix + more)
    return settings


def parse_settings(
    path: Path, environ: Mapping[str, str], overrides: Overrides | None = None
) -> tuple[Settings | None, list[InputError]]:
    """The settings in a file, or all its defects; `MissingError` where there is none. Secrets come by `environ`."""
    content = read_whole(path, wanted=_WANTED)
    try:
        tree, given = _yaml(content)
    except InputError as error:
        place = path if error.row is None else f"{path}:{error.row}"
        return None, [InputError(error.problem, path=place, fix=error.fix)]
    settings, flaws = settings_of(given, Site(path.absolute().parent, environ), overrides)
    return settings, [_defect(flaw, path, tree) for flaw in flaws]


def settings_of(given: object, site: Site, overrides: Overrides | None = None) -> tuple[Settings | None, list[Flaw]]:
    """The settings in a document of plain values, or all its flaws."""
    try:
        document = Document.model_validate(given)
    except ValidationError as error:
        return None, [_flaw(detail) for detail in error.errors(include_url=False)]
    settings = assembled(document, site, overrides or Overrides())
    return (None, site.flaws) if site.flaws else (settings, [])


def shown(value: object) -> object:
    """Settings as plain values for people and JSON: no secret, no hash of one, and policies by their names."""
    if isinstance(value, Secret | Path):
        return str(value)
    if hasattr(value, "score"):
        return str(getattr(value, "name"))  # noqa: B009  a policy, which is a dataclass as well
    if is_dataclass(value):
        return {one.name: shown(getattr(value, one.name)) for one in fields(value) if one.name not in _HIDDEN}
    if isinstance(value, Mapping):
        return {str(key): shown(part) for key, part in value.items()}
    return [shown(part) for part in value] if isinstance(value, tuple | list) else value


def _yaml(content: bytes) -> tuple[yaml.Node | None, object]:
    """The document as nodes, which know their lines, and as values; `InputError` with the line where it is neither."""
    try:
        loader = _Loader(content.decode())
        tree = loader.get_single_node()
        return tree, None if tree is None else loader.construct_document(tree)
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8 text", fix="save it as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        row = None if error.problem_mark is None else error.problem_mark.line + 1
        raise InputError(f"is not YAML: {_shortened(error.problem or '')}", row=row, fix="mend that line") from error
    except (yaml.YAMLError, RecursionError, *_LET_OUT) as error:
        raise InputError("is not YAML text", fix="take out what is not plain text, lists and keys") from error


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key given twice is an error, not the last of the two."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value if node.id == "mapping" else ():  # what else calls itself a map is refused below
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f"key {_quoted(key.value)} is there twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _flaw(detail: ErrorDetails) -> Flaw:
    """What pydantic found, in our words. What was written is not repeated where it may be a secret."""
    steps, kind = detail["loc"], detail["type"]
    if kind == "missing":
        return Flaw(steps, "is missing", "add it")
    if kind == "extra_forbidden":
        return Flaw(steps, "is an unknown key", _advice(str(steps[-1]), sorted(_keys_beside(steps))))
    if kind == "union_tag_not_found":
        return Flaw((*steps, "kind"), "is missing", "add it, such as kind: argmin")
    if kind == "union_tag_invalid":
        tag, tags = detail["ctx"]["tag"], detail["ctx"]["expected_tags"].replace("'", "").split(", ")
        return Flaw((*steps, "kind"), f"there is no kind {_quoted(tag)}", _advice(str(tag), tags))
    if kind == "value_error" and _chosen(detail["input"]) == steps[-1:]:
        steps = steps[:-1]  # pydantic's name for the kind that was chosen, and no key of the file
    expected = detail["msg"].replace("Input should be", "expected").replace("Value error, ", "")
    expected = re.sub(r" or instance of \w+", "", expected)
    given = f", got {_quoted(detail['input'])}" if isinstance(detail["input"], int | float | bool) else ""
    return Flaw(steps, expected + given, "correct the value")


def _chosen(section: object) -> Steps:
    """The kind that a section says it is, as a step; none where it does not."""
    return (str(section["kind"]),) if isinstance(section, dict) and "kind" in section else ()


def _keys_beside(steps: Steps) -> Iterator[str]:
    """The keys that are legal where the last of `steps` stands."""
    kinds: list[type] = [Document]
    for step in steps[:-1]:
        if isinstance(step, str):
            inner = [kind for one in kinds if step in _keys_of(one) for kind in _types(_keys_of(one)[step])]
            kinds = inner or [kind for kind in kinds if _tag(kind) == step] or kinds
    for kind in kinds:
        yield from _keys_of(kind)


def _keys_of(kind: type) -> Mapping[str, object]:
    """The keys of a section and what they hold."""
    if issubclass(kind, BaseModel):
        return {name: one.annotation for name, one in kind.model_fields.items()}
    return {one.name: one.type for one in fields(kind)} if is_dataclass(kind) else {}


def _types(annotation: object) -> Iterator[type]:
    if isinstance(annotation, type) and not get_args(annotation):
        yield annotation
    for part in get_args(annotation):
        yield from _types(part)


def _tag(kind: type) -> object:
    one = kind.model_fields.get("kind") if issubclass(kind, BaseModel) else None
    return None if one is None else get_args(one.annotation)[0]


def _defect(flaw: Flaw, path: Path, tree: yaml.Node | None) -> InputError:
    node, at, field = tree, 1, ""
    for step in flaw.at:
        found = _beneath(node, step)
        if found is not None:
            at, node = found
        if found is not None or step == flaw.at[-1]:
            field += f"[{step}]" if isinstance(step, int) else f".{step}"
    return InputError(flaw.problem, path=f"{path}:{at}", field=field.lstrip(".") or None, fix=flaw.fix)


def _beneath(node: yaml.Node | None, step: str | int) -> tuple[int, yaml.Node] | None:
    """The line of a key or a list's entry and what stands there; nothing where it is not in the file."""
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line + 1, node.value[step]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return key.start_mark.line + 1, value
    return None


def _advice(name: str, known: list[str]) -> str:
    close = get_close_matches(name.casefold(), known)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else f"known: {', '.join(known)}"


def _quoted(value: object) -> str:
    return _shortened(repr(value))


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"
