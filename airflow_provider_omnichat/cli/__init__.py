"""The command ``omnichat-ledger``: how campaigns stand, and who is in doubt."""
