"""Where the rows of a campaign's results go, and what is counted of them."""
