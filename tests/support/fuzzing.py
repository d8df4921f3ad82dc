"""Builds the fuzz targets with clang's libFuzzer and the sanitizers, and runs them: for the tests,
and by hand as ``tools/fuzz``.

    tools/fuzz                     all targets in turn, until something is found
    tools/fuzz core                one target, until something is found
    tools/fuzz core 3600           for that many seconds
    tools/fuzz core FILE...        those inputs again; the core's are printed step by step
    tools/fuzz core --keep         all gathered inputs, minimised, into the corpus

Gathered inputs and findings go to ``artifacts/fuzz/TARGET``, which git ignores.
"""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from subprocess import STDOUT

from support.c_programs import in_parallel, run
from support.c_sources import INCLUDES, C, core_sources

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "engine" / "corpus"
"""Inputs that have found something, one folder for each target that has them."""
KEPT = ROOT / "artifacts" / "fuzz"
BUILD = ROOT / "build" / "fuzz"

UNITS = (
    "dependency",
    "estimate",
    "layering",
    "rfc4571",
    "rtcp",
    "rtp",
    "salvage",
    "srtp",
    "stun",
    "svc",
    "values",
    "vp8",
    "vp9",
)
TARGETS = ("core", *UNITS)
TURN = 60.0
"""Seconds of a target's turn when all targets are fuzzed."""
LONGEST = {"core": 1536}
"""The most bytes of an input; ``MAX_INSTRUCTIONS`` of ``fuzz/core/program.h``."""

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
COMPILE = (
    *("clang", "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Wshadow", "-Werror"),
    *("-Wno-deprecated-declarations", *SANITIZERS, INCLUDES),
)
COVERAGE = "-fsanitize-coverage=inline-8bit-counters,pc-table,trace-pc-guard"
WATCHED = (
    "__sanitizer_cov_trace_pc_guard",
    "__sanitizer_cov_trace_pc_guard_init",
    "mt_srtp_new",
    "mt_srtp_new_null",
    "mt_srtp_free",
    "mt_srtp_protect",
    "mt_srtcp_protect",
)
WRAP = ",".join(["-Wl", *(f"--wrap={name}" for name in WATCHED)])
"""Functions whose calls the linker redirects to ``fuzz/core/oracles.c``."""


def compile_core(source: Path, program: Path, *, watched: bool = True) -> list[str]:
    """The command for one source; with ``watched`` its edges are counted and steer the fuzzer."""
    coverage = [COVERAGE] if watched else []
    return [*COMPILE, *coverage, "-c", str(source), "-o", str(program)]


def _core_commands(folder: Path) -> tuple[list[list[str]], list[list[str]]]:
    """Those that may run at once, and those that follow one after the other."""
    commands, objects = [], []
    core = core_sources()
    target = sorted((C / "fuzz" / "core").glob("*.c"))
    for source in (*core, *target):
        objects.append(folder / f"{source.parent.name}-{source.stem}.o")
        commands.append(compile_core(source, objects[-1], watched=source in core))
    fuzzer = f"-fsanitize=fuzzer,{SANITIZERS[0].removeprefix('-fsanitize=')}"
    link = ["clang", fuzzer, WRAP, *map(str, objects), "-o", str(folder / "fuzz")]
    return commands, [[*link, "-lcrypto", "-lm"]]


def _unit_commands(target: str, folder: Path) -> tuple[list[list[str]], list[list[str]]]:
    source = C / "fuzz" / f"fuzz_{target}.c"
    fuzz = [
        *COMPILE,
        "-fsanitize=fuzzer",
        str(source),
        "-o",
        str(folder / "fuzz"),
        "-lcrypto",
        "-lm",
    ]
    plain = [*COMPILE, str(source), str(C / "fuzz" / "plain_main.c"), "-o", str(folder / "plain")]
    seeds = [str(folder / "plain"), "-w", str(folder / "seeds")]
    return [fuzz, [*plain, "-lcrypto", "-lm"]], [seeds]


def build(target: str) -> Path:
    """Build the program if a source has changed; returns its path. Raises RuntimeError with the
    compiler's messages.
    """
    folder = BUILD / target
    digest = hashlib.sha256()
    for path in (Path(__file__), *sorted(C.rglob("*.[ch]"))):
        digest.update(path.read_bytes())
    stamp = folder / "stamp"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return folder / "fuzz"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "seeds").mkdir(parents=True)
    commands = _core_commands(folder) if target == "core" else _unit_commands(target, folder)
    compile, link = commands
    in_parallel(run, compile)
    for command in link:
        run(command)
    stamp.write_text(digest.hexdigest())
    return folder / "fuzz"


