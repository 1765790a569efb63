"""A lake in S3 is looked after as a local one is: checked, repaired, compacted."""

import json

import lakes
import pytest

LAKE = "s3://lake/of/artos"
PREFIX = "of/artos/"


@pytest.fixture
def lake(program, s3):
    """The reference logs in a few commits."""
    program.run("replay", lakes.LOGS, "--map", lakes.MAP, "--out", LAKE, "--commit-mib", "0.05", url=s3.url)
    return LAKE


def check(program, s3, *more, exit_code=0):
    out, _ = program.run("lake", "check", LAKE, "--json", *more, url=s3.url, exit_code=exit_code)
    return json.loads(out)


def as_a_stream(s3):
    """Renames the replay's chain as a shard's, in names and commits: its files may be merged then."""
    for key, _ in s3.keys(LAKE):
        body = s3.client.get_object(Bucket="lake", Key=key)["Body"].read()
        renamed = key.replace("/replay", "/s.shard")
        if key.endswith(".json"):
            body = body.replace(b"/replay", b"/s.shard")
        s3.client.delete_object(Bucket="lake", Key=key)
        s3.client.put_object(Bucket="lake", Key=renamed, Body=body)


def test_a_check_finds_what_is_broken(program, s3, lake):
    clean = check(program, s3)
    assert (clean["errors"], clean["notes"], clean["rows"]) == (0, 0, 3000)
    key = next(key for key, _ in s3.keys(LAKE) if "/hour=01/replay-" in key)
    kept = s3.client.get_object(Bucket="lake", Key=key)["Body"].read()
    s3.client.delete_object(Bucket="lake", Key=key)
    broken = check(program, s3, exit_code=4)
    assert {finding["invariant"] for finding in broken["findings"]} == {"I5"}
    assert broken["findings"][0]["path"] == key.removeprefix(PREFIX)

    # as a crash between commit and publication leaves it
    commits = [key for key, _ in s3.keys(LAKE) if "/commits/" in key]
    head = json.loads(s3.client.get_object(Bucket="lake", Key=commits[-1])["Body"].read())
    for file in head["files"]:
        source = {"Bucket": "lake", "Key": PREFIX + file["path"]}
        s3.client.copy_object(Bucket="lake", Key=PREFIX + file["staged"], CopySource=source)
        s3.client.delete_object(**source)
    s3.client.put_object(Bucket="lake", Key=key, Body=kept)
    repaired = check(program, s3, "--repair")
    assert repaired["repaired"]["published"] == sorted(file["path"] for file in head["files"])
    assert repaired["errors"] == 0
    assert check(program, s3, "--quick")["findings"] == []


def test_a_compaction_keeps_every_row(program, s3, lake, tmp_path):
    as_a_stream(s3)
    before = s3.download(LAKE, tmp_path / "before")
    assert check(program, s3)["findings"] == []
    arguments = ["lake", "compact", LAKE, "--older-than", "0s", "--min-files", "2", "--json"]
    out, _ = program.run(*arguments, url=s3.url)
    merged = json.loads(out)["merged"]
    assert merged and all(folder["into"] < folder["files"] for folder in merged), out
    after = s3.download(LAKE, tmp_path / "after")
    assert lakes.differences(before, after) == {}
    assert lakes.leftovers(s3.keys(LAKE), "of/artos") == []
    assert check(program, s3)["findings"] == []
    out, _ = program.run(*arguments, url=s3.url)
    assert json.loads(out)["merged"] == []


def test_its_alerts_are_shown(program, s3, lake, tmp_path):
    """As those of a copy in a folder are."""

    def alerts(place, *more):
        out, _ = program.run("alerts", "--lake", place, "--format", "json", *more, url=s3.url)
        return [json.loads(line) for line in out.splitlines()]

    copy = s3.download(LAKE, tmp_path / "copy")
    found = alerts(LAKE)
    assert found and found == alerts(copy)
    assert alerts(LAKE, "--severity", "critical") == [alert for alert in found if alert["severity"] == "critical"]
    assert alerts(LAKE, "--id", found[0]["alert_id"][:12]) == found[:1]
