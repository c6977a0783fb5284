"""What became of accepted invites later, as far as a sensor asked and their places keep it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.outcomes import Delivery
from airflow_provider_omnichat.campaign.model.pages import PageError
from airflow_provider_omnichat.campaign.model.place import Place
from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask

_MOST_IN_FILES = 100_000


class Delivered(NamedTuple):
    """Final statuses of the accepted invites of some tasks, and why those of a place are not among them."""

    accepted: int
    counts: Counter[Delivery]
    costs: dict[str, Decimal]
    problem: str


def delivery_of(tasks: Iterable[tuple[SendingTask, Place]]) -> Delivered | None:
    """Sum up the final statuses of tasks, each with its place; None if nothing was accepted."""
    accepted, counts, problem = 0, Counter[Delivery](), ""
    costs: dict[str, Decimal] = {}
    for task, place in tasks:
        own = task.progress.counts.get("accepted", 0)
        accepted += own
        try:
            if own > _MOST_IN_FILES and not place.sorts:
                raise PageError("So many rows of files are not counted here; the sensor's tab has what it counted")
            if own:
                kept = place.deliveries()
                counts.update(kept.counts())
                for currency, cost in kept.costs().items():
                    costs[currency] = costs.get(currency, Decimal()) + cost
        except (OmnichatError, PageError) as error:
            problem = str(error)
        except Exception as error:  # whatever a driver or a storage raises
            problem = f"Airflow's API server cannot read it ({type(error).__name__})"
        finally:
            place.close()
    return Delivered(accepted, counts, costs, problem) if accepted else None