def corpora(target: str) -> list[Path]:
    """Folders with a target's initial inputs."""
    return [p for p in (BUILD / target / "seeds", CORPUS / target) if p.is_dir()]


def replay(target: str, *inputs: Path, show: bool = False) -> subprocess.CompletedProcess[str]:
    """Run the given inputs, or the whole corpus, once. Does not raise when one fails."""
    program = build(target)
    files = inputs or [p for folder in corpora(target) for p in sorted(folder.iterdir())]
    return subprocess.run(
        [program, *files],
        stdout=None if show else subprocess.PIPE,
        stderr=None if show else STDOUT,
        text=True,
        env=os.environ | ({"MT_FUZZ_SHOW": "1"} if show else {}),
        check=False,
    )


def fuzz(target: str, seconds: float, *, quiet: bool = False) -> tuple[bool, str]:
    """Fuzz for ``seconds``, with a process for each core. False when something was found; the text
    says how to replay it.
    """
    program, kept = build(target), KEPT / target
    (kept / "gathered").mkdir(parents=True, exist_ok=True)
    command = [
        *(str(program), f"-max_total_time={max(1, round(seconds))}", f"-artifact_prefix={kept}/"),
        *(f"-max_len={LONGEST.get(target, 2048)}", "-timeout=25", "-rss_limit_mb=1500"),
        *("-print_final_stats=1", "-verbosity=1", str(kept / "gathered")),
        *map(str, corpora(target)),
    ]
    logs = [kept / f"log-{number}" for number in range(os.cpu_count() or 1)]
    with contextlib.ExitStack() as stack:
        runs = []
        for log in logs:
            out = stack.enter_context(log.open("w"))
            runs.append(stack.enter_context(subprocess.Popen(command, stdout=out, stderr=STDOUT)))
            stack.callback(runs[-1].kill)
        while any(run.poll() is None for run in runs) and not any(run.returncode for run in runs):
            time.sleep(0.05)
        results = [run.returncode for run in runs]  # None: another one has found something
    told = []
    for log, result in zip(logs, results, strict=True):
        lines = log.read_text(errors="replace").splitlines()
        if result:
            return False, _finding(target, lines, quiet)
        told += [line for line in lines if re.match(r"#\d", line)][-1:]
    return True, "\n".join(told)


def _finding(target: str, lines: list[str], quiet: bool) -> str:
    written = [line.split(" written to ")[1] for line in lines if " written to " in line]
    told = "" if quiet else "\n".join(line for line in lines if not line.startswith("#")) + "\n"
    again = f"tools/fuzz {target} {written[-1] if written else '?'}"
    return f"{told}{target}: found something; see it again by: {again}"


def keep(target: str) -> None:
    """Minimise gathered inputs and the corpus, and put the result into the corpus."""
    new = KEPT / target / "minimised"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    folders = [*corpora(target), KEPT / target / "gathered"]
    subprocess.run(
        [build(target), "-merge=1", new, *(p for p in folders if p.is_dir())], check=True
    )
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    for path in (CORPUS / target).iterdir():
        path.unlink()
    for path in new.iterdir():
        shutil.copy(path, CORPUS / target)


def main(arguments: list[str]) -> int:
    targets, rest = TARGETS, arguments
    if arguments and arguments[0] in TARGETS:
        targets, rest = (arguments[0],), arguments[1:]
    if rest == ["--keep"]:
        for target in targets:
            keep(target)
        return 0
    if rest and len(targets) == 1 and all(Path(p).is_file() for p in rest):
        return replay(targets[0], *map(Path, rest), show=True).returncode
    try:
        left = float(rest[0]) if rest else float("inf")
    except ValueError:
        print(__doc__, file=sys.stderr)
        return 2
    while left > 0:
        for target in targets:
            turn = min(left, TURN if len(targets) > 1 else 3600.0)
            if turn <= 0:
                break
            good, told = fuzz(target, turn)
            print(f"{target}: {told}" if good else told, flush=True)
            if not good:
                return 1
            left -= turn
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
