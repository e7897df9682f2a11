"""Staff accounts: the second factor, failed sign-ins, links for one member, and the record of who did what

Revision: 0008
Follows: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    for name in ("deactivated_at", "last_signed_in_at", "totp_confirmed_at"):
        op.add_column("staff_member", sa.Column(name, moment, nullable=True))
    op.add_column("staff_member", sa.Column("totp_secret", sa.String(), nullable=True))
    op.add_column("staff_member", sa.Column("totp_last_step", sa.Integer(), nullable=True))
    op.add_column("staff_member", sa.Column("recovery_codes", sa.JSON(none_as_null=True), nullable=True))
    with op.batch_alter_table("staff_one_time_login") as table:
        table.add_column(sa.Column("member_id", sa.Integer(), nullable=True))
        table.create_foreign_key(
            op.f("fk_staff_one_time_login_member_id_staff_member"),
            "staff_member",
            ["member_id"],
            ["id"],
            ondelete="CASCADE",
        )
    op.create_table(
        "staff_sign_in_failure",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", moment, nullable=False),
        sa.Column("blocked_until", moment, nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_staff_sign_in_failure")),
    )
    op.create_table(
        "staff_activity",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("staff_id", sa.Integer(), nullable=True),
        sa.Column("staff_name", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("object_kind", sa.String(), nullable=False),
        sa.Column("object_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_activity")),
    )
    op.create_index("ix_staff_activity_at", "staff_activity", ["at"])
    op.create_index("ix_staff_activity_staff_name", "staff_activity", ["staff_name"])
    op.create_index("ix_staff_activity_object_kind_object_id", "staff_activity", ["object_kind", "object_id"])
    refusal = "the record of who did what is never changed"
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE TRIGGER staff_activity_stays BEFORE UPDATE ON staff_activity "
            f"BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
        )
    else:
        op.execute(
            "CREATE FUNCTION staff_activity_stays() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{refusal}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
        )
        op.execute(
            "CREATE TRIGGER staff_activity_stays BEFORE UPDATE ON staff_activity "
            "FOR EACH ROW EXECUTE FUNCTION staff_activity_stays()"
        )


def downgrade() -> None:
    op.drop_table("staff_activity")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION staff_activity_stays()")
    op.drop_table("staff_sign_in_failure")
    with op.batch_alter_table("staff_one_time_login") as table:
        table.drop_constraint(op.f("fk_staff_one_time_login_member_id_staff_member"), type_="foreignkey")
        table.drop_column("member_id")
    with op.batch_alter_table("staff_member") as table:
        for name in (
            "deactivated_at",
            "last_signed_in_at",
            "totp_confirmed_at",
            "totp_secret",
            "totp_last_step",
            "recovery_codes",
        ):
            table.drop_column(name)
