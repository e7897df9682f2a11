"""The database itself keeps words, sources and approvals as they were

Revision: 0002
Follows: 0001

A text is given days (`recorded_on`, `waited_days`) and triggers: its words never change, its state only goes forward,
nothing is approved without a source, and an author approves own words only after the waiting days of a clinic with
one clinician. Deleting a whole entry still takes everything with it: what a trigger protects, it protects only while
the row above it exists.

SQLite drops a table's triggers when the table is rebuilt (`batch_alter_table`). A later migration that rebuilds
`faq_text`, `faq_version` or `faq_source` has to create them again; tests/unit/test_governance.py notices.
"""

from typing import NamedTuple

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


class Rule(NamedTuple):
    """Something the database refuses: `condition` over OLD and NEW, and what it then says."""

    name: str
    table: str
    event: str
    condition: str
    refusal: str


def changed(*columns: str) -> str:
    """Condition: one of `columns` gets another value. `differs` is each database's comparison that knows NULL."""
    return "(" + " OR ".join(f"CAST(OLD.{c} AS TEXT) {{differs}} CAST(NEW.{c} AS TEXT)" for c in columns) + ")"


def on_record(version: str) -> str:
    """Condition: a text of the version `version` is approved, or was until it was retired."""
    return (
        f"EXISTS (SELECT 1 FROM faq_text t WHERE t.version_id = {version} "  # noqa: S608 - a column's name
        "AND t.state IN ('approved', 'retired') AND t.approver IS NOT NULL)"
    )


SELF_APPROVED = "NEW.state = 'approved' AND NEW.approver = NEW.author"
WRITTEN_ON = "(SELECT v.written_on FROM faq_version v WHERE v.id = NEW.version_id)"
NO_SOURCE = "NEW.state = 'approved' AND NOT EXISTS (SELECT 1 FROM faq_source s WHERE s.version_id = NEW.version_id)"
TOO_SOON = "an author may approve own words only after the waiting days"
NEEDS_SOURCE = "an answer without a source cannot be approved"

RULES = [
    Rule(
        "faq_text_words_stay",
        "faq_text",
        "UPDATE",
        changed("id", "version_id", "language", "author", "question", "answer", "when_to_contact", "recorded_on"),
        "the words of an answer never change; write a new version",
    ),
    Rule(
        "faq_text_states_go_forward",
        "faq_text",
        "UPDATE",
        "OLD.state != NEW.state AND OLD.state || ' to ' || NEW.state NOT IN ('draft to in_review', "
        "'in_review to draft', 'in_review to approved', 'draft to retired', 'in_review to retired', "
        "'approved to retired')",
        "an answer goes from draft to in_review to approved to retired; write a new version instead",
    ),
    Rule("faq_text_approved_with_source", "faq_text", "UPDATE", NO_SOURCE, NEEDS_SOURCE),
    Rule("faq_text_inserted_with_source", "faq_text", "INSERT", NO_SOURCE, NEEDS_SOURCE),
    Rule(
        "faq_text_author_waits",
        "faq_text",
        "UPDATE",
        f"{SELF_APPROVED} AND {changed('state', 'approver', 'approved_on', 'waited_days')} AND "
        "({days_from} NEW.recorded_on {days_to} NEW.approved_on {days_end} < NEW.waited_days OR "
        f"{{days_from}} {WRITTEN_ON} {{days_to}} NEW.approved_on {{days_end}} < NEW.waited_days)",
        TOO_SOON,
    ),
    Rule(  # an approval that came with an export was waited for in the database it comes from
        "faq_text_author_has_waited",
        "faq_text",
        "INSERT",
        f"{SELF_APPROVED} AND {{days_from}} {WRITTEN_ON} {{days_to}} NEW.approved_on {{days_end}} < NEW.waited_days",
        TOO_SOON,
    ),
    Rule(
        "faq_text_retired_keeps_its_approval",
        "faq_text",
        "UPDATE",
        "OLD.state IN ('approved', 'retired') AND NEW.state = 'retired' AND "
        + changed("approver", "approved_on", "review_due", "waited_days"),
        "who approved a retired answer, and when, stays on record",
    ),
    Rule(
        "faq_text_approved_stays",
        "faq_text",
        "DELETE",
        "OLD.state IN ('approved', 'retired') AND OLD.approver IS NOT NULL "
        "AND EXISTS (SELECT 1 FROM faq_version v WHERE v.id = OLD.version_id)",
        "an answer that was approved stays on record; retire it, or delete its whole entry",
    ),
    Rule(
        "faq_version_stays_as_written",
        "faq_version",
        "UPDATE",
        changed("id", "entry_id", "number", "written_on", "starting_text", "timing", "conditions"),
        "a version never changes; write a new one",
    ),
    Rule(
        "faq_version_approved_stays",
        "faq_version",
        "DELETE",
        f"EXISTS (SELECT 1 FROM faq_entry e WHERE e.id = OLD.entry_id) AND {on_record('OLD.id')}",  # noqa: S608
        "a version that was approved stays on record; delete its whole entry",
    ),
    Rule(
        "faq_source_stays_as_written",
        "faq_source",
        "UPDATE",
        changed("id", "version_id", "position", "name", "url", "grade", "read", "read_at"),
        "the sources of a version never change; write a new version",
    ),
    Rule(
        "faq_source_not_added_to_approved",
        "faq_source",
        "INSERT",
        on_record("NEW.version_id"),
        "an approved version gets no further sources; write a new version",
    ),
    Rule(
        "faq_source_of_approved_stays",
        "faq_source",
        "DELETE",
        f"EXISTS (SELECT 1 FROM faq_version v WHERE v.id = OLD.version_id) AND {on_record('OLD.version_id')}",  # noqa: S608
        "the sources of an approved version stay",
    ),
]

