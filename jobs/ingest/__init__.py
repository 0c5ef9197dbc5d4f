"""Source to bronze to silver."""
