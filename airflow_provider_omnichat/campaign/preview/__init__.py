"""What a list is before anything of it is sent."""
