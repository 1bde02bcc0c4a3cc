"""Settings by environment, as TOML files."""
