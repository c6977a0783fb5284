"""What the stages exchange."""
