"""The figures of a report, one file a kind; drawn from the archive alone."""
