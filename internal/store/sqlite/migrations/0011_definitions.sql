-- +goose Up

ALTER TABLE runs ADD COLUMN definition TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
-- 1 until the end of a definition's run has been acted upon.
ALTER TABLE runs ADD COLUMN report INTEGER NOT NULL DEFAULT 0;

CREATE INDEX runs_by_definition ON runs (definition, status, created, id) WHERE definition <> '';
CREATE INDEX runs_to_report ON runs (ended, id) WHERE report = 1 AND state = 'ended';

CREATE TABLE definitions (
    id            TEXT    NOT NULL PRIMARY KEY,
    organization  TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    kind          TEXT    NOT NULL,
    document      TEXT    NOT NULL,
    flow          TEXT    NOT NULL,
    executor      TEXT    NOT NULL,
    input         TEXT    NOT NULL,
    labels        TEXT    NOT NULL,
    schedule      TEXT    NOT NULL,
    follows       TEXT    NOT NULL, -- the definition after whose runs this one runs, or ''
    enabled       INTEGER NOT NULL,
    reason        TEXT    NOT NULL,
    next          INTEGER NOT NULL,
    last          INTEGER NOT NULL,
    wake          INTEGER NOT NULL, -- when the scheduler looks at it; 0 for never
    counter       INTEGER NOT NULL,
    failures      INTEGER NOT NULL,
    latest_run    TEXT    NOT NULL,
    latest_status INTEGER NOT NULL,
    created       INTEGER NOT NULL,
    updated       INTEGER NOT NULL,
    deleted       INTEGER NOT NULL,
    version       INTEGER NOT NULL
);

CREATE INDEX definitions_by_created ON definitions (organization, created, id) WHERE deleted = 0;
CREATE INDEX definitions_by_name ON definitions (organization, name, created, id) WHERE deleted = 0;
CREATE INDEX definitions_to_wake ON definitions (wake, id) WHERE wake > 0;
CREATE INDEX definitions_that_follow ON definitions (follows, id) WHERE follows <> '' AND deleted = 0;
