"""The invite of the vendor's documentation, which most tests send."""

from __future__ import annotations

NUMBER = "41793026727"
MESSAGE = "Hello Vreni, if you'd like to hear more about Foo, follow us at <link>"
