"""The command: what it writes, what it finds stale, and its exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest

from spec.generate import FAILED, OK, STALE, main
from spec.generator import python_text
from spec.generator.model import SpecError
from tests.spec.drafts import ROOT, SPEC_PATH

GENERATED = "chat/core/_generated"
FILES = [
    f"{GENERATED}/__init__.py",
    f"{GENERATED}/errors.py",
    f"{GENERATED}/messages.py",
    f"{GENERATED}/rules.py",
    "spec/PROTOCOL.md",
    "spec/asyncapi.yaml",
    "spec/states.mmd",
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    root = tmp_path_factory.mktemp("written")
    assert main(["--root", str(root), "--spec", str(SPEC_PATH)]) == OK
    paths = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def root(tmp_path: Path, written: dict[str, bytes]) -> Path:
    """A folder in which everything is as it should be."""
    for name, data in {**written, "spec/messages.yaml": SPEC_PATH.read_bytes()}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path


def check(root: Path) -> int:
    return main(["--check", "--root", str(root)])


def test_the_repository_is_what_the_generator_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == OK, capsys.readouterr().err


def test_it_writes_these_files(written: dict[str, bytes]) -> None:
    assert sorted(written) == sorted(FILES)
    for name, data in written.items():
        head = b"\n".join(data.splitlines()[:1])
        assert b"Generated from spec/messages.yaml" in head, name
        assert b"do not edit; run `make spec`" in head, name
        assert data.endswith(b"\n")
        assert not data.endswith(b"\n\n")
        assert b"\r" not in data


def test_what_was_just_written_is_not_stale(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(root) == OK
    assert main(["--root", str(root)]) == OK
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_stale(root: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = (root / name).read_bytes()
    (root / name).write_bytes(data + b"extra = 1\n")
    assert check(root) == STALE
    out, err = capsys.readouterr()
    assert "-extra = 1\n" in out
    assert err == f"spec: stale: {name}. Run `make spec` and commit what it writes.\n"
    assert main(["--root", str(root)]) == OK
    assert (root / name).read_bytes() == data


def test_other_line_ends_are_stale(root: Path) -> None:
    path = root / FILES[1]
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert check(root) == STALE


def test_a_missing_file_is_stale(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "spec/states.mmd").unlink()
    assert check(root) == STALE
    out, err = capsys.readouterr()
    assert "--- spec/states.mmd (missing)" in out
    assert "+stateDiagram-v2" in out
    assert "make spec" in err


@pytest.mark.parametrize("name", ["old.py", "deeper/note.txt"])
def test_a_file_too_many_is_stale(
    root: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / GENERATED / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("left = 'over'\n")
    assert check(root) == STALE
    out, err = capsys.readouterr()
    assert f"+++ {GENERATED}/{name} (not generated)" in out
    assert "-left = 'over'" in out
    assert f"{GENERATED}/{name}" in err
    assert main(["--root", str(root)]) == OK
    assert not path.exists()
    assert check(root) == OK


def test_compiled_files_are_nobody_s_business(root: Path) -> None:
    cache = root / GENERATED / "__pycache__"
    cache.mkdir()
    (cache / "rules.cpython-311.pyc").write_bytes(b"\x00")
    assert check(root) == OK


def test_a_changed_spec_makes_the_files_stale(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / "spec/messages.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("default: 20000", "default: 20001"), encoding="utf-8")
    assert check(root) == STALE
    assert "+    ping_ms: int = 20001" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--check"]])
@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: path.unlink(), "spec: messages.yaml cannot be read: "),
        (lambda path: path.write_text("a: ["), "spec: messages.yaml is not YAML: "),
        (lambda path: path.write_text("a: 1"), "spec: the file: "),
        (
            lambda path: path.write_text(path.read_text().replace("reply: pong", "reply: echo")),
            "spec: requests.ping: there is no reply `echo`; define it.\n",
        ),
    ],
)
def test_a_bad_spec_cannot_be_checked(
    root: Path,
    spoil: object,
    sentence: str,
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert callable(spoil)
    spoil(root / "spec/messages.yaml")
    before = {name: (root / name).read_bytes() for name in FILES}
    assert main([*arguments, "--root", str(root)]) == FAILED
    assert sentence in capsys.readouterr().err
    assert {name: (root / name).read_bytes() for name in FILES} == before


def test_a_folder_that_cannot_be_written_to(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / FILES[0]).unlink()
    (root / FILES[0]).mkdir()
    assert main(["--root", str(root)]) == FAILED
    assert capsys.readouterr().err.startswith("spec: ")


def test_code_that_ruff_does_not_take_is_refused() -> None:
    with pytest.raises(SpecError, match="ruff cannot format the generated code"):
        python_text.format_python("class :\n")


def test_it_runs_as_a_script_from_anywhere(tmp_path: Path) -> None:
    script = ROOT / "spec/generate.py"
    command = [sys.executable, str(script), "--check"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (OK, "", "")
