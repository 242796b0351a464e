"""Copies of the spec to spoil, and what the generator says of them."""

import copy
from pathlib import Path
from typing import Any

from spec.generator.model import Spec, SpecError
from spec.generator.outputs import generate_outputs
from spec.generator.reading.check import find_problems
from spec.generator.reading.load import check_schema, load_spec, read_yaml

ROOT = Path(__file__).resolve().parents[2]
SPEC_PATH = ROOT / "spec/messages.yaml"
SCHEMA_PATH = ROOT / "spec/schema.json"

Content = dict[str, Any]
Change = tuple[str, object]
"""A place, its keys with dots between them, and what is put there; DROP takes it away."""

DROP = object()
_CONTENT = read_yaml(SPEC_PATH)


def spoiled(*changes: Change) -> Content:
    """The spec with these changes."""
    content: Content = copy.deepcopy(_CONTENT)
    for place, value in changes:
        *path, last = place.split(".")
        target: Any = content
        for key in path:
            target = target[int(key)] if isinstance(target, list) else target.setdefault(key, {})
        if value is DROP:
            del target[last]
        elif isinstance(target, list):
            target[int(last)] = value
        else:
            target[last] = value
    return content


def load(content: Content) -> Spec:
    """Raises SpecError as the generator does before it generates anything."""
    check_schema(content, SCHEMA_PATH)
    spec = load_spec(content)
    problems = find_problems(spec)
    if problems:
        raise SpecError(problems)
    return spec


def refusal(*changes: Change) -> list[str]:
    """What the generator says of the spec with these changes, looking at everything."""
    try:
        generate_outputs(load(spoiled(*changes)))
    except SpecError as error:
        return error.problems
    return []
