"""The SQLite that the emulator runs on.

``pysqlite3`` brings a newer SQLite than most systems have. It prints a page in half the time and lets two readers work
side by side, so it is taken where it is installed. Without it the module of the standard library does the same work.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
else:
    try:
        from pysqlite3 import dbapi2 as sqlite3
    except ImportError:
        import sqlite3

__all__ = ["sqlite3"]
