"""The test of a connection: it reads and never sends."""

from __future__ import annotations

from airflow_provider_omnichat.api.client import OmnichatClient
from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.hints import http_hint
from airflow_provider_omnichat.api.wire import read_error_body


def probe(client: OmnichatClient) -> tuple[bool, str]:
    """
    Ask for one user of the account's application (``GET .../users?limit=1``).

    :param client: of the account to test.
    :return: whether it worked, and what is wrong in words that help.
    """
    key = client.account.application_key
    host = client.account.base_url
    if key is None:
        return False, (
            "application_key: is empty, and the vendor's API has nothing else to test a login with;"
            " put the key of your OMNI application into the connection"
        )
    try:
        response = client.get_users(key)
    except OmnichatError as error:
        return False, f"{host}: {error}"
    if 200 <= response.status < 300:
        try:
            users = response.json()
        except ValueError as error:
            return False, f"{host} answered HTTP {response.status}, but {error}; is this the vendor's host?"
        if not isinstance(users, list):
            return (
                False,
                f"{host} answered HTTP {response.status}, but not with a list of users; is this the vendor's host?",
            )
        return True, f"{host}: the login and the application key are right. No invite was sent."
    code, said = read_error_body(response, client.account.credentials.secrets)
    told = " ".join(part for part in (code, said) if part)
    hint = http_hint(response.status) or "the vendor's service or something before it is in trouble; try again later"
    return False, f"{host} answered HTTP {response.status}{f' {told}' if told else ''}: {hint}"
