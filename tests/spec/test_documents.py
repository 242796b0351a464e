"""The documents lead nowhere wrong: links, JSON, references, and a session that can be typed."""

import json
import re
from typing import Any

import jsonschema
import pytest
import yaml

from spec.generator.model import Spec
from spec.generator.outputs import generate_outputs
from tests.core.node_harness import NodeHarness
from tests.spec.drafts import ROOT, load, spoiled

INTRO = (ROOT / "spec/protocol_intro.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def spec() -> Spec:
    return load(spoiled())


@pytest.fixture(scope="module")
def outputs(spec: Spec) -> dict[str, str]:
    return generate_outputs(spec)


def _anchors(text: str) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_every_link_of_the_protocol_leads_somewhere(outputs: dict[str, str]) -> None:
    text = outputs["spec/PROTOCOL.md"]
    links = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert links
    assert links <= _anchors(text)


def test_every_example_of_the_protocol_is_json_lines(spec: Spec, outputs: dict[str, str]) -> None:
    blocks = re.findall(r"```json\n(.*?)\n```", outputs["spec/PROTOCOL.md"], re.DOTALL)
    assert len(blocks) == len(spec.messages)
    for block in blocks:
        lines = [json.loads(line) for line in block.splitlines()]
        if len(lines) == 2:
            request, reply = lines
            assert request["id"] == reply["re"]


def test_the_protocol_tells_of_everything(spec: Spec, outputs: dict[str, str]) -> None:
    text = outputs["spec/PROTOCOL.md"]
    for message in spec.messages:
        assert f"### {message.direction.value} `{message.name}`\n" in text
        assert message.doc in text
    for name in [*spec.all_inputs, *(error.name for error in spec.errors)]:
        assert f"| `{name}` |" in text
    assert "{{" not in text


def test_every_reference_of_asyncapi_leads_somewhere(outputs: dict[str, str]) -> None:
    document = yaml.safe_load(outputs["spec/asyncapi.yaml"])
    found = 0

    def walk(node: Any) -> None:
        nonlocal found
        if isinstance(node, dict):
            if "$ref" in node:
                assert list(node) == ["$ref"], "what stands beside a reference is not read"
                target = document
                for step in node["$ref"].removeprefix("#/").split("/"):
                    target = target[step]
                found += 1
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(document)
    assert found > 100


def test_every_example_of_asyncapi_fits_its_schema(outputs: dict[str, str]) -> None:
    document = yaml.safe_load(outputs["spec/asyncapi.yaml"])
    for name, message in document["components"]["messages"].items():
        schema = {**document, "$ref": f"#/components/schemas/{name}"}
        for example in message["examples"]:
            jsonschema.Draft7Validator(schema).validate(example["payload"])


def test_the_diagram_has_every_change_of_state(spec: Spec, outputs: dict[str, str]) -> None:
    text = outputs["spec/states.mmd"]
    assert text.splitlines()[1] == "stateDiagram-v2"
    assert "    [*] --> ANONYMOUS\n" in text
    assert "    AUTHENTICATING --> READY: identified\n" in text
    shown = set(re.findall(r"(\w+) --> (\w+):", text))
    for column, state in enumerate(spec.states):
        for row in spec.cells.values():
            target = spec.cell_next(row[column])
            assert target in (None, state.name) or (state.name, target) in shown


VOLATILE = ("node", "now", "limits", "token", "at")


def _plain(line: dict[str, Any]) -> dict[str, Any]:
    return {name: "…" if name in VOLATILE else value for name, value in line.items()}


def test_the_session_by_hand_goes_as_the_protocol_shows_it() -> None:
    (block,) = re.findall(r"\$ nc 127.0.0.1 6000\n(.*?)```", INTRO, re.DOTALL)
    lines = block.replace("{…}", '"…"').splitlines()
    harness = NodeHarness()
    peer = harness.connect()
    for line in lines:
        if line.startswith("> "):
            assert peer.got == [], "the node said more than the protocol shows"
            peer.write(line[2:].encode() + b"\n")
            harness.run()
        else:
            assert _plain(peer.got.pop(0)) == _plain(json.loads(line))
    assert peer.got == []
