"""What to do about a refusal: status ids and HTTP statuses for which there is more to say than the vendor says."""

from __future__ import annotations

ACCOUNT_FAULT_IDS = frozenset({6, 11, 12, 13, 17, 18, 19})
"""Status ids that are the account's fault, not the recipient's: every further invite would meet the same."""

STATUS_HINTS: dict[int, str] = {
    6: "the recipient's network is not set up for this account; ask the vendor's support",
    8: "the number's prefix is missing or not served; check the country code",
    10: "the recipient is on a do-not-disturb register and must not be invited",
    11: "the sender is not valid for this account; set one up in the vendor's portal",
    12: "the account has no credit left",
    13: "the sender is not allowed for this destination; register one in the vendor's portal",
    14: "the destination is on a blocklist of the account",
    17: "the account has no credit left",
    18: "a trial account sends only to numbers verified in the vendor's portal",
    19: "no route to this network is set up for this account; ask the vendor's support",
    20: "the vendor's flooding filter: too many texts to this number within an hour; it clears after 60 minutes",
    21: "an error inside the vendor's system; the vendor says: submit again",
    25: "the text is too long: at most 25 segments or 4000 bytes",
    51: "the number is missing",
    52: "the number does not exist or cannot receive SMS",
    87: "blocked by the vendor's anti-fraud rules; ask the vendor's support",
    100: "the request was malformed, or the service was unavailable for a time",
}

PROXY_CREDENTIALS = (
    "it needs a user and a password, or different ones; put them into the proxy variable of the environment,"
    " as http://user:password@proxy:port with special characters percent-encoded"
)

HTTP_HINTS: dict[int, str] = {
    **dict.fromkeys(
        range(300, 400),
        "redirects are not followed, because the credentials would go along;"
        " put the final address in the connection's host",
    ),
    401: "the connection's login, key or token is wrong or has expired (API keys expire after a year by default)",
    403: (
        "the credentials lack a scope, or are not allowed from this IP address"
        " (a worker that moved looks like a bad key)"
    ),
    404: (
        "the application key is wrong, the integration is not set up for the application,"
        " or the vendor retired this API"
    ),
    407: f"a proxy on the way to the vendor refuses the request: {PROXY_CREDENTIALS}",
    429: "too many requests for this account; nothing was sent",
}
