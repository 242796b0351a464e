"""chat/protocol/rules.py: the states, the inputs, and the tables that decide."""

from spec.generator.model import AccessTable, Cell, Spec, camel
from spec.generator.python.text import docstring, format_python, header, literal

_INDENT = "    "
_VERDICTS = {
    "ACCEPT": "Handled.",
    "ERROR": "Answered with an error.",
    "HOLD": "Kept unread until the state changes.",
    "IGNORE": "Dropped.",
    "CLOSE": "Closed, with an error first if there is a code.",
    "NEVER": "Cannot occur; if it does, the program has a bug.",
}


def generate_rules(spec: Spec) -> str:
    parts = [
        header("The action of a session for each input, the permissions, and the default limits."),
        _imports(spec),
        f"PROTOCOL: Final = {spec.protocol}\n",
        _int_enum(
            "State", "The states of a session.", {state.name: state.doc for state in spec.states}
        ),
        _int_enum("Input", "The inputs of a session: requests first.", spec.all_inputs),
        _int_enum("Verdict", "The action for an input.", _VERDICTS),
        _RULE_CLASS,
        _rules(spec),
        _request_input(spec),
        _cost(spec),
        *(_access(table) for table in spec.access),
        _limits(spec),
        _byte_limits(spec),
        _patterns(spec),
    ]
    return format_python("\n".join(parts))


_RULE_CLASS = '''
class Rule(NamedTuple):
    """One cell of the table."""

    verdict: Verdict
    next: State | None
    """The state after it; None where the state stays."""
    code: ErrorCode | None
    """The error sent to the peer, if any."""

'''


def _imports(spec: Spec) -> str:
    lines = ["import enum", "import re", "from collections.abc import Sequence"]
    lines += ["from typing import Final, NamedTuple", ""]
    lines += ["from chat.protocol.errors import ErrorCode"]
    names = sorted(["Request", *(request.class_name for request in spec.requests)])
    # A trailing comma keeps one name a line, as ruff sorts them.
    lines.append(f"from chat.protocol.messages import ({', '.join(names)},)")
    return "\n".join(lines) + "\n"


def _int_enum(name: str, doc: str, members: dict[str, str]) -> str:
    lines = [f"class {name}(enum.IntEnum):", docstring(doc, _INDENT), ""]
    for number, (member, member_doc) in enumerate(members.items()):
        lines += [f"{_INDENT}{member.upper()} = {number}", docstring(member_doc, _INDENT)]
    return "\n".join(lines) + "\n\n"


def _rules(spec: Spec) -> str:
    constants: dict[str, str] = {}
    rows = []
    for name in spec.all_inputs:
        row = []
        for cell in spec.cells[name]:
            constant = _constant(cell)
            constants[constant] = _rule(spec, cell)
            row.append(constant)
        rows.append(f"{_INDENT}({', '.join(row)}),  # {name.upper()}")
    lines = [f"{constant}: Final = {rule}" for constant, rule in sorted(constants.items())]
    lines += ["", "_CELLS: Final = ("]
    lines += [f"{_INDENT}# {', '.join(state.name for state in spec.states)}", *rows, ")", ""]
    lines.append("RULES: Final[list[Sequence[Rule]]] = list(zip(*_CELLS, strict=True))")
    doc = (
        "Indexed by State, then by Input. Every decision of a session is a look-up here, so a "
        "simulation that puts rows in place that count sees all of them."
    )
    return "\n".join([*lines, docstring(doc)]) + "\n"


def _constant(cell: Cell) -> str:
    words: list[str] = [cell.verdict]
    if cell.next is not None:
        words += ["TO", cell.next]
    if cell.code is not None:
        words.append(cell.code.upper())
    return "_" + "_".join(words)


def _rule(spec: Spec, cell: Cell) -> str:
    target = spec.cell_next(cell)
    state = "None" if target is None else f"State.{target}"
    code = _code(cell.code)
    return f"Rule(Verdict.{cell.verdict}, {state}, {code})"


def _code(code: str | None) -> str:
    return "None" if code is None else f"ErrorCode.{code.upper()}"


def _request_input(spec: Spec) -> str:
    lines = ["REQUEST_INPUT: Final[dict[type[Request], Input]] = {"]
    for request in spec.requests:
        lines.append(f"{_INDENT}{request.class_name}: Input.{request.name.upper()},")
    return "\n".join([*lines, "}", docstring("The input that a request is.")]) + "\n"


def _cost(spec: Spec) -> str:
    lines = ["COST: Final[dict[type[Request], int]] = {"]
    for request in spec.requests:
        if request.cost:
            lines.append(f"{_INDENT}{request.class_name}: {request.cost},")
    doc = "What a request takes from its user's budget; those left out take nothing."
    return "\n".join([*lines, "}", docstring(doc)]) + "\n"


def _access(table: AccessTable) -> str:
    name = camel(table.name)
    constant = f"{table.name.upper()}_ACCESS"
    actions = {action: f"The request `{action}`." for action in table.actions}
    lines = [f"{constant}: Final[tuple[tuple[ErrorCode | None, ...], ...]] = ("]
    for column, role in enumerate(table.roles):
        lines.append(f"{_INDENT}(  # {role.upper()}")
        lines += [
            f"{_INDENT * 2}{_code(row[column])},  # {action.upper()}"
            for action, row in table.actions.items()
        ]
        lines.append(f"{_INDENT}),")
    doc = f"The refusal, or None. Indexed by {name}Role, then by {name}Action."
    return "\n".join(
        [
            _int_enum(f"{name}Role", table.doc, table.roles),
            _int_enum(f"{name}Action", "What may be asked for.", actions),
            *lines,
            ")",
            docstring(doc) + "\n",
        ]
    )


def _limits(spec: Spec) -> str:
    lines = ["class DefaultLimits(NamedTuple):", docstring("The limits of the spec.", _INDENT), ""]
    for limit in spec.limits:
        lines.append(f"{_INDENT}{limit.name}: int = {limit.default}")
        lines.append(docstring(limit.doc, _INDENT))
    return "\n".join([*lines, "", "", "LIMITS: Final = DefaultLimits()\n"])


def _patterns(spec: Spec) -> str:
    lines = ["PATTERNS: Final[dict[type[Request], tuple[tuple[str, re.Pattern[str]], ...]]] = {"]
    for request in spec.requests:
        patterns = []
        for field in request.fields:
            named = spec.named_type(field.type.item)
            if named is not None and named.apart and named.pattern is not None:
                patterns.append(f'("{field.attribute}", re.compile({literal(named.pattern)})),')
        if patterns:
            lines.append(f"    {request.class_name}: ({' '.join(patterns)}),")
    doc = "Fields whose pattern is looked at after decoding: attribute and pattern."
    return "\n".join([*lines, "}", docstring(doc)]) + "\n"


def _byte_limits(spec: Spec) -> str:
    lines = ["BYTE_LIMITS: Final[dict[type[Request], tuple[tuple[str, int, int], ...]]] = {"]
    for request in spec.requests:
        limits = []
        for field in request.fields:
            named = spec.named_type(field.type.item)
            if named is not None and named.max_bytes is not None:
                limits.append(f'("{field.attribute}", {named.min_bytes or 0}, {named.max_bytes}),')
        if limits:
            lines.append(f"    {request.class_name}: ({' '.join(limits)}),")
    doc = "Fields whose length in UTF-8 is limited: attribute, fewest and most bytes."
    return "\n".join([*lines, "}", docstring(doc)]) + "\n"
