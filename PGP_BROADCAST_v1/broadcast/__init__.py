"""Posts offers to channels."""
