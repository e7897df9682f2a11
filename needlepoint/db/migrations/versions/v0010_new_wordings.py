"""Wordings that come with a version of an answer

Revision: 0010
Follows: 0009

They are the entry's from the version's approval on. A column added in place rebuilds no table, so the triggers of 0002
stay (SQLite).
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("faq_version", sa.Column("new_wordings", sa.JSON(), nullable=False, server_default=sa.text("'[]'")))


def downgrade() -> None:
    op.drop_column("faq_version", "new_wordings")
