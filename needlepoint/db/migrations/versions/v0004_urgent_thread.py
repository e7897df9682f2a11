"""The open urgent thread of a conversation: level, cards and findings, until the person says that it is over

Revision: 0004
Follows: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("conversation", sa.Column("urgent_thread", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("conversation", "urgent_thread")
