"""Staff alerts: the outbox of what staff are told about urgent messages, and when it was escalated

Revision: 0005
Follows: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("attention", sa.Column("escalated_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_attention_level_acknowledged_at", "attention", ["level", "acknowledged_at"])
    op.create_table(
        "staff_alert",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("attention_id", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.CheckConstraint("channel IN ('email', 'webhook')", name=op.f("ck_staff_alert_channel")),
        sa.CheckConstraint("kind IN ('first', 'escalation')", name=op.f("ck_staff_alert_kind")),
        sa.CheckConstraint("state IN ('waiting', 'sent', 'failed', 'cancelled')", name=op.f("ck_staff_alert_state")),
        sa.ForeignKeyConstraint(
            ["attention_id"], ["attention.id"], name=op.f("fk_staff_alert_attention_id_attention"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_alert")),
        sa.UniqueConstraint(
            "attention_id",
            "kind",
            "channel",
            "recipient",
            name=op.f("uq_staff_alert_attention_id_kind_channel_recipient"),
        ),
    )
    op.create_index("ix_staff_alert_state_next_attempt_at", "staff_alert", ["state", "next_attempt_at"])


def downgrade() -> None:
    op.drop_table("staff_alert")
    op.drop_index("ix_attention_level_acknowledged_at", "attention")
    op.drop_column("attention", "escalated_at")
