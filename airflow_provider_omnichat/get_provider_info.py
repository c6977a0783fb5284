"""What Airflow asks of a provider. Kept to plain data: an error here would break the discovery of every provider."""

from __future__ import annotations

from typing import Any

from airflow_provider_omnichat.hooks.connection_form import CONN_FIELDS, UI_FIELD_BEHAVIOUR


def get_provider_info() -> dict[str, Any]:
    """Return the description of this provider, valid against Airflow's ``provider_info.schema.json``."""
    integration = "Infobip OMNI Chat"
    return {
        "package-name": "airflow-provider-omnichat",
        "name": integration,
        "description": "Send SMS invites through Infobip's OMNI Chat API, each at most once.",
        "integrations": [
            {"integration-name": integration, "external-doc-url": "https://www.infobip.com/docs/", "tags": ["service"]}
        ],
        **{
            kind: [{"integration-name": integration, "python-modules": [f"airflow_provider_omnichat.{kind}.omnichat"]}]
            for kind in ("hooks", "operators", "sensors", "triggers")
        },
        "notifications": ["airflow_provider_omnichat.notifications.omnichat.OmnichatInviteNotifier"],
        "extra-links": [
            f"airflow_provider_omnichat.operators.links.{name}"
            for name in ("InvitesLink", "ResultsLink", "SandboxLink")
        ],
        "config": {
            "omnichat": {
                "description": "What the pages about invites show in Airflow's UI.",
                "options": {
                    "show_numbers": {
                        "description": (
                            "Show whole phone numbers on the tab Invites and in its CSV, to everyone who may see the"
                            " task. By default they are masked."
                        ),
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": None,
                        "default": "False",
                    }
                },
            }
        },
        "task-decorators": [
            {
                "name": "omnichat_invite",
                "class-name": "airflow_provider_omnichat.decorators.omnichat_invite.omnichat_invite_task",
            }
        ],
        "transfers": [
            {
                "source-integration-name": "Common SQL",
                "target-integration-name": integration,
                "python-module": "airflow_provider_omnichat.transfers.sql_to_omnichat",
            }
        ],
        "cli": ["airflow_provider_omnichat.cli.commands.get_ledger_cli_commands"],
        "connection-types": [
            {
                "connection-type": "omnichat",
                "hook-class-name": "airflow_provider_omnichat.hooks.omnichat.OmnichatHook",
                "hook-name": integration,
                "ui-field-behaviour": UI_FIELD_BEHAVIOUR,
                "conn-fields": CONN_FIELDS,
            }
        ],
    }
