"""chat/protocol/errors.py: the error codes with their sentences and properties."""

from spec.generator.model import Spec
from spec.generator.python.text import docstring, format_python, header, literal, long_literal


def generate_errors(spec: Spec) -> str:
    lines = [header("The codes of the `error` reply."), "import enum"]
    lines += ["from typing import Final, NamedTuple", "", "", "class ErrorCode(enum.StrEnum):"]
    lines += [docstring("Why a request was not carried out.", "    "), ""]
    lines += [f"    {error.name.upper()} = {literal(error.name)}" for error in spec.errors]
    lines += ["", "", "class ErrorInfo(NamedTuple):"]
    lines += [docstring("What goes with a code, whatever the request was.", "    "), ""]
    lines += ["    message: str", docstring("What to do, in one sentence.", "    ")]
    lines += ["    retry: bool", docstring("Waiting helps.", "    ")]
    lines += ["    closes: bool", docstring("The connection is closed after it.", "    ")]
    lines += ["", "", "ERRORS: Final[dict[ErrorCode, ErrorInfo]] = {"]
    lines += [
        f"    ErrorCode.{error.name.upper()}: ErrorInfo("
        f"{long_literal(error.message)}, retry={error.retry}, closes={error.closes}),"
        for error in spec.errors
    ]
    lines.append("}")
    return format_python("\n".join(lines) + "\n")
