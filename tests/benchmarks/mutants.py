"""Mutation testing: insert one small realistic bug at a time, and list those that the default tests do not detect.

    python tests/benchmarks/mutants.py                     # all mutants of tests/benchmarks/mutant_lists
    python tests/benchmarks/mutants.py neighbors embed     # those in files whose path contains one of the words
    python tests/benchmarks/mutants.py engine:3 engine:17  # single mutants, by list and number
    python tests/benchmarks/mutants.py --list              # numbers, files and tests; nothing is run
    python tests/benchmarks/mutants.py --equivalent        # also those that are marked as equivalent

A list is a text file of mutants that are separated by empty lines, with comments after #:

    jaxlle/neighbors/exact.py
    - the text to replace, which must occur exactly once in the file
    + the new text
    > tests/neighbors/test_exact.py -k 'copies or offset'
    = why no test can detect it

In a copy of the repository the text is replaced, and pytest runs with the arguments after >. A text of several lines has as many
lines with its mark. The last line is optional: mutants with a reason are equivalent and are skipped. Slow tests are never run, so
that a mutant is detected by the default suite or not at all.

Each selection of tests first runs on the unchanged copy, where it must pass. The results are: killed, SURVIVED, stale (`old`
does not occur exactly once, or the mutated file does not compile), and invalid (no tests found, or they fail on the unchanged
copy). The exit code is 0 if all mutants were killed.
"""

