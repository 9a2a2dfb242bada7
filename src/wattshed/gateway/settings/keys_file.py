"""The file of keys: read at the border, and added to by `wattshed key`."""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wattshed.datasets.defects import Defect, model_defects, refuse
from wattshed.datasets.yaml_file import read_yaml
from wattshed.errors import UsageError
from wattshed.files import write_whole
from wattshed.gateway.fleet.admission import Allowance
from wattshed.gateway.settings.keys import Key, KeyRing, hashed, new_key

WANTED = "the YAML file of keys (make one with: wattshed key NAME)"
FIX = "write 'keys:' with a list, or make a file with: wattshed key NAME --keys FILE"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    name: Annotated[str, Field(min_length=1, max_length=100)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    requests_per_minute: Annotated[float | None, Field(gt=0)] = None
    tokens_per_minute: Annotated[float | None, Field(gt=0)] = None
    lam: Annotated[float | None, Field(ge=0, le=1)] = None

    def key(self) -> Key:
        return Key(self.name, self.sha256, Allowance(self.requests_per_minute, self.tokens_per_minute), self.lam)


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    keys: list[_Entry]


def read_keys(path: Path) -> KeyRing:
    """The keys in a file; raises `InputError` for its first defect, and names no key's hash in it."""
    return KeyRing(entry.key() for entry in _document(path).keys)


def add_key(path: Path, name: str) -> str:
    """A new key for `name`, whose hash is in the file now; the key itself is nowhere but in the answer.

    Raises `UsageError` where the name has a key already.
    """
    entries = _document(path).keys if path.exists() else []
    if name in {entry.name for entry in entries}:
        raise UsageError(f"{path} has a key for {name!r}; choose another name, or take its entry out of the file first")
    key = new_key()
    kept = [entry.model_dump(exclude_none=True) for entry in entries] + [{"name": name, "sha256": hashed(key)}]
    write_whole(path, yaml.safe_dump({"keys": kept}, sort_keys=False).encode())
    return key


def _document(path: Path) -> _Document:
    try:
        document = _Document.model_validate(read_yaml(path, wanted=WANTED, fix=FIX))
    except ValidationError as error:
        refuse(model_defects(error, _Document, str(path)))
        raise
    names, hashes = [entry.name for entry in document.keys], [entry.sha256 for entry in document.keys]
    if len(set(names)) < len(names) or len(set(hashes)) < len(hashes):
        refuse([Defect(str(path), "has two entries of one name or one key", field="keys", fix="take one out")])
    return document
