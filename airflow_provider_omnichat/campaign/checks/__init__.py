"""What may be sent: the invite, the row, and the rules."""
