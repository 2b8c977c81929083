"""What a run leaves behind: the record of one seed, the run directory, SLO verdicts, comparison."""
