"""The statements of those who change the ledger's table by hand, in the words of each database."""

from __future__ import annotations

from airflow_provider_omnichat.campaign.ledger.audit_statements import AuditStatements
from airflow_provider_omnichat.campaign.ledger.sql_statements import CLAIM_ONLY, RECORD_COLUMNS, SETTLED_COLUMNS

_PERSONAL = ("row_key", "message_id", "error", "since", "answer", "settled_why")


class DeskStatements(AuditStatements):
    """
    The statements for one table; see :class:`.sql_statements.SqlTable`.

    It is not made where it is missing: whoever erases or settles has written its name wrong.
    """

    def create(self) -> str:
        """Fail where the table is missing."""
        return self.probe()

    def settle(self) -> str:
        """
        Write what somebody has found out about a doubt, if it still is one.

        Parameters: outcome to answer in the order of :data:`COLUMNS`, those of :data:`SETTLED_COLUMNS`, campaign,
        recipient, and the claim id that was read.
        """
        names = [name for name in RECORD_COLUMNS if name not in {*CLAIM_ONLY, "row_key", "ended_at"}]
        values = ", ".join(f"{name} = {self.placeholder}" for name in (*names, *SETTLED_COLUMNS))
        return (
            # MySQL assigns from left to right, and its condition is looked at before.
            f"UPDATE {self.sql_name} SET ended_at = COALESCE(ended_at, claimed_at), {values}"  # noqa: S608 - as above
            f" WHERE campaign = {self.placeholder} AND recipient = {self.placeholder}"
            f" AND claim_id = {self.placeholder} AND (outcome IS NULL OR outcome = 'unknown')"
        )

    def of_message(self) -> str:
        """Read the other campaigns in which a message is another invite's. Parameters: recipient, its id, campaign."""
        return (
            f"SELECT campaign FROM {self.sql_name} WHERE recipient = {self.placeholder}"  # noqa: S608 - as above
            f" AND message_id = {self.placeholder} AND campaign <> {self.placeholder}"
        )

    def forget(self) -> str:
        """Take away whose row it is. Parameters: what stands for the number from now on, campaign, recipient."""
        emptied = ", ".join(f"{name} = NULL" for name in _PERSONAL)
        return (
            f"UPDATE {self.sql_name} SET recipient = {self.placeholder}, {emptied}"  # noqa: S608 - as above
            f" WHERE campaign = {self.placeholder} AND recipient = {self.placeholder}"
        )

    def delete(self) -> str:
        """Delete a row. Parameters: campaign, recipient."""
        return f"DELETE FROM {self.sql_name} WHERE campaign = {self.placeholder} AND recipient = {self.placeholder}"  # noqa: S608 - as above

    def prune(self) -> str:
        """Delete of a campaign what is older. Parameters: campaign, before when three times."""
        mark = self.placeholder
        return (
            f"DELETE FROM {self.sql_name} WHERE campaign = {mark} AND claimed_at < {mark}"  # noqa: S608 - as above
            f" AND (ended_at IS NULL OR ended_at < {mark}) AND (settled_at IS NULL OR settled_at < {mark})"
        )
