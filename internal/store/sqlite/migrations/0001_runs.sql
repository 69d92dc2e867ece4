-- +goose Up

-- Times are nanoseconds since 1970, 0 for none.

CREATE TABLE flows (
    hash     TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
);

CREATE TABLE runs (
    n             INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    kind          TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    flow          TEXT    NOT NULL REFERENCES flows (hash),
    parent        TEXT    NOT NULL,
    executor      TEXT    NOT NULL,
    input         TEXT    NOT NULL, -- '' for none, and for one that stands in inputs
    state         TEXT    NOT NULL,
    outcome       TEXT    NOT NULL,
    message       TEXT    NOT NULL,
    created       INTEGER NOT NULL,
    started       INTEGER NOT NULL,
    ended         INTEGER NOT NULL,
    deadline      INTEGER NOT NULL,
    stop          TEXT    NOT NULL,
    visits        INTEGER NOT NULL,
    owner         TEXT    NOT NULL,
    epoch         INTEGER NOT NULL,
    seq           INTEGER NOT NULL,
    last_change   TEXT    NOT NULL,
    cancels       INTEGER NOT NULL DEFAULT 0,
    cancel_reason TEXT    NOT NULL DEFAULT '',
    status        TEXT GENERATED ALWAYS AS (CASE state WHEN 'ended' THEN outcome ELSE state END) VIRTUAL
);

CREATE INDEX runs_by_created ON runs (created, id);
CREATE INDEX runs_by_status ON runs (status, created, id);
CREATE INDEX runs_by_kind ON runs (kind, status, created, id);
CREATE INDEX runs_by_name ON runs (name, status, created, id);
CREATE INDEX runs_open ON runs (owner, created, id) WHERE state <> 'ended';

-- Large inputs stand apart, so that they are not written again with each change of their run.
CREATE TABLE inputs (
    run   TEXT NOT NULL PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    input TEXT NOT NULL
);

CREATE TABLE labels (
    run     TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    key     TEXT    NOT NULL,
    value   TEXT    NOT NULL,
    created INTEGER NOT NULL, -- the run's, so that a list by label needs no sorting
    PRIMARY KEY (run, key)
) WITHOUT ROWID;

CREATE INDEX labels_by_value ON labels (key, value, created, run);

CREATE TABLE visits (
    run      TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    no       INTEGER NOT NULL,
    step     TEXT    NOT NULL,
    idx      INTEGER NOT NULL,
    nth      INTEGER NOT NULL,
    cause    INTEGER NOT NULL,
    state    TEXT    NOT NULL,
    outcome  TEXT    NOT NULL,
    code     INTEGER NOT NULL,
    message  TEXT    NOT NULL,
    attempts INTEGER NOT NULL,
    broken   INTEGER NOT NULL,
    opened   INTEGER NOT NULL,
    settled  INTEGER NOT NULL,
    due      INTEGER NOT NULL,
    output   TEXT    NOT NULL,
    PRIMARY KEY (run, no)
) WITHOUT ROWID;

CREATE TABLE attempts (
    run       TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    visit     INTEGER NOT NULL,
    no        INTEGER NOT NULL,
    status    INTEGER NOT NULL,
    place     TEXT    NOT NULL,
    stop      TEXT    NOT NULL,
    exit_code INTEGER NOT NULL,
    message   TEXT    NOT NULL,
    created   INTEGER NOT NULL,
    started   INTEGER NOT NULL,
    ended     INTEGER NOT NULL,
    infra     INTEGER NOT NULL,
    PRIMARY KEY (run, visit, no)
) WITHOUT ROWID;

CREATE TABLE notices (
    n       INTEGER PRIMARY KEY, -- in the order of the changes that they came with
    run     TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    id      TEXT    NOT NULL,
    target  TEXT    NOT NULL,
    event   TEXT    NOT NULL,
    body    TEXT    NOT NULL,
    created INTEGER NOT NULL,
    tries   INTEGER NOT NULL,
    due     INTEGER NOT NULL,
    UNIQUE (run, id)
);
