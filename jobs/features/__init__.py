"""Silver to feature tables as of a date."""
