#!/usr/bin/env python3
"""Counts the instructions that each stage of the pipeline takes per record, and compares them with the known counts.

    instructions.py             fails when a stage differs by more than 3 % from benches/instructions.json
    instructions.py --update    renews benches/instructions.json

Instructions are counted by valgrind (callgrind), so a slow-down is seen on a busy machine too. A stage that got faster
fails as well: otherwise it could get slower again unseen. The counts are those of one release of rustc.

What keeps the counts the same from machine to machine:
- Valgrind shows programs a processor of its own, whatever the machine has: one with AVX2, without AVX-512, where the
  machine has AVX2 (all of the last decade), an older one where it has not. So what zlib-rs, memchr and the C library
  choose at run time is the same on every machine with AVX2, and is not what a machine with AVX-512 really runs.
- The input is seeded and the stages are single-threaded; hash maps on the way of the data have no random seed.
- The C library's own functions (memcpy, malloc) are counted too: another release may differ a little.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KNOWN = ROOT / "benches" / "instructions.json"
STAGES = ["decode", "parse_v2", "parse_v5", "judge", "detect", "encode"]
TOLERANCE = 0.03


def build():
    """The path of the bench."""
    command = ["cargo", "bench", "--locked", "--no-run", "--bench", "instructions"]
    # errors of the compiler are for people, what was built is for us
    command.append("--message-format=json-render-diagnostics")
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if run.returncode != 0:
        sys.exit("instructions: the bench does not build")
    for message in map(json.loads, run.stdout.splitlines()):
        if message["reason"] == "compiler-artifact" and message["target"]["name"] == "instructions":
            return message["executable"]
    sys.exit("instructions: cargo built no bench of that name")


def count(bench, stage):
    """Instructions per record of a stage."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        command = [
            "valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}",
            "--collect-atstart=no", "--toggle-collect=instructions::measured*", bench, stage,
        ]
        # the settings of somebody's shell are no part of the input
        environment = {"PATH": os.environ["PATH"], "TMPDIR": folder}
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(f"instructions: {stage} failed under valgrind:\n{run.stderr}")
        totals = [line.split()[1] for line in out.read_text().splitlines() if line.startswith("totals:")]
        instructions, records = int(totals[-1]), int(run.stdout)
    if instructions == 0:
        sys.exit(f"instructions: nothing was counted of {stage}: has the function `measured` been inlined?")
    return instructions / records


def verdict(known, counted):
    """What a stage's count means; no text when all is well."""
    if known is None:
        return "new"
    change = counted / known - 1
    if change > TOLERANCE:
        return "SLOWER"
    if change < -TOLERANCE:
        return "faster"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="renew the known counts")
    arguments = parser.parse_args()

    rustc = subprocess.run(["rustc", "--version"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    known = json.loads(KNOWN.read_text()) if KNOWN.exists() else {"rustc": rustc, "stages": {}}
    if known["rustc"] != rustc and not arguments.update:
        sys.exit(
            f"instructions: the known counts are those of {known['rustc']}, this is {rustc}.\n"
            "Renew them with `make instructions-update`, on a commit whose counts are not in question."
        )
    bench = build()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = dict(zip(STAGES, pool.map(lambda stage: count(bench, stage), STAGES)))

    verdicts = {}
    print(f"{'stage':10} {'known':>10} {'counted':>10} {'change':>8}   (instructions per record)")
    for stage, counted in counts.items():
        before = known["stages"].get(stage)
        verdicts[stage] = verdict(before, counted)
        shown, change = (f"{before:.1f}", f"{counted / before - 1:+.1%}") if before else ("-", "-")
        print(f"{stage:10} {shown:>10} {counted:>10.1f} {change:>8}   {verdicts[stage]}".rstrip())

    if arguments.update:
        stages = {stage: round(counted, 1) for stage, counted in counts.items()}
        KNOWN.write_text(json.dumps({"rustc": rustc, "stages": stages}, indent=2) + "\n")
        print(f"written to {KNOWN.relative_to(ROOT)}")
    elif any(verdicts.values()):
        if "SLOWER" in verdicts.values():
            print(f"\nA stage takes over {TOLERANCE:.0%} more instructions than known; callgrind_annotate says where.")
            print("If they are worth it: `make instructions-update`, and say why in the commit.")
        else:
            print("\nThe known counts are no longer true. Renew them with `make instructions-update` and commit them.")
        sys.exit(1)


if __name__ == "__main__":
    main()
