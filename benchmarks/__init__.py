"""How fast invites leave: this provider beside other ways to send them. ``make benchmark``."""
