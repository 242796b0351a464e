"""The files of deploy/ agree with the programs."""

import configparser
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from chat.core.state.config import NodeConfig
from chat.options import EXIT_USAGE, parser
from chat.storage.backends.mysql import CALL_S
from deploy.cluster import NGINX_CONF, nginx_conf
from deploy.servers import find_program, free_port
from tests.conftest import need

DEPLOY = NGINX_CONF.parent
SECRET = "word"


def directives(text: str) -> dict[str, list[str]]:
    """The directives of an nginx.conf by name, each with all its values."""
    found: dict[str, list[str]] = {}
    for line in re.sub(r"#.*", "", text).splitlines():
        name, _, value = line.strip().rstrip(";").partition(" ")
        if value and value != "{":
            found.setdefault(name, []).append(value.strip())
    return found


def seconds(value: str) -> int:
    assert value.endswith("s")
    return int(value[:-1])


def compose() -> dict[str, Any]:
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    found: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{CHAT_PASSWORD[^}]*\}", SECRET, text))
    return found


def unit() -> configparser.ConfigParser:
    # A unit may name the same setting twice, and systemd's % is not configparser's.
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "chat-node@.service", "utf-8")
    return parser


# ---------------------------------------------------------------------------- nginx


@pytest.mark.servers
def test_nginx_takes_the_deployed_file(tmp_path: Path) -> None:
    need("nginx")
    generated = tmp_path / "nginx.conf"
    generated.write_text(nginx_conf(free_port(), [free_port() for _ in range(3)]))
    nginx = find_program("nginx")
    assert nginx is not None
    for path in (NGINX_CONF, generated):
        run = subprocess.run(
            [
                *(nginx, "-t", "-p", str(tmp_path), "-e", "stderr"),
                *("-g", f"pid {tmp_path / 'pid'};", "-c", str(path)),
            ],
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert run.returncode == 0, run.stderr
        assert "warn" not in run.stderr


def test_nginx_gives_up_after_the_nodes_do() -> None:
    limits = NodeConfig()
    (timeout,) = directives(NGINX_CONF.read_text("utf-8"))["proxy_timeout"]
    assert seconds(timeout) * 1_000 > limits.dead_ms + 10_000


def test_only_the_addresses_differ_from_the_deployed_file() -> None:
    deployed = directives(NGINX_CONF.read_text("utf-8"))
    generated = directives(nginx_conf(7000, [7001, 7002, 7003]))
    servers = deployed.pop("server")
    assert len(servers) == 2
    assert all(re.search(r" max_fails=0\b", server) for server in servers)
    assert generated.pop("server") == [
        servers[0].replace("6001", str(port)) for port in (7001, 7002, 7003)
    ]
    (listen,) = deployed.pop("listen")
    assert generated.pop("listen") == [listen.replace("6000", "127.0.0.1:7000")]
    assert generated == deployed
    assert deployed["proxy_connect_timeout"] == ["500ms"]
    assert deployed["tcp_nodelay"] == ["on"]


# ---------------------------------------------------------------------------- compose


def test_the_nodes_of_compose_are_told_what_chat_node_takes() -> None:
    services = compose()["services"]
    balancer = services["nginx"]["networks"]["chat"]["ipv4_address"]
    for name in ("node-1", "node-2"):
        options = parser().parse_args(services[name]["command"])
        assert (options.name, options.port) == (name, 6000)
        assert options.proxy_from.trusts(balancer)
        assert not options.proxy_from.trusts(services[name]["networks"]["chat"]["ipv4_address"])
        assert (
            seconds(services[name]["stop_grace_period"]) * 1_000 > options.drain_ms + CALL_S * 1_000
        )
        assert set(services[name]["depends_on"]) <= set(services)
        assert f":{SECRET}@mariadb:3306/chat" in " ".join(services[name]["command"])
    database = services["mariadb"]["environment"]
    assert database["MARIADB_PASSWORD"] == SECRET
    assert database["MARIADB_USER"] == database["MARIADB_DATABASE"] == "chat"


def test_the_balancer_of_compose_knows_its_nodes() -> None:
    services = compose()["services"]
    dockerfile = (DEPLOY / "Dockerfile").read_text("utf-8")
    edits = re.findall(r"-e '([^']+)'", dockerfile)
    assert len(edits) == 3
    made = subprocess.run(
        ["sed", *(word for edit in edits for word in ("-e", edit)), str(NGINX_CONF)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "load_module" not in made
    assert [server.split()[0] for server in directives(made)["server"]] == [
        services[name]["networks"]["chat"]["ipv4_address"] + ":6000"
        for name in ("node-1", "node-2")
    ]
    for service in services.values():
        target = service.get("build", {}).get("target")
        assert target is None or re.search(rf"(?m)^FROM \S+ AS {target}$", dockerfile)


# ---------------------------------------------------------------------------- systemd


def test_the_service_starts_chat_node_with_flags_that_it_has() -> None:
    service = unit()["Service"]
    line = service["ExecStart"].replace("%i", "6001").replace("%H", "here")
    line = line.replace("${CHAT_STORE}", f"mysql://chat:{SECRET}@10.0.0.2:3306/chat")
    line = line.replace("${CHAT_BUS}", "redis://10.0.0.3:6379/0")
    program, *arguments = shlex.split(line)
    assert program.endswith("/.venv/bin/chat-node")
    options = parser().parse_args(arguments)
    assert (options.port, options.name) == (6001, "here-6001")
    assert options.proxy_from.trusts("127.0.0.1")
    assert int(service["TimeoutStopSec"]) * 1_000 > options.drain_ms + CALL_S * 1_000
    assert service["Restart"] == "on-failure"
    assert int(service["RestartPreventExitStatus"]) == EXIT_USAGE
