"""What the tests of this folder share: the program under test, and a lake per reference system."""

import os
from pathlib import Path

import lakes
import oracle
import pytest


@pytest.fixture(scope="session")
def flowbound():
    """The binary, from the environment variable FLOWBOUND (`make duckdb` sets it)."""
    path = os.environ.get("FLOWBOUND")
    if not path:
        pytest.exit("set FLOWBOUND to the flowbound binary, as `make duckdb` does", returncode=2)
    path = Path(path).resolve()
    if not path.is_file():
        pytest.exit(f"FLOWBOUND names {path}, which is no file", returncode=2)
    return str(path)


@pytest.fixture(scope="session", params=lakes.SYSTEMS)
def lake(request, flowbound, tmp_path_factory):
    """The lake of a reference system, made once."""
    system = lakes.TESTDATA / request.param
    boundary = system / "boundary.toml"
    out = tmp_path_factory.mktemp(request.param) / "lake"
    lakes.replay(flowbound, system / "logs", out, boundary)
    return lakes.Lake(out, system / "logs", oracle.load_map(boundary))
