"""How a task goes to sleep and wakes, in the words of each Airflow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tests.support.airflow_versions import AIRFLOW


@dataclass(frozen=True)
class Deferral:
    """How a task went to sleep: the trigger as Airflow would store it, and how it goes on."""

    classpath: str
    trigger: dict[str, Any]
    next_method: str
    next_kwargs: Any

    @property
    def moment(self) -> datetime:
        """Until when it sleeps, where it waits for a time."""
        return self.trigger["moment"]  # type: ignore[no-any-return]


def deferral_of(message: Any) -> Deferral:
    """Read what Airflow would store, as the triggerer does."""
    read: Any
    try:
        from airflow.sdk.serde import deserialize as read  # from 3.2 on
    except ImportError:
        from airflow.serialization.serialized_objects import BaseSerialization

        read = BaseSerialization.deserialize
    sent = message.model_dump()  # before 3.2, what is sent is packed on its way
    return Deferral(message.classpath, read(sent["trigger_kwargs"]), sent["next_method"], sent["next_kwargs"])


def woken_with(deferral: Deferral, event: Any) -> Deferral:
    """Return a deferral with the event of its trigger, as Airflow would store it."""
    kwargs: Any = {"event": event}
    if (3, 0) <= AIRFLOW < (3, 2):
        from airflow.serialization.serialized_objects import BaseSerialization

        kwargs = BaseSerialization.serialize(kwargs)
    return replace(deferral, next_kwargs=kwargs)
