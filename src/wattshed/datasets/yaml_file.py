"""YAML as people write it, read strictly: a key given twice is an error, and so is a value of no meaning."""

from pathlib import Path

import yaml

from wattshed.datasets.defects import quoted, shortened
from wattshed.errors import InputError
from wattshed.files import read_whole


def read_yaml(path: Path, *, wanted: str, fix: str) -> dict[object, object]:
    """The mapping in a file; `wanted` says what the file is, and `fix` what to write at least.

    Raises `InputError` with the row for what is no YAML, a key given twice, or a value that means nothing.
    """
    content = read_whole(path, wanted=wanted)
    try:
        document: object = yaml.load(content.decode(), _Loader)  # noqa: S506  a SafeLoader, below
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8 text", path=path, fix="save it as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        row = None if error.problem_mark is None else error.problem_mark.line + 1
        raise InputError(
            f"is not YAML: {shortened(error.problem or '', 120)}", path=path, row=row, fix="mend that line"
        ) from error
    except yaml.YAMLError as error:
        raise InputError("is not YAML text", path=path, fix="take out what is not printable") from error
    except RecursionError as error:
        raise InputError("is nested too deeply", path=path, fix=fix) from error
    if not isinstance(document, dict):
        raise InputError("holds no mapping of keys", path=path, fix=fix)
    return document


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key given twice is an error, not the last of the two, and so is a value of no meaning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[str] = set()
        keys = node.value if node.id == "mapping" else ()  # what else calls itself a map is refused below
        for key, _ in keys:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f"key {quoted(key.value)} is there twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:  # what PyYAML lets out
            problem = f"{quoted(node.value)} is no {node.tag.rpartition(':')[2]}; write it in quotes if it is text"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error
