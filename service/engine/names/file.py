"""The file that finds streamers by name, tag and bio: SQLite with its full-text index FTS5.

The index is on disk and in the page cache of the system, not in the memory of this process, and it
is there again after a restart: each transaction also writes up to where in the store's log the file
is complete. It can be made anew from the store at any time, so nothing is forced to the disk.

A row's number begins with the length of the name, so the index itself gives shorter names first,
which are nearer to what was searched for, and stops after those that are wanted. The rest is a hash
of the id: all processes have one order, so each of them goes on where another one ended.
"""

import contextlib
import hashlib
import json
import logging
import queue
import sqlite3
import threading
from collections.abc import Generator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import NamedTuple

from service.engine.names.grams import TERMS_VERSION, Texts
from service.store.base import Position

_log = logging.getLogger(__name__)
_SCHEMA = f"2 {TERMS_VERSION}"
_MOST_LENGTH = 255
_HASH_BITS = 32
_MERGED_PAGES = 200
"""Pages that one step of `merge` writes: a few milliseconds."""
_WAIT_S = 10.0
_TABLES = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE streamers "
    "(number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, texts TEXT NOT NULL)",
    "CREATE VIRTUAL TABLE terms USING fts5 (text, content='', columnsize=0, tokenize='ascii')",
)


class Change(NamedTuple):
    """What a streamer is found by from now on; None: it is not found any more."""

    streamer_id: str
    texts: Texts | None


class Progress(NamedTuple):
    """Up to where a file is complete.

    Attributes:
        place: in the store's log: everything up to there is in the file, once all are read.
        read_to: streamers up to this id were read; None once all were.
    """

    place: Position
    read_to: str | None


class Match(NamedTuple):
    """A row of an answer: its number, which orders rows, and the streamer."""

    number: int
    streamer_id: str


