"""The figures of a report, drawn from its archive alone; the same bytes for the same data."""
