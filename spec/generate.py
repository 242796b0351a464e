"""Generates code, tables and documents from spec/messages.yaml.

    python spec/generate.py            writes every generated file
    python spec/generate.py --check    only compares, and lists stale files

Exit codes: 0 all files are up to date, 1 a file is stale, 2 the spec is wrong or unreadable.
"""

import argparse
import difflib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if not __package__:  # run as a script: the packages are found from the repository's root
    sys.path[0] = str(ROOT)

from spec.generator.model import SpecError  # noqa: E402
from spec.generator.outputs import GENERATED_FOLDER, generate_outputs, read_spec  # noqa: E402
from spec.generator.python.text import GENERATED_LINE  # noqa: E402

OK, STALE, FAILED = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python spec/generate.py",
        description="Generates code and documents from spec/messages.yaml.",
        epilog="Exit codes: 0 up to date, 1 stale, 2 the spec is wrong or unreadable.",
    )
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder to write under")
    parser.add_argument("--spec", type=Path, help="the spec (default: ROOT/spec/messages.yaml)")
    options = parser.parse_args(arguments)
    root: Path = options.root
    path: Path = options.spec or root / "spec/messages.yaml"
    try:
        outputs = generate_outputs(read_spec(path))
        return check(root, outputs) if options.check else write(root, outputs)
    except SpecError as error:
        for problem in error.problems:
            print(f"spec: {problem}", file=sys.stderr)
    except OSError as error:
        print(f"spec: {error}.", file=sys.stderr)
    return FAILED


def check(root: Path, outputs: dict[str, str]) -> int:
    """Prints the difference between the files and the generated texts, and the remedy."""
    stale = [name for name, text in outputs.items() if _read(root / name) != text]
    extra = _extra_files(root, outputs)
    for name in [*stale, *extra]:
        found, wanted = _read(root / name), outputs.get(name)
        sys.stdout.writelines(
            difflib.unified_diff(
                (found or "").splitlines(keepends=True),
                (wanted or "").splitlines(keepends=True),
                name if found is not None else f"{name} (missing)",
                name if wanted is not None else f"{name} (not generated)",
            )
        )
    if not stale and not extra:
        return OK
    names = ", ".join([*stale, *extra])
    print(f"spec: stale: {names}. Run `make spec` and commit what it writes.", file=sys.stderr)
    return STALE


def write(root: Path, outputs: dict[str, str]) -> int:
    """Writes the files that differ, and removes generated files that are no longer outputs."""
    for name, text in outputs.items():
        path = root / name
        if _read(path) != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            print(f"wrote {name}")
    for name in _extra_files(root, outputs):
        (root / name).unlink()
        print(f"removed {name}")
    return OK


def _read(path: Path) -> str | None:
    """The file's text with its line ends as they are; None if there is no such file."""
    try:
        return path.read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _extra_files(root: Path, outputs: dict[str, str]) -> list[str]:
    """Generated modules that are no longer outputs."""
    found = sorted((root / GENERATED_FOLDER).rglob("*.py"))
    names = [
        path.relative_to(root).as_posix()
        for path in found
        if (_read(path) or "").startswith(GENERATED_LINE)
    ]
    return [name for name in names if name not in outputs]


if __name__ == "__main__":
    sys.exit(main())