def remove_file(path: Path) -> None:
    """Remove a file of names that nobody has open."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


class NamesFile:
    """One file. One thread at a time may write; others search meanwhile."""

    def __init__(self, path: Path) -> None:
        """Open a file; what is no such file, or of another version, is replaced by an empty one.

        Raises:
            OSError, sqlite3.Error: the file can't be read and written.
        """
        self._path = path
        self._readers: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._opened: list[sqlite3.Connection] = []
        self._idle, self._users, self._is_closed = threading.Condition(), 0, False
        try:
            self._writer = self._new_writer()
        except sqlite3.DatabaseError as error:
            self.close()
            if isinstance(error, sqlite3.OperationalError):  # such as a full disk
                raise
            _log.warning("%s is made anew: %s", path, error)
            self.remove()
            self._is_closed = False
            try:
                self._writer = self._new_writer()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close all connections, after what threads are at; to whoever comes later it is closed.

        A connection that is closed under a thread ends the whole process.
        """
        with self._idle:
            self._is_closed = True
            self._idle.wait_for(lambda: not self._users)
            for connection in self._opened:
                connection.close()
            self._opened.clear()

    def remove(self) -> None:
        """Remove the file, which is closed."""
        remove_file(self._path)

    # Writing

    def progress(self) -> Progress | None:
        """Up to where it is complete; None of an empty file."""
        with self._used():
            found = dict(self._writer.execute("SELECT name, value FROM about"))
        if "place" not in found:
            return None
        epoch, sequence, mark = json.loads(found["place"])
        return Progress(Position(epoch, sequence, mark), found.get("read_to"))

    def clear(self) -> None:
        """Forget everything; call it in a thread."""
        with self._used():
            self._make(self._writer)

    def apply(self, changes: Sequence[Change], after: Progress) -> Generator[None, None, None]:
        """Take in changes, all or none; other work may have its turn between two steps.

        Args:
            changes: of one streamer each.
            after: what `progress` is then.
        """
        return self._stepped(self._applied(changes, after))

    def _applied(self, changes: Sequence[Change], after: Progress) -> Generator[None, None, None]:
        with self._transaction() as sql:
            steps: list[tuple[int, bool, Texts]] = []
            for change in changes:
                steps += self._exchange(sql, change)
                yield
            # FTS5 writes a part of the index anew wherever numbers do not ascend.
            for number, is_new, texts in sorted(steps):
                if terms := texts.terms():
                    if is_new:
                        sql.execute(
                            "INSERT INTO terms (rowid, text) VALUES (?, ?)", (number, terms)
                        )
                    else:
                        sql.execute(
                            "INSERT INTO terms (terms, rowid, text) VALUES ('delete', ?, ?)",
                            (number, terms),
                        )
                yield
            self._note(sql, after)

    def is_purge_due(self) -> bool:
        """Whether deleted terms are to be removed, which otherwise stay for a while."""
        with self._used():
            sql = self._writer.execute("SELECT 1 FROM about WHERE name = 'purge'")
            return sql.fetchone() is not None

    def ask_for_purge(self) -> None:
        """Have deleted terms removed by `purge`, after a restart as well."""
        with self._used(), self._transaction() as sql:
            sql.execute("INSERT OR REPLACE INTO about VALUES ('purge', '')")

    def purge(self) -> Generator[None, None, None]:
        """Write the index anew in small steps, without what was deleted from it.

        `apply` may be called between two steps.
        """
        return self._stepped(self._purged())

    def _purged(self) -> Generator[None, None, None]:
        pages = -_MERGED_PAGES
        while True:
            before = self._writer.total_changes
            with self._transaction() as sql:
                sql.execute("INSERT INTO terms (terms, rank) VALUES ('merge', ?)", (pages,))
            pages = _MERGED_PAGES
            if self._writer.total_changes - before < 2:
                break
            yield
        with self._transaction() as sql:
            sql.execute("DELETE FROM about WHERE name = 'purge'")
        self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    # Searching

    def number_of(self, streamer_id: str) -> int | None:
        """The row of the streamer that has exactly this id."""
        with self._reader() as sql:
            found = sql.execute("SELECT number FROM streamers WHERE id = ?", (streamer_id,))
            return next((number for (number,) in found), None)

    def matches(self, expression: str, after: int, limit: int) -> list[Match]:
        """Streamers that an expression of a `Question` finds, in order of their rows.

        Args:
            expression: what is searched for.
            after: the row after which they begin; 0 = the first one.
            limit: most streamers.
        """
        with self._reader() as sql:
            found = sql.execute(
                "SELECT terms.rowid, id FROM terms JOIN streamers ON number = terms.rowid "
                "WHERE terms MATCH ? AND terms.rowid > ? ORDER BY terms.rowid LIMIT ?",
                (expression, after, limit),
            )
            return [Match(number, name) for number, name in found]

    # Connections

    @contextlib.contextmanager
    def _used(self) -> Generator[None, None, None]:
        """For as long as a thread is at some connection."""
        with self._idle:
            if self._is_closed:
                raise sqlite3.ProgrammingError("the file of names is closed")
            self._users += 1
        try:
            yield
        finally:
            with self._idle:
                self._users -= 1
                self._idle.notify_all()

    def _stepped(self, steps: Generator[None, None, None]) -> Generator[None, None, None]:
        """The steps, each of them in use of a connection; threads may take turns."""
        try:
            while True:
                with self._used():
                    try:
                        next(steps)
                    except StopIteration:
                        return
                yield
        finally:  # a transaction that was left is rolled back, unless the file is closed
            with contextlib.suppress(sqlite3.ProgrammingError), self._used():
                steps.close()

    def _exchange(
        self, sql: sqlite3.Connection, change: Change
    ) -> Generator[tuple[int, bool, Texts], None, None]:
        """Exchange the row of a streamer: what is to be removed from the index, and added."""
        found = sql.execute(
            "SELECT number, texts FROM streamers WHERE id = ?", (change.streamer_id,)
        ).fetchone()
        packed = None if change.texts is None else json.dumps(change.texts, ensure_ascii=False)
        if found is not None:
            number, before = found
            if before == packed:
                return
            sql.execute("DELETE FROM streamers WHERE number = ?", (number,))
            name, tags, words = json.loads(before)
            yield number, False, Texts(name, tuple(tags), words)
        if change.texts is not None:
            number = _number_of(change.streamer_id, change.texts)
            while sql.execute("SELECT 1 FROM streamers WHERE number = ?", (number,)).fetchone():
                number += 1  # a hash of two ids, as of some among a million
            row = (number, change.streamer_id, packed)
            sql.execute("INSERT INTO streamers VALUES (?, ?, ?)", row)
            yield number, True, change.texts

    def _note(self, sql: sqlite3.Connection, after: Progress) -> None:
        values = {"place": json.dumps(astuple(after.place))}
        if after.read_to is None:
            sql.execute("DELETE FROM about WHERE name = 'read_to'")
        else:
            values["read_to"] = after.read_to
        sql.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", values.items())

    def _new_writer(self) -> sqlite3.Connection:
        sql = self._connect()
        sql.execute("PRAGMA journal_mode = WAL").fetchall()
        # What is deleted is overwritten; what the system has not written yet is read again.
        sql.execute("PRAGMA secure_delete = ON").fetchall()
        sql.execute("PRAGMA synchronous = NORMAL")
        has_tables = sql.execute("SELECT 1 FROM sqlite_master WHERE name = 'about'").fetchone()
        about = dict(sql.execute("SELECT name, value FROM about")) if has_tables else {}
        if not has_tables:
            self._make(sql)
        elif about.get("schema") != _SCHEMA:
            raise sqlite3.DatabaseError("it has terms of another release")
        return sql

    def _make(self, sql: sqlite3.Connection) -> None:
        """Make empty tables in place of what there is."""
        with self._transaction(sql):
            for table in ("about", "streamers", "terms"):
                sql.execute(f"DROP TABLE IF EXISTS {table}")
            for statement in _TABLES:
                sql.execute(statement)
            sql.execute("INSERT INTO about VALUES ('schema', ?)", (_SCHEMA,))

    def _connect(self) -> sqlite3.Connection:
        sql = sqlite3.connect(
            self._path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
        )
        self._opened.append(sql)
        return sql

    @contextlib.contextmanager
    def _reader(self) -> Generator[sqlite3.Connection, None, None]:
        """A connection for one search; there are as many as search at a time."""
        with self._used():
            try:
                sql = self._readers.get_nowait()
            except queue.Empty:
                sql = self._connect()
            try:
                yield sql
            finally:
                self._readers.put(sql)

    @contextlib.contextmanager
    def _transaction(
        self, sql: sqlite3.Connection | None = None
    ) -> Generator[sqlite3.Connection, None, None]:
        sql = sql or self._writer
        sql.execute("BEGIN IMMEDIATE")
        try:
            yield sql
            sql.execute("COMMIT")
        except BaseException:
            if sql.in_transaction:
                sql.execute("ROLLBACK")
            raise


def _number_of(streamer_id: str, texts: Texts) -> int:
    digest = hashlib.blake2b(streamer_id.encode(), digest_size=_HASH_BITS // 8).digest()
    return min(len(texts.name), _MOST_LENGTH) << _HASH_BITS | int.from_bytes(digest)
