"""Treatment times: the last one and the next, as spans; and what was answered last

Revision: 0003
Follows: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

COLUMNS = ("had_from", "had_until", "booked_from", "booked_until")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("conversation", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.add_column("conversation", sa.Column("about", sa.String(), nullable=True))
    # Nothing ever wrote it.
    op.drop_column("conversation", "treatment_day")


def downgrade() -> None:
    op.add_column("conversation", sa.Column("treatment_day", sa.Date(), nullable=True))
    for name in ("about", *COLUMNS):
        op.drop_column("conversation", name)
