"""What `grader collect` brought into the class."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "grader_collection",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("unit", sa.String(255), nullable=False),
        sa.Column("student", sa.String(255), nullable=False),
        sa.Column("content", sa.String(64), nullable=False),
        sa.Column("handed_in", sa.DateTime),
        sa.Column("time_source", sa.String(20), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("collected", sa.DateTime, nullable=False),
        sa.Column("collector", sa.Text, nullable=False),
    )
    op.create_index("grader_collection_of", "grader_collection", ["unit", "student"])
