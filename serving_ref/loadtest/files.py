"""What the generator's process and the one that starts it agree on."""

SCHEDULE, SETTINGS = "schedule.parquet", "settings.json"
UNREACHABLE = 3
"""Exit status of the generator where no connection to the target could be made; why is on its standard error."""
