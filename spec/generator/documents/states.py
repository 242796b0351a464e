"""spec/states.mmd: the session's states as a Mermaid diagram."""

from spec.generator.model import Spec


def generate_states(spec: Spec) -> str:
    header = (
        "%% Generated from spec/messages.yaml by spec/generate.py; do not edit; run `make spec`."
    )
    return f"{header}\n{state_diagram(spec)}\n"


def state_diagram(spec: Spec) -> str:
    """The transitions, and what brings them about; what leaves the state as it is is not shown."""
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {state.name}" for state in spec.states if state.initial]
    for column, state in enumerate(spec.states):
        targets: dict[str, list[str]] = {}
        for name in spec.all_inputs:
            target = spec.cell_next(spec.cells[name][column])
            if target is not None and target != state.name:
                targets.setdefault(target, []).append(name)
        for target, names in targets.items():
            lines.append(f"    {state.name} --> {target}: {', '.join(names)}")
    lines += [f"    {state.name} --> [*]" for state in spec.states if state.final]
    return "\n".join(lines)
