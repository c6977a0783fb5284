"""Where the result rows of a campaign go, and what is counted of them."""
