"""The log's tables in PostgreSQL, as numbered steps: plain DDL, each step run once.

There is no tool in between: a log's tables change rarely, and whoever checks them reads this
page. A step that has been released is never edited; a change is a new one.

Source: docs/spec/log.md §9; docs/storage.md.
"""

from typing import Final

FORMAT: Final = "mifeng-log-1"

STEPS: Final = (
    """
CREATE TABLE meta (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE head (one boolean PRIMARY KEY DEFAULT true CHECK (one),
  size bigint NOT NULL, root bytea NOT NULL);
CREATE TABLE entries (idx bigint PRIMARY KEY, data bytea NOT NULL);
ALTER TABLE entries ALTER data SET STORAGE EXTERNAL;
CREATE TABLE tiles (world text, level smallint, idx bigint, hashes bytea NOT NULL,
  PRIMARY KEY (world, level, idx));
CREATE TABLE intents (idx bigint PRIMARY KEY, h bytea NOT NULL, attempt smallint NOT NULL,
  UNIQUE (h, attempt));
CREATE TABLE closings (intent bigint PRIMARY KEY REFERENCES intents (idx),
  idx bigint NOT NULL UNIQUE, orphaned boolean NOT NULL);
CREATE TABLE corrections (intent bigint PRIMARY KEY REFERENCES closings (intent),
  idx bigint NOT NULL UNIQUE);
CREATE TABLE dangling (idx bigint PRIMARY KEY REFERENCES intents (idx), h bytea NOT NULL,
  instance text NOT NULL);
CREATE TABLE kinds (type text, idx bigint, PRIMARY KEY (type, idx));
CREATE TABLE blobs (number bigserial UNIQUE, digest bytea PRIMARY KEY, data bytea NOT NULL);
CREATE FUNCTION extend_head(old bigint, new bigint, new_root bytea) RETURNS void
  LANGUAGE plpgsql AS $$
BEGIN
  UPDATE head SET size = new, root = new_root WHERE size = old;
  IF NOT FOUND THEN RAISE EXCEPTION 'the log does not have % entries', old; END IF;
END $$;
CREATE TABLE gateways (instance text PRIMARY KEY, lives_until timestamptz NOT NULL);
""",
)
