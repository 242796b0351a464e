"""The text of every file that is generated from a spec."""

from pathlib import Path

from spec.generator.documents.asyncapi import generate_asyncapi
from spec.generator.documents.protocol import generate_protocol
from spec.generator.documents.states import generate_states
from spec.generator.model import Spec, SpecError
from spec.generator.python.errors import generate_errors
from spec.generator.python.examples import find_example_problems, run_generated
from spec.generator.python.messages import generate_messages
from spec.generator.python.rules import generate_rules
from spec.generator.reading.check import find_problems
from spec.generator.reading.load import check_schema, load_spec, read_yaml

GENERATED_FOLDER = "chat/protocol"
"""Modules there that have the generator's header and are no longer outputs are removed."""

_HERE = Path(__file__).resolve().parent.parent


def read_spec(path: Path) -> Spec:
    """A spec that agrees with its schema and has no mistakes. Raises SpecError."""
    content = read_yaml(path)
    check_schema(content, _HERE / "schema.json")
    spec = load_spec(content)
    problems = find_problems(spec)
    if problems:
        raise SpecError(problems)
    return spec


def generate_outputs(spec: Spec) -> dict[str, str]:
    """The files, by their paths from the root. Raises SpecError if an example of the spec does not
    agree with what is generated."""
    python = {
        "errors": generate_errors(spec),
        "messages": generate_messages(spec),
        "rules": generate_rules(spec),
    }
    problems = find_example_problems(spec, run_generated(python))
    if problems:
        raise SpecError(problems)
    try:
        intro = (_HERE / "protocol_intro.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError([f"protocol_intro.md cannot be read: {error}."]) from error
    return {
        **{f"{GENERATED_FOLDER}/{name}.py": text for name, text in python.items()},
        "spec/PROTOCOL.md": generate_protocol(spec, intro),
        "spec/asyncapi.yaml": generate_asyncapi(spec),
        "spec/states.mmd": generate_states(spec),
    }
