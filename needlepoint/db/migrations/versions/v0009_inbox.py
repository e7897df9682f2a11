"""The inbox: what waits for staff and what they found, search over both sides, stepping in, call-backs

Revision: 0009
Follows: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

#: Signs that stand between words for the index as for whoever searches.
BETWEEN_WORDS = "!\"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~"

LISTED_BY = ("outcome", "feedback", "review_state", "urgency")


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    for column in _summary():
        op.add_column("conversation", column)
    op.drop_index("ix_conversation_last_at", "conversation")
    op.create_index("ix_conversation_last_at_id", "conversation", ["last_at", "id"])
    for name in LISTED_BY:
        op.create_index(f"ix_conversation_{name}_last_at_id", "conversation", [name, "last_at", "id"])
    op.create_index("ix_conversation_answer_by", "conversation", ["answer_by"])
    op.create_index("ix_conversation_taken_by_id", "conversation", ["taken_by_id"])

    op.create_table(
        "review_item",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column("conversation_id", sa.String(), nullable=True),
        sa.Column("message_id", sa.Integer(), nullable=True),
        sa.Column("attention_id", sa.Integer(), nullable=True),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("snoozed_until", moment, nullable=True),
        sa.Column("assigned_to_id", sa.Integer(), nullable=True),
        sa.Column("assigned_to", sa.String(), nullable=True),
        sa.Column("held_by_id", sa.Integer(), nullable=True),
        sa.Column("held_by", sa.String(), nullable=True),
        sa.Column("held_until", moment, nullable=True),
        sa.Column("done_at", moment, nullable=True),
        sa.Column("done_by", sa.String(), nullable=True),
        sa.CheckConstraint(
            "queue IN ('urgent', 'missed', 'person', 'failure', 'thumbs_down', 'declined', 'rephrased', 'clarified', "
            "'sample')",
            name=op.f("ck_review_item_queue"),
        ),
        _of("review_item", "conversation_id", "conversation"),
        _of("review_item", "message_id", "message"),
        _of("review_item", "attention_id", "attention"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_item")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_review_item_queue_done_at_created_at", "review_item", ["queue", "done_at", "created_at"])
    op.create_index("ix_review_item_conversation_id_queue", "review_item", ["conversation_id", "queue"])

    op.create_table(
        "review",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("conversation_id", sa.String(), nullable=False),
        sa.Column("message_id", sa.Integer(), nullable=True),
        sa.Column("by_id", sa.Integer(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("right_topic", sa.String(), nullable=True),
        sa.Column("right_entry", sa.String(), nullable=True),
        sa.Column("right_answer", sa.Text(), nullable=True),
        sa.Column("missed_red_flag", sa.Boolean(), nullable=False),
        sa.Column("severity", sa.String(), nullable=True),
        sa.Column("tags", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.CheckConstraint("severity IN ('none', 'minor', 'could_harm')", name=op.f("ck_review_severity")),
        _of("review", "conversation_id", "conversation"),
        _of("review", "message_id", "message"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
    )
    op.create_index("ix_review_conversation_id", "review", ["conversation_id"])
    op.create_index("ix_review_message_id", "review", ["message_id"])

    op.create_table(
        "said_text",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("conversation_id", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.CheckConstraint("side IN ('person', 'assistant', 'staff')", name=op.f("ck_said_text_side")),
        _of("said_text", "conversation_id", "conversation"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_said_text")),
    )
    op.create_index("ix_said_text_conversation_id_id", "said_text", ["conversation_id", "id"])
    _index_words()

    op.create_table(
        "conversation_fact",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("conversation_id", sa.String(), nullable=False),
        _of("conversation_fact", "conversation_id", "conversation"),
        sa.PrimaryKeyConstraint("kind", "value", "conversation_id", name=op.f("pk_conversation_fact")),
    )
    op.create_index("ix_conversation_fact_conversation_id", "conversation_fact", ["conversation_id"])

    op.create_table(
        "call_back",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("conversation_id", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=True),
        sa.Column("best_time", sa.String(), nullable=True),
        sa.Column("consent", sa.String(), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("changed_at", moment, nullable=True),
        sa.Column("changed_by", sa.String(), nullable=True),
        sa.CheckConstraint("state IN ('new', 'in_progress', 'not_reached', 'done')", name=op.f("ck_call_back_state")),
        _of("call_back", "conversation_id", "conversation"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_call_back")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_call_back_conversation_id", "call_back", ["conversation_id"])
    op.create_index("ix_call_back_state_created_at", "call_back", ["state", "created_at"])

    # What is cheap is known of conversations from before: how long they are, and what people wrote.
    op.execute("UPDATE conversation SET turns = (SELECT count(*) FROM message WHERE conversation_id = conversation.id)")
    op.execute(
        "INSERT INTO said_text (conversation_id, side, text) "
        "SELECT conversation_id, 'person', text FROM message WHERE text <> '' ORDER BY id"
    )


def _summary() -> list[sa.Column]:
    return [
        sa.Column("turns", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("urgency", sa.String(), nullable=False, server_default="none"),
        sa.Column("lowest_confidence", sa.Double(), nullable=True),
        sa.Column("feedback", sa.String(), nullable=True),
        sa.Column("review_state", sa.String(), nullable=False, server_default="none"),
        sa.Column("reviewer", sa.String(), nullable=True),
        sa.Column("taken_by_id", sa.Integer(), nullable=True),
        sa.Column("taken_by", sa.String(), nullable=True),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answer_by", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told_waiting", sa.Boolean(), nullable=False, server_default=sa.false()),
    ]


def _of(table: str, column: str, referred: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{referred}")
    return sa.ForeignKeyConstraint([column], [f"{referred}.id"], name=name, ondelete="CASCADE")


def _index_words() -> None:
    """The full-text index, which the database itself keeps: whatever is erased is gone from it in the same commit."""
    if op.get_bind().dialect.name == "postgresql":
        blanks = " " * len(BETWEEN_WORDS.replace("''", "'"))
        op.execute(
            # Who said it is a word too, which nobody can type: the index then answers for one side alone.
            "ALTER TABLE said_text ADD COLUMN words tsvector GENERATED ALWAYS AS "
            f"(to_tsvector('simple'::regconfig, translate(text, '{BETWEEN_WORDS}', '{blanks}')) "
            "|| array_to_tsvector(ARRAY['#' || side])) STORED"
        )
        op.execute("CREATE INDEX ix_said_text_words ON said_text USING gin (words)")
        return
    op.execute(
        "CREATE VIRTUAL TABLE said_words USING fts5"
        "(text, content='said_text', content_rowid='id', tokenize='unicode61 remove_diacritics 0')"
    )
    gone = "INSERT INTO said_words (said_words, rowid, text) VALUES ('delete', old.id, old.text);"
    come = "INSERT INTO said_words (rowid, text) VALUES (new.id, new.text);"
    op.execute(f"CREATE TRIGGER said_text_comes AFTER INSERT ON said_text BEGIN {come} END")
    op.execute(f"CREATE TRIGGER said_text_goes AFTER DELETE ON said_text BEGIN {gone} END")
    op.execute(f"CREATE TRIGGER said_text_changes AFTER UPDATE ON said_text BEGIN {gone} {come} END")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE said_words")
    for table in ("call_back", "conversation_fact", "said_text", "review", "review_item"):
        op.drop_table(table)
    for name in ("answer_by", "taken_by_id", "last_at_id", *(f"{one}_last_at_id" for one in LISTED_BY)):
        op.drop_index(f"ix_conversation_{name}", "conversation")
    op.create_index("ix_conversation_last_at", "conversation", ["last_at"])
    for column in _summary():
        op.drop_column("conversation", column.name)
