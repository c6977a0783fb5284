"""Tasks that send invites."""
