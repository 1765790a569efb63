"""flowbound beside DuckDB, Polars, chDB and VRL on the same logs: `make bench-peers` (README.md).

Everything lies in target/bench-peers: programs, data (kept while the generator is the same), outputs, results.json.
Each measurement below is a function that returns rows of the table; each is a word of the command line.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "target" / "bench-peers"
TOOLS = WORK / "cargo" / "release"
MAP = WORK / "map"
FLOWBOUND = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "release" / "flowbound"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- make bench-peers writes from here -->", "<!-- to here -->"

SHAPES = {"DuckDB": ["dict", "case"], "Polars": ["dict", "search"], "chDB": ["line", "custom"]}
# wall time as a ratio to the peer's best shape, and MiB: must, aim
TARGETS = {
    "v2": {"DuckDB": (0.42, 0.25), "Polars": (0.43, 0.25), "chDB": (0.58, 0.34), "memory": (256, 160)},
    "v5": {"DuckDB": (0.45, 0.27), "Polars": (0.48, 0.28), "chDB": (0.57, 0.34), "memory": (320, 256)},
}
# AWS delivers a file every few minutes
RECORDS_A_FILE = {"v2": 625_000, "v5": 312_500}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measurements", nargs="*", help=f"any of {' '.join(MEASUREMENTS)} [default: all]")
    parser.add_argument("--quick", action="store_true", help="a tenth of the records; the page stays as it is")
    parser.add_argument("--long", action="store_true", help="also 10^8 records, and one object of 2 GB of text")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if unknown := set(options.measurements) - set(MEASUREMENTS):
        parser.error(f"no measurement {' '.join(sorted(unknown))}: there are {' '.join(MEASUREMENTS)}")
    build()
    path = WORK / ("results-quick.json" if options.quick else "results.json")
    results = json.loads(path.read_text()) if path.exists() else {}
    for name in options.measurements or MEASUREMENTS:
        print(f"{name}: {MEASUREMENTS[name].__doc__.splitlines()[0]}", file=sys.stderr)
        results[name] = MEASUREMENTS[name](options)
        path.write_text(json.dumps(results, indent=1))
    text = page(results)
    print(text)
    if not options.quick:
        before, rest = PAGE.read_text().split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}")


# ---- What is measured --------------------------------------------------------------------------------------------


def end_to_end(options):
    """Gzip logs to judged Parquet, all systems in turns."""
    return [row for version in ("v2", "v5") for row in against_peers(options, version)]


def against_peers(options, version):
    data = dataset(version, {"v2": 10_000_000, "v5": 5_000_000}[version] // (10 if options.quick else 1))
    systems = {"flowbound": lambda out: replay(data, out)}
    for peer, shapes in SHAPES.items():
        for shape in shapes:
            script = HERE / f"run_{peer.lower()}.py"
            systems[f"{peer} {shape}"] = lambda out, script=script, shape=shape: run(
                [sys.executable, script, shape, version, data / "logs", MAP, out], out
            )
    runs = in_turns(options.rounds, {name: lambda name=name: systems[name](out_of(name)) for name in systems})
    check(data, version, [out_of(name) for name in systems])

    rows = []
    records = truth(data)["rows"]
    for name, measured in runs.items():
        wall, cpu = (statistics.median(run[key] for run in measured) for key in ("wall", "cpu"))
        walls = [run["wall"] for run in measured]
        written = sum(file.stat().st_size for file in out_of(name).rglob("*.parquet"))
        rows.append({
            "table": f"{version}, {count(records)} records", "system": name, "wall": wall, "least": min(walls),
            "most": max(walls), "cpu": cpu, "rate": records / wall / 1e6, "memory": max(run["rss"] for run in measured),
            "output": written / 1e6,
        })
    for peer, shapes in SHAPES.items():
        best = min((f"{peer} {shape}" for shape in shapes), key=lambda name: median_wall(runs[name]))
        rows.append(ratio(f"{version} wall time / {best}", TARGETS[version][peer], runs["flowbound"], runs[best]))
    memory = [run["rss"] for run in runs["flowbound"]]
    rows.append(row(f"{version} peak memory, MiB", TARGETS[version]["memory"], max(memory), min(memory), max(memory)))
    return rows


def parse(options):
    """CPU time of parsing alone, lines in memory, one thread, beside VRL's parse_aws_vpc_flow_log."""
    rows = []
    for version in ("v2", "v5"):
        data = dataset(version, 1_000_000 if version == "v2" else 500_000)
        log = sorted((data / "logs").iterdir())[0]
        times = answer(TOOLS / "parse", options.rounds, 100_000 if options.quick else 200_000, log)
        ours, theirs = statistics.median(times["flowbound"]), statistics.median(times["vrl"])
        ratios = [ours / theirs for ours, theirs in zip(times["flowbound"], times["vrl"])]
        what = f"{version} parsing, CPU time / VRL ({ours:.0f} / {theirs:.0f} ns a record)"
        rows.append(row(what, (0.18, None), ours / theirs, min(ratios), max(ratios)))
    return rows


