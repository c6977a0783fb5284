"""The invite of the vendor's documentation, which most tests send."""

from __future__ import annotations

from airflow_provider_omnichat.api.omni import OmniInvite

NUMBER = "41793026727"
MESSAGE = "Hello Vreni, if you'd like to hear more about Foo, follow us at <link>"
INVITE = OmniInvite(NUMBER, MESSAGE, "<link>", "KEY", "FACEBOOK")
