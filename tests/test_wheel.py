"""The built wheel runs the node, the client and the simulator, with what it declares and no more.

The wheel is built from a copy of the sources, so that no file of an earlier build gets into it,
and installed into a new virtual environment. Its dependencies are not downloaded: the test links
the distributions that its metadata requires, and what these require in turn, from the environment
that runs the test. So the test needs no network, is the same on every run, and fails if the
metadata lacks a dependency, since no other distribution can be imported.
"""

import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from shutil import copy2, copytree, ignore_patterns

import pytest
from packaging.requirements import Requirement

from deploy.servers import free_port
from tests.processes import Process

ROOT = Path(__file__).parent.parent
SOURCES = ("chat", "sim")
FILES = ("LICENSE", "README.md", "pyproject.toml")
DATA = {".css", ".html", ".js", ".sql", ".typed"}
"""Suffixes of the files in the packages that are data of the program."""


@pytest.fixture(scope="module", name="wheel")
def fixture_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in SOURCES:
        copytree(ROOT / name, source / name, ignore=ignore_patterns("__pycache__"))
    for name in FILES:
        copy2(ROOT / name, source / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(built), str(source))
    (wheel,) = built.iterdir()
    return wheel


@pytest.fixture(scope="module", name="installed")
def fixture_installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a new environment that has the wheel and its dependencies."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    programs = home / "bin"
    pip("--python", str(programs / "python"), "install", "--no-deps", "--no-index", str(wheel))
    (packages,) = home.glob("lib/python*/site-packages")
    for found in required(Requirement(f"cluster-chat @ {wheel.as_uri()}")):
        link(found, packages)
    return programs


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def required(requirement: Requirement) -> Iterator[Distribution]:
    """The distributions that a requirement needs here, without the one it names."""
    seen = {requirement.name}
    waiting = [requirement]
    while waiting:
        one = waiting.pop()
        for text in distribution(one.name).requires or ():
            needed = Requirement(text)
            extras = one.extras or {""}
            if needed.marker and not any(needed.marker.evaluate({"extra": e}) for e in extras):
                continue
            waiting.append(needed)
            if needed.name not in seen:
                seen.add(needed.name)
                yield distribution(needed.name)


def link(found: Distribution, packages: Path) -> None:
    """Links the modules and the metadata of a distribution into a folder of packages."""
    tops = {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "/")}
    for top in sorted(tops - {"__pycache__"}):
        place = packages / top
        if not place.exists():
            place.symlink_to(Path(str(found.locate_file(top))))


def test_the_wheel_has_all_modules_data_and_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = [name for name in names if name.endswith("/METADATA")]
        head = archive.read(metadata).decode().partition("\n\n")[0]
    wanted = {
        path.relative_to(ROOT).as_posix()
        for name in SOURCES
        for path in (ROOT / name).rglob("*")
        if path.suffix in {".py", *DATA}
    }
    assert wanted <= names
    others = {name.partition("/")[0] for name in names} - set(SOURCES)
    assert {name.partition("-")[0] for name in others} == {"cluster_chat"}
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    for line in ("License-Expression: MIT", "Author: The cluster-chat authors", "Keywords: "):
        assert f"\n{line}" in head


def test_node_and_client_run_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    port = free_port()
    folder = tmp_path / "empty"
    folder.mkdir()
    node = Process(str(installed / "chat-node"), "127.0.0.1", str(port), folder=folder)
    client = Process(str(installed / "chat-client"), "127.0.0.1", str(port), folder=folder)
    try:
        node.wait_for("^ready")
        client.write("2", "ann", "correct horse", "1", "ann", "correct horse")
        client.write("creategroup:tea:at four", "showme", "quit")
        assert client.exit_code() == 0, str(client)
        assert any("tea" in line for line in client.out), str(client)
    finally:
        for process in (client, node):
            process.close()


def test_the_simulator_runs_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    python = str(installed / "python")
    code = "import chat, sim; print(chat.__file__, sim.__file__)"
    found = Process(python, "-c", code, folder=tmp_path)
    run = Process(python, "-m", "sim", "--seeds", "2", "--jobs", "1", folder=tmp_path)
    shown = Process(python, "-m", "sim", "show", "7", folder=tmp_path)
    try:
        assert found.exit_code() == 0, str(found)
        assert all(path.startswith(str(installed.parent)) for path in found.out[0].split())
        assert run.exit_code() == 0, str(run)
        assert shown.exit_code() == 0, str(shown)
        (page,) = tmp_path.glob("*.html")
        text = page.read_text("utf-8")
        for name in ("page.css", "drawing.js", "state.js"):
            assert (ROOT / "sim" / "report" / "diagram" / name).read_text("utf-8").strip() in text
    finally:
        for process in (found, run, shown):
            process.close()