#: How each database says what the conditions leave open.
SPELLING = {
    "sqlite": {
        "differs": "IS NOT",
        "days_from": "(-julianday(",
        "days_to": ") + julianday(",
        "days_end": "))",
    },
    "postgresql": {"differs": "IS DISTINCT FROM", "days_from": "(-(", "days_to": " - ", "days_end": "))"},
}


def create_triggers() -> None:
    """Have the database refuse what :data:`RULES` say, as a violated constraint."""
    dialect = op.get_bind().dialect.name
    for rule in RULES:
        condition = rule.condition.format(**SPELLING[dialect])
        if dialect == "sqlite":
            op.execute(
                f"CREATE TRIGGER {rule.name} BEFORE {rule.event} ON {rule.table} FOR EACH ROW WHEN {condition} "
                f"BEGIN SELECT RAISE(ABORT, '{rule.refusal}'); END"
            )
            continue
        op.execute(
            f"CREATE FUNCTION {rule.name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {condition} THEN "
            f"RAISE EXCEPTION '{rule.refusal}' USING ERRCODE = 'check_violation', CONSTRAINT = '{rule.name}'; "
            f"END IF; RETURN {'OLD' if rule.event == 'DELETE' else 'NEW'}; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {rule.name} BEFORE {rule.event} ON {rule.table} "
            f"FOR EACH ROW EXECUTE FUNCTION {rule.name}()"
        )


def drop_triggers() -> None:
    """Undo :func:`create_triggers`."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    for rule in RULES:
        op.execute(f"DROP TRIGGER {rule.name}" + (f" ON {rule.table}" if postgresql else ""))
        if postgresql:
            op.execute(f"DROP FUNCTION {rule.name}()")


NOT_AUTHOR = ("ck_faq_text_approver_is_not_author", "approver IS NULL OR approver != author")
NOT_AUTHOR_OR_WAITED = (
    "ck_faq_text_approver_is_not_author_or_waited",
    "approver IS NULL OR approver != author OR waited_days IS NOT NULL",
)
WAITED = (
    "ck_faq_text_waited_days_of_author",
    "waited_days IS NULL OR (waited_days >= 1 AND approver IS NOT NULL AND approver = author)",
)


def faq_text(*more: sa.schema.SchemaItem) -> sa.Table:
    """The table as 0001 made it, with `more`: SQLite can only rebuild it, and would lose the checks unnamed here."""
    return sa.Table(
        "faq_text",
        sa.MetaData(),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("when_to_contact", sa.Text(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("approver", sa.String(), nullable=True),
        sa.Column("approved_on", sa.Date(), nullable=True),
        sa.Column("review_due", sa.Date(), nullable=True),
        sa.Column("recorded_on", sa.Date(), nullable=True),
        sa.Column("waited_days", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "state != 'approved' OR (approver IS NOT NULL AND approved_on IS NOT NULL AND review_due IS NOT NULL)",
            name=op.f("ck_faq_text_approved_by_someone"),
        ),
        sa.CheckConstraint("state IN ('draft', 'in_review', 'approved', 'retired')", name=op.f("ck_faq_text_state")),
        sa.CheckConstraint(
            "review_due IS NULL OR review_due > approved_on", name=op.f("ck_faq_text_review_after_approval")
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["faq_version.id"], name=op.f("fk_faq_text_version_id_faq_version"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_faq_text")),
        sa.UniqueConstraint("version_id", "language", name=op.f("uq_faq_text_version_id_language")),
        sa.Index("ix_faq_text_version_id", "version_id"),
        *more,
    )


def _check(constraint: tuple[str, str]) -> sa.CheckConstraint:
    return sa.CheckConstraint(constraint[1], name=op.f(constraint[0]))


def upgrade() -> None:
    op.add_column("faq_text", sa.Column("recorded_on", sa.Date(), nullable=True))
    op.add_column("faq_text", sa.Column("waited_days", sa.Integer(), nullable=True))
    op.execute(
        "UPDATE faq_text SET recorded_on = (SELECT v.written_on FROM faq_version v WHERE v.id = faq_text.version_id)"
    )
    with op.batch_alter_table("faq_text", copy_from=faq_text(_check(NOT_AUTHOR))) as table:
        table.alter_column("recorded_on", existing_type=sa.Date(), nullable=False)
        table.drop_constraint(op.f(NOT_AUTHOR[0]), type_="check")
        for name, condition in (NOT_AUTHOR_OR_WAITED, WAITED):
            table.create_check_constraint(op.f(name), condition)
    create_triggers()


def downgrade() -> None:
    """Back to 0001, which knows no self-approval: those texts wait for an approver again."""
    drop_triggers()
    op.execute(
        "UPDATE faq_text SET state = CASE state WHEN 'approved' THEN 'in_review' ELSE state END, "
        "approver = NULL, approved_on = NULL, review_due = NULL, waited_days = NULL WHERE waited_days IS NOT NULL"
    )
    with op.batch_alter_table("faq_text", copy_from=faq_text(_check(NOT_AUTHOR_OR_WAITED), _check(WAITED))) as table:
        for name, _ in (NOT_AUTHOR_OR_WAITED, WAITED):
            table.drop_constraint(op.f(name), type_="check")
        table.create_check_constraint(op.f(NOT_AUTHOR[0]), NOT_AUTHOR[1])
        table.drop_column("waited_days")
        table.drop_column("recorded_on")
