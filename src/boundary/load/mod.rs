//! Reading a map: TOML or JSON, every problem in one run.
