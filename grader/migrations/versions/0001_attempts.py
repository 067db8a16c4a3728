"""Runs, attempts and their outcomes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "grader_run",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("began", sa.DateTime, nullable=False),
        sa.Column("machine", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("slots", sa.Integer, nullable=False),
    )
    op.create_table(
        "grader_attempt",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run", sa.Integer, sa.ForeignKey("grader_run.id"), nullable=False),
        sa.Column("unit", sa.String(255), nullable=False),
        sa.Column("student", sa.String(255), nullable=False),
        sa.Column("input", sa.String(64), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("options", sa.Text, nullable=False),
        sa.Column("began", sa.DateTime, nullable=False),
    )
    op.create_index("grader_attempt_of", "grader_attempt", ["unit", "student"])
    op.create_table(
        "grader_outcome",
        sa.Column("attempt", sa.Integer, sa.ForeignKey("grader_attempt.id"), primary_key=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("ended", sa.DateTime, nullable=False),
        sa.Column("machine", sa.Text, nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("graded", sa.Text, nullable=False),
    )
