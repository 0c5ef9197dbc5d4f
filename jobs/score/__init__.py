"""Features and champions to gold scores."""
