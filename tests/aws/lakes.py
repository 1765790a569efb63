"""Logs as AWS lays them out in a bucket, and lakes compared by what their tables say."""

from pathlib import Path

import duckdb

TESTDATA = Path(__file__).parents[2] / "testdata"
MAP = TESTDATA / "artos" / "boundary.toml"
LOGS = TESTDATA / "artos" / "logs"

#: Every way in which AWS names the folders of flow logs.
LAYOUTS = {
    "plain": "AWSLogs/{account}/vpcflowlogs/{region}/{y}/{m}/{d}/",
    "hourly": "AWSLogs/{account}/vpcflowlogs/{region}/{y}/{m}/{d}/{h}/",
    "hive": "AWSLogs/aws-account-id={account}/aws-service=vpcflowlogs/aws-region={region}/year={y}/month={m}/day={d}/",
    "hive-hourly": "AWSLogs/aws-account-id={account}/aws-service=vpcflowlogs/aws-region={region}"
    "/year={y}/month={m}/day={d}/hour={h}/",
    "organisation": "of/us/AWSLogs/o-abc123def4/{account}/vpcflowlogs/{region}/{y}/{m}/{d}/",
}


def key_of(layout, name):
    """The key under which AWS delivers a file of this name."""
    account, _, region, _, stamp, _ = name.split("_")
    parts = {"account": account, "region": region, "y": stamp[:4], "m": stamp[4:6], "d": stamp[6:8], "h": stamp[9:11]}
    return LAYOUTS[layout].format(**parts) + name


def upload(s3, folder, bucket="logs", layout="plain"):
    """Puts every log below a folder into a bucket; how many."""
    files = sorted(Path(folder).rglob("*.log.gz"))
    for path in files:
        s3.put(f"s3://{bucket}/{key_of(layout, path.name)}", path.read_bytes())
    return len(files)


#: Columns that tell where a row lies in the input, and what is compared instead of them.
TABLES = {
    "flows": "SELECT * EXCLUDE (source)",
    "alerts": "SELECT * REPLACE (list_transform(evidence, lambda e: struct_pack(t := e.start, s := e.srcaddr, "
    "d := e.dstaddr, a := e.action, v := e.verdict)) AS evidence)",
}


def differences(one, other, revisions=True):
    """Rows of `flows` and `alerts` that are in one lake and not in the other, as many times as they are; without
    revisions, of alerts as they came to be in the end, and not of those that were withdrawn."""
    found = {}
    with duckdb.connect() as db:
        for table, select in TABLES.items():
            last = ""
            if table == "alerts" and not revisions:
                select = select.replace("REPLACE", "EXCLUDE (revision, status) REPLACE")
                last = (
                    "QUALIFY row_number() OVER (PARTITION BY alert_id ORDER BY revision DESC) = 1 "
                    "AND first_value(flows) OVER (PARTITION BY alert_id ORDER BY revision DESC) > 0"
                )
            a, b = (
                f"{select} FROM read_parquet('{lake}/{table}/**/*.parquet', hive_partitioning = true) {last}"
                for lake in (one, other)
            )
            for way, sql in (("missing", f"({a}) EXCEPT ALL ({b})"), ("extra", f"({b}) EXCEPT ALL ({a})")):
                count = db.execute(f"SELECT count(*) FROM ({sql})").fetchone()[0]
                if count:
                    found[f"{table} {way}"] = count
    return found


def leftovers(keys, root):
    """Keys of a lake's inside that are no commit and no state."""
    inside = [key.removeprefix(f"{root}/") for key, _ in keys]
    return [key for key in inside if key.startswith("_flowbound/") and key.split("/")[1] not in ("commits", "state")]
