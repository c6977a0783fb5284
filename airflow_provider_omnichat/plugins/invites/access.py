"""
Who may see and do what, by Airflow's auth manager.

Users who may see a task instance and its XComs see its campaign; users who may edit it may settle its doubts. A write
also needs a token that only our own page has, so that no other site can send it with the user's cookie.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.configuration import conf
from airflow.models.dag import DagModel
from fastapi import Depends, Header, HTTPException, Request, status
from itsdangerous import BadSignature, URLSafeTimedSerializer

_TOKEN_SECONDS = 12 * 3600

MAY_READ = [
    Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE)),
    Depends(requires_access_dag("GET", DagAccessEntity.XCOM)),
]
"""Dependencies of pages about a campaign; they read ``dag_id`` of the query."""

MAY_SETTLE = [*MAY_READ, Depends(requires_access_dag("PUT", DagAccessEntity.TASK_INSTANCE))]
"""Dependencies of what changes a ledger."""

TO_SETTLE = ("PUT", DagAccessEntity.TASK_INSTANCE)
TO_SEE_APPROVALS = ("GET", DagAccessEntity.HITL_DETAIL)
"""What :func:`may` takes; the latter for what people were asked in a DAG, and their answers."""


def readable(user: GetUserDep, dag_ids: Iterable[str]) -> list[str]:
    """Return the DAGs, of some, whose campaigns a user may see."""
    return [
        dag_id
        for dag_id in dag_ids
        if all(may(user, dag_id, "GET", entity) for entity in (DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM))
    ]


def may(user: GetUserDep, dag_id: str, method: str, entity: DagAccessEntity) -> bool:
    """Return whether a user may do something with an entity of a DAG."""
    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    return get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=user)  # type: ignore[arg-type]


def write_token(user: GetUserDep, dag_id: str) -> str:
    """Sign the token that a write needs."""
    return _signer().dumps([str(user.get_id()), dag_id])


def check_write_token(request: Request, user: GetUserDep, x_csrf_token: Annotated[str | None, Header()] = None) -> None:
    """Refuse a write that does not come from our own page."""
    if "application/json" not in request.headers.get("content-type", ""):
        raise HTTPException(status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, "Send application/json")
    try:
        given = _signer().loads(x_csrf_token or "", max_age=_TOKEN_SECONDS)
    except BadSignature:
        given = None
    if given != [str(user.get_id()), request.query_params.get("dag_id")]:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This page is too old or not ours: reload it")


def reference_of(recipient: str) -> str:
    """Return what a page calls an invite."""
    # The ledger's hash would give its number away: few numbers have the masked one that stands beside it.
    key = conf.get_mandatory_value("api", "secret_key").encode()
    return hmac.digest(key, f"omnichat-invite {recipient}".encode(), "sha256").hex()[:32]


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(conf.get_mandatory_value("api", "secret_key"), salt="omnichat-settle")