def files(options):
    """Our files beside those of DuckDB and of the stock Arrow writer: size, and time of DuckDB's queries."""
    rows = []
    for version in ("v2", "v5"):
        data = dataset(version, {"v2": 10_000_000, "v5": 5_000_000}[version] // (10 if options.quick else 1))
        lake, stock, copies = out_of("flowbound"), out_of("stock"), out_of("copies")
        replay(data, lake)
        fresh(stock)
        fresh(copies)
        subprocess.run([TOOLS / "stock", lake, stock], check=True)
        size = duckdb("size", lake, copies)
        megabytes = f"{size['flowbound'] / 1e6:.0f} / {size['duckdb'] / 1e6:.0f} MB"
        what = f"{version} size / DuckDB's of the same table ({megabytes})"
        rows.append(row(what, (1.05, None), size["flowbound"] / size["duckdb"]))
        times = duckdb("read", 3 * options.rounds, lake, stock)
        ratios = {name: statistics.median(ours) / statistics.median(theirs) for name, (ours, theirs) in times.items()}
        total = [sum(statistics.median(both[place]) for both in times.values()) for place in (0, 1)]
        slowest = max(ratios, key=ratios.get)
        milliseconds = f"{total[0]:.0f} / {total[1]:.0f} ms"
        what = f"{version} DuckDB's {len(times)} queries / on the stock writer's files ({milliseconds})"
        rows.append(row(what, (1.2, None), total[0] / total[1], min(ratios.values()), max(ratios.values())))
        rows.append(row(f"{version} the slowest of them: {slowest}", (1.2, None), ratios[slowest]))
    return rows


def threads(options):
    """One thread on one core against two on two."""
    data = dataset("v2", 1_000_000 if options.quick else 10_000_000)
    runs = in_turns(options.rounds, {
        "one": lambda: replay(data, out_of("flowbound"), threads=1), "two": lambda: replay(data, out_of("flowbound")),
    })
    return [ratio("v2 1 to 2 threads, speed", (1.8, None), runs["one"], runs["two"], most=False)]


def one_object(options):
    """A single large gzip object: inflating it is one thread's work."""
    records = 17_500_000 if options.long else 2_000_000
    data = dataset("v2", records // (4 if options.quick else 1), files=1)
    runs = in_turns(3, {
        "one": lambda: replay(data, out_of("flowbound"), threads=1), "two": lambda: replay(data, out_of("flowbound")),
    })
    text = f"one object of {count(truth(data)['rows'])} v2 records, 1 to 2 threads, speed"
    return [ratio(text, (1.5, 1.8), runs["one"], runs["two"], most=False)]


def scale(options):
    """What one record more costs as the input grows, by CPU time; and what a run costs beside its records."""
    sizes = [10**5, 10**6] + ([] if options.quick else [10**7]) + ([10**8] if options.long else [])
    runs = {}
    for records in sizes:
        data = dataset("v2", records)
        rounds = 1 if records > 10**7 else 2 * options.rounds
        runs |= in_turns(rounds, {records: lambda data=data: replay(data, out_of("flowbound"))})
    cpu = {records: statistics.median(run["cpu"] for run in runs[records]) for records in sizes}
    more = {(few, many): (cpu[many] - cpu[few]) / (many - few) * 1e9 for few, many in zip(sizes, sizes[1:])}
    shown = ", ".join(f"{count(few)} to {count(many)}: {cost:.0f}" for (few, many), cost in more.items())
    beside = (cpu[sizes[0]] - more[sizes[0], sizes[1]] * sizes[0] / 1e9) * 1000
    text = f"v2 CPU ns that a record more costs ({shown}; {beside:.0f} ms beside), dearest / cheapest"
    return [row(text, (1.25, 1.1), max(more.values()) / min(more.values()))]


def large_map(options):
    """A map of 15,000 CIDRs and 5,000 rules, which gives the same verdicts."""
    data = dataset("v2", 1_000_000 if options.quick else 10_000_000)
    runs = in_turns(options.rounds, {
        size: lambda size=size: replay(data, out_of(size), boundary=f"{size}.toml") for size in ("small", "large")
    })
    return [ratio("v2 CPU time, map of 15,000 CIDRs and 5,000 rules / 202 and 270", (1.25, None), runs["large"],
                  runs["small"], key="cpu")]


MEASUREMENTS = {
    "e2e": end_to_end, "parse": parse, "files": files, "threads": threads, "object": one_object, "scale": scale,
    "map": large_map,
}

# ---- Rows of the tables ------------------------------------------------------------------------------------------


def row(what, target, value, least=None, most=None, at_most=True):
    must, aim = target
    return {"what": what, "must": must, "aim": aim, "value": value, "least": least, "most": most, "at_most": at_most}


def ratio(what, target, ours, theirs, key="wall", most=True):
    """Of the medians; the spread is that of the rounds."""
    rounds = [one[key] / other[key] for one, other in zip(ours, theirs)]
    median = [statistics.median(run[key] for run in runs) for runs in (ours, theirs)]
    return row(what, target, median[0] / median[1], min(rounds), max(rounds), most)


def median_wall(runs):
    return statistics.median(run["wall"] for run in runs)


def page(results):
    """The tables, as Markdown."""
    rows = [row for name in MEASUREMENTS for row in results.get(name, [])]
    text = ["| what | must | aim | measured | rounds | |", "|---|---|---|---|---|---|"]
    for line in (line for line in rows if "what" in line):
        sign = "≤" if line["at_most"] else "≥"
        bound = lambda number: f"{sign} {number:g}" if number is not None else "–"
        reached = lambda number: line["value"] <= number if line["at_most"] else line["value"] >= number
        if not reached(line["must"]):
            mark = "**missed**"
        elif line["aim"] is not None and reached(line["aim"]):
            mark = "aim reached"
        else:
            mark = "reached"
        spread = "–" if line["least"] is None else f"{shown(line['least'])}–{shown(line['most'])}"
        cells = [line["what"], bound(line["must"]), bound(line["aim"]), shown(line["value"]), spread, mark]
        text.append(f"| {' | '.join(cells)} |")
    for table in dict.fromkeys(line["table"] for line in rows if "table" in line):
        text += ["", f"| {table} | wall s | rounds | CPU s | M records/s | peak MiB | output MB |"]
        text += ["|---|---|---|---|---|---|---|"]
        for line in (line for line in rows if line.get("table") == table):
            spread = f"{line['least']:.2f}–{line['most']:.2f}"
            cells = [line["system"], f"{line['wall']:.2f}", spread, f"{line['cpu']:.2f}", f"{line['rate']:.2f}"]
            cells += [f"{line['memory']:.0f}", f"{line['output']:.0f}"]
            text.append(f"| {' | '.join(cells)} |")
    return "\n".join([machine(), "", *text]) + "\n"


def machine():
    """What the numbers are of."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    pinned = dict(line.split("==") for line in (HERE / "requirements.txt").read_text().split())
    crates = tomllib.loads((HERE / "Cargo.lock").read_text())["package"]
    vrl = next(crate["version"] for crate in crates if crate["name"] == "vrl")
    peers = [f"{peer} {pinned[peer.lower()]}" for peer in SHAPES]
    return f"Two cores of {models[0] if models else 'a processor'}; {', '.join(peers)}, VRL {vrl}."


def shown(number):
    return f"{number:.0f}" if number >= 10 else f"{number:.2f}"


def count(number):
    return f"{number:,}"


# ---- Running -----------------------------------------------------------------------------------------------------


def in_turns(rounds, systems):
    """Runs every system once a round; the order moves on by one each round."""
    names = list(systems)
    runs = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            measured = systems[name]()
            print(f"  {name}: {measured['wall']:.2f} s, {measured['rss']:.0f} MiB", file=sys.stderr)
            runs[name].append(measured)
    return runs


def replay(data, out, threads=2, boundary="small.toml"):
    options = ["--map", MAP / boundary, "--out", out, "--threads", threads, "--json"]
    measured = run([FLOWBOUND, "replay", data / "logs", *options], out, cores=threads)
    summary = json.loads((WORK / "stdout").read_text())
    expected = truth(data)
    names = ["nodata gap", "expected", "breach attempt", "outage", "blocked"]
    verdicts = [sum(summary["verdicts"].get(word, 0) for word in name.split()) for name in names]
    if (summary["rows"], verdicts) != (expected["rows"], expected["verdicts"]):
        sys.exit(f"flowbound finds {summary['rows']} rows and the verdicts {verdicts}, but there are {expected}")
    return measured


def run(command, out, cores=2):
    """Wall and CPU seconds and peak MiB of one process, on so many cores, its output folder empty before."""
    fresh(out)
    os.sync()
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    with open(WORK / "stdout", "w") as stdout, open(WORK / "stderr", "w") as stderr:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command], stdout=stdout, stderr=stderr,
            preexec_fn=lambda: os.sched_setaffinity(0, allowed),
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command} failed:\n{(WORK / 'stderr').read_text()}")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "rss": usage.ru_maxrss / 1024}


def check(data, version, outs):
    """Every system found the same rows, and what the generator put there."""
    found = duckdb("check", version, MAP, *outs)
    ours = found[str(outs[0])]
    expected = truth(data)
    for out, fingerprint in found.items():
        if fingerprint != ours or any(fingerprint[key] != expected[key] for key in expected):
            sys.exit(f"{out} differs: {fingerprint}; {outs[0]}: {ours}; the generator: {expected}")
    print(f"  {version}: {len(found)} outputs agree in sums, zones and verdicts, and row by row", file=sys.stderr)


def answer(*command):
    """The JSON that a program prints. DuckDB is not imported here: a child's peak memory begins with its parent's."""
    done = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def duckdb(*args):
    return answer(sys.executable, HERE / "lake.py", *args)


# ---- Programs and data -------------------------------------------------------------------------------------------


def build():
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
    profile = tomllib.loads((ROOT / "Cargo.toml").read_text()).get("profile", {}).get("release", {})
    # the parser is measured as the program has it
    settings = []
    for key, value in profile.items():
        if not isinstance(value, dict):
            settings += ["--config", f"profile.release.{key}={json.dumps(value)}"]
    environment = os.environ | {"CARGO_TARGET_DIR": str(WORK / "cargo")}
    subprocess.run(["cargo", "build", "--release", "--locked", *settings], cwd=HERE, env=environment, check=True)
    subprocess.run([TOOLS / "generate", "map", MAP], check=True)


def dataset(version, records, files=None):
    """The folder of these logs, generated if it is not there, and in the page cache."""
    files = files or -(-records // RECORDS_A_FILE[version])
    folder = WORK / "data" / f"{version}-{records}-{files}"
    sources = sorted((HERE / "src" / "bin" / "generate").iterdir())
    generator = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    marker = folder / "generator"
    if not (marker.exists() and marker.read_text() == generator):
        print(f"  generating {folder.name}", file=sys.stderr)
        fresh(folder)
        subprocess.run([TOOLS / "generate", "logs", folder, version, str(records), str(files)], check=True)
        marker.write_text(generator)
    for log in (folder / "logs").iterdir():
        with open(log, "rb") as file:
            while file.read(1 << 20):
                pass
    return folder


def truth(data):
    return json.loads((data / "truth.json").read_text())


def out_of(name):
    return WORK / "out" / name.replace(" ", "-")


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


if __name__ == "__main__":
    main()
