"""Writes what spec/messages.yaml decides: code, tables and documents."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if not __package__:  # run as a script: the packages are found from the repository's root
    sys.path[0] = str(ROOT)

from spec.generator.load import load_spec, read_yaml  # noqa: E402
from spec.generator.python_errors import generate_errors  # noqa: E402
from spec.generator.python_messages import generate_messages  # noqa: E402
from spec.generator.python_rules import generate_rules  # noqa: E402

GENERATED = "chat/core/_generated"


def main() -> int:
    spec = load_spec(read_yaml(ROOT / "spec/messages.yaml"))
    for name, text in (
        ("errors", generate_errors(spec)),
        ("messages", generate_messages(spec)),
        ("rules", generate_rules(spec)),
    ):
        (ROOT / GENERATED / f"{name}.py").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
