"""When the database was backed up."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, func, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Mapped, mapped_column

from needlepoint.db.base import Base
from needlepoint.db.connect import READS_ONLY


class BackupMade(Base):
    """One backup that was written and read again. Kept here, so that every machine knows of it."""

    __tablename__ = "backup_made"

    id: Mapped[int] = mapped_column(primary_key=True)
    #: The moment whose state it holds.
    at: Mapped[datetime] = mapped_column(index=True)
    #: Name of the file, without its folder.
    file: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]


async def last_backup(engine: AsyncEngine) -> datetime | None:
    """The moment whose state the newest backup holds."""
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        return await connection.scalar(select(func.max(BackupMade.at)))
