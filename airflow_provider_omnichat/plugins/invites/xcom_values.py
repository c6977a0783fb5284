"""What tasks have pushed, where an XCom backend of Airflow's keeps it elsewhere, such as in an object store."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

from sqlalchemy.orm import Session

from airflow_provider_omnichat.campaign.model.pages import PageError

_READERS = 16


def pushed_values(session: Session, values: Sequence[Any]) -> Sequence[Any]:
    """Return the values of XComs: as the database has them, or from the backend; raise PageError if it gives none."""
    if not any(isinstance(value, str) for value in values):
        return values
    session.expunge_all()
    session.commit()  # an object store may be slow, and all of Airflow's API needs its connections
    with ThreadPoolExecutor(_READERS) as readers:
        read = list(readers.map(_from_backend, values))
    if all(isinstance(value, str) for value in read):
        raise PageError(read[0])
    return read


def _from_backend(value: Any) -> Any:
    """Return what a backend keeps elsewhere; the reason, as a text, if it cannot be read."""
    if not isinstance(value, str):
        return value
    from airflow.sdk.execution_time.xcom import XCom

    try:
        read = XCom.deserialize_value(SimpleNamespace(value=value))
        problem = "there is nothing, or it is another backend's"
    except Exception as error:  # whatever a storage raises
        read, problem = "", type(error).__name__
    if not isinstance(read, str):
        return read
    return (
        f"What this task has pushed is kept by an XCom backend, and {XCom.__name__} of this server cannot read it there"
        f" ({problem}). Give the API server the workers' xcom_backend, with its settings, connections and rights"
    )
