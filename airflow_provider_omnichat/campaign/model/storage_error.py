"""A failure of what keeps records: the ledger, a table or files of results."""

from __future__ import annotations

from airflow_provider_omnichat.api.errors import OmnichatError


class StorageError(OmnichatError):
    """
    Records cannot be read or written.

    :param is_outage: it may be over in a moment, such as the restart of a database; then the same call can be made
        again, whether or not the first one arrived.
    """

    def __init__(self, text: str, *, is_outage: bool = False) -> None:
        super().__init__(text)
        self.is_outage = is_outage
