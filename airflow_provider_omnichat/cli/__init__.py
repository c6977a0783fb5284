"""The command ``omnichat-ledger``: campaigns of the SQL ledger, and their invites in doubt."""