import argparse
import multiprocessing
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
LISTS = Path(__file__).parent / "mutant_lists"
COPIED = ("jaxlle", "tests", "papers", "pyproject.toml", "README.md")
PYTEST = (
    *("-x", "-q", "-n", "0", "--no-header", "--tb=line", "-p", "no:cacheprovider"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # of plugins that are imported already
)
PRELOADED = (
    "jax.test_util",
    "equinox.internal",
    "sklearn.manifold",
    "flax.nnx",
    "optax",
    "hypothesis",
    "pytest",
)
NO_TESTS = (4, 5)  # exit codes of pytest for arguments that name no tests


class Mutant(NamedTuple):
    """One inserted bug; `equivalent` states why no test can detect it."""

    number: str
    file: str
    old: str
    new: str
    tests: str
    equivalent: str = ""

    def applied_to(self, source: str) -> str | None:
        """Return the mutated source of the file, or None if the text occurs not exactly once."""
        return source.replace(self.old, self.new) if source.count(self.old) == 1 else None


def load_mutants(folder: Path = LISTS) -> list[Mutant]:
    """Return the mutants of all lists, numbered within their lists from 1."""
    return [
        Mutant(f"{path.stem}:{i}", *entry)
        for path in sorted(folder.glob("*.txt"))
        for i, entry in enumerate(_read_list(path), 1)
    ]


def _read_list(path: Path) -> list[tuple[str, ...]]:
    """Return the file, the old and the new text, the tests, and the reason of every mutant of a list."""
    blocks = [
        [line for line in block.splitlines() if line and not line.startswith("#")]
        for block in path.read_text(encoding="utf-8").split("\n\n")
    ]
    return [
        (file, *("\n".join(line[2:] for line in lines if line[0] == mark) for mark in "-+>="))
        for file, *lines in filter(None, blocks)
    ]


def selected(mutants: list[Mutant], words: list[str]) -> list[Mutant]:
    """Return the mutants with one of the numbers, or with one of the words in their path or the name of their list."""
    return [
        m
        for m in mutants
        if not words or any(w == m.number if ":" in w else w in m.file or m.number.startswith(w) for w in words)
    ]


class Copy:
    """A copy of the working tree in which mutants are inserted."""

    def __init__(self, folder: Path, timeout: float) -> None:
        self.folder, self.timeout = folder, timeout
        self.passing: dict[str, str] = {}  # by selection of tests: empty, or why it is invalid
        ignore = shutil.ignore_patterns("__pycache__", ".pytest_cache")
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=ignore)
            else:
                shutil.copy2(ROOT / name, folder / name)
        programs = (
            ROOT / ".pytest_cache" / "d" / "compiled"
        )  # those of the tests, most of which a mutant does not change
        os.environ |= {
            "PYTHONPATH": str(folder),
            "JAX_COMPILATION_CACHE_DIR": str(programs),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        # Most of the time of a test is that of its imports: the processes are forked from one that has imported all but jaxlle.
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload([*PRELOADED])

    def result(self, mutant: Mutant) -> tuple[str, str]:
        """Return the result of a mutant, and the last lines that pytest printed or the reason."""
        path = self.folder / mutant.file
        source = path.read_text(encoding="utf-8")
        mutated = mutant.applied_to(source)
        if mutated is None:
            return "stale", f"the text occurs {source.count(mutant.old)} times"
        try:
            compile(mutated, mutant.file, "exec")
        except SyntaxError as error:
            return "stale", f"the mutated file does not compile: {error}"
        if mutant.tests not in self.passing:
            code, line = self._pytest(mutant.tests)
            self.passing[mutant.tests] = line if code else ""
        if self.passing[mutant.tests]:
            return "invalid", f"on the unchanged copy: {self.passing[mutant.tests]}"
        self._write(path, mutated)
        try:
            code, line = self._pytest(mutant.tests)
        finally:
            self._write(path, source)
        return ("invalid" if code in NO_TESTS else "killed" if code else "SURVIVED"), line

    def _write(self, path: Path, source: str) -> None:
        path.write_text(source, encoding="utf-8")
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()  # the size and the second of the change may be equal

    def _pytest(self, tests: str) -> tuple[int, str]:
        """Return the exit code of pytest, and the last lines that it printed."""
        printed = self.folder / "printed.txt"
        process = self.context.Process(target=run_tests, args=(self.folder, tests, printed))
        process.start()
        process.join(self.timeout)
        if process.is_alive():
            process.kill()
            process.join()
            return 1, f"stopped after {self.timeout:.0f} s"
        lines = [line for line in printed.read_text(errors="replace").splitlines() if line.strip(" !=")] or [""]
        return process.exitcode or 0, " | ".join(line[:150] for line in lines[-2:])


def run_tests(folder: Path, tests: str, printed: Path) -> None:
    """Run pytest in a process of its own, and exit with its exit code."""
    import pytest

    sys.path.insert(0, str(folder))
    os.chdir(folder)
    with printed.open("w") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
        import jaxlle

        if Path(jaxlle.__file__).resolve().parents[1] != folder.resolve():
            raise RuntimeError(f"Python imports jaxlle from {jaxlle.__file__}, not from the copy in {folder}.")
        code = pytest.main([*PYTEST, *shlex.split(tests)])
        out.flush()
    sys.stdout.flush()
    os._exit(int(code))


def main() -> int:
    """Run the selected mutants and print the survivors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="numbers (LIST:NUMBER), or parts of paths or names of lists")
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    parser.add_argument("--equivalent", action="store_true", help="also run the mutants that are marked as equivalent")
    parser.add_argument("--timeout", type=float, default=600, help="seconds after which a mutant counts as killed")
    options = parser.parse_args()
    mutants = selected(load_mutants(), options.words)
    skipped = [m for m in mutants if m.equivalent and not options.equivalent]
    if options.list:
        for m in mutants:
            print(f"{m.number:<16} {m.file}  {m.tests}" + (f"  equivalent: {m.equivalent}" if m.equivalent else ""))
        return 0
    results: list[tuple[Mutant, str]] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Copy(Path(folder), options.timeout)
        for m in (m for m in mutants if m not in skipped):
            start = time.perf_counter()
            result, line = copy.result(m)
            results.append((m, result))
            print(f"{m.number:<16} {result:<8} {time.perf_counter() - start:5.0f} s  {m.file}  {line}", flush=True)
    print(", ".join(f"{count} {result}" for result, count in Counter(result for _, result in results).items()), end="")
    print(f"; {len(skipped)} equivalent, not run")
    for m, result in results:
        if result != "killed":
            print(f"\n{result} {m.number} {m.file}\n- {m.old}\n+ {m.new}\n  {m.tests}")
    return int(any(result != "killed" for _, result in results))


if __name__ == "__main__":
    sys.exit(main())
