"""The front door: the `baseload` command and the names that notebooks import."""
