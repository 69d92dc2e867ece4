-- +goose Up

CREATE TABLE pools (
    name TEXT    NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL
) WITHOUT ROWID;

-- What runs have, or wait for, of concurrency keys (visit 0) and of pools.
CREATE TABLE turns (
    n       INTEGER PRIMARY KEY, -- in the order of asking
    pool    INTEGER NOT NULL,    -- 1 for a pool, 0 for a key
    name    TEXT    NOT NULL,
    run     TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    visit   INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    weight  INTEGER NOT NULL,
    granted INTEGER NOT NULL DEFAULT 0,
    UNIQUE (run, visit, attempt)
);

CREATE INDEX turns_by_line ON turns (pool, name, granted, n);
