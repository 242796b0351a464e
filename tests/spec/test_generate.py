"""The command: what it writes, what it finds stale, and its exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest

from spec.generate import FAILED, OK, STALE, main
from spec.generator.model import SpecError
from spec.generator.python import text as python_text
from spec.generator.python.text import GENERATED_LINE
from tests.spec.drafts import ROOT, SPEC_PATH

GENERATED = "chat/protocol"
FILES = [
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


@pytest.mark.parametrize("names", [FILES[1:2], FILES], ids=["one", "all"])
def test_changed_files_are_stale(
    root: Path, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {name: (root / name).read_bytes() for name in FILES}
    for name in names:
        (root / name).write_bytes(before[name] + f"extra = {name!r}\n".encode())
    assert check(root) == STALE
    out, err = capsys.readouterr()
    for name in FILES:
        assert out.count(f"-extra = {name!r}\n") == (name in names)
    listed = err.removeprefix("spec: stale: ").removesuffix(
        ". Run `make spec` and commit what it writes.\n"
    )
    assert sorted(listed.split(", ")) == sorted(names)
    assert main(["--root", str(root)]) == OK
    assert {name: (root / name).read_bytes() for name in FILES} == before


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


def test_files_too_many_are_stale(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"{GENERATED}/old.py", f"{GENERATED}/deeper/note.py"]
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(f"{GENERATED_LINE}left = {name!r}\n")
    assert check(root) == STALE
    out, err = capsys.readouterr()
    for name in names:
        assert f"+++ {name} (not generated)" in out
        assert f"-left = {name!r}" in out
        assert name in err
    assert main(["--root", str(root)]) == OK
    assert not any((root / name).exists() for name in names)
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
