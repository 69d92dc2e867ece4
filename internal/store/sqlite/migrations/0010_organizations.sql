-- +goose Up

ALTER TABLE runs ADD COLUMN organization TEXT NOT NULL DEFAULT 'default';

CREATE INDEX runs_by_organization ON runs (organization, created, id);
CREATE INDEX runs_by_organization_kind ON runs (organization, kind, status, created, id);

-- A row of rego's table of keys fits in with the columns that it has.
CREATE TABLE api_keys (
    id              TEXT    NOT NULL PRIMARY KEY,
    api_key         TEXT    NOT NULL UNIQUE, -- SHA-256 of the secret, lower-case hexadecimal
    api_key_hint    TEXT    NOT NULL DEFAULT '',
    organization_id TEXT    NOT NULL,
    role            TEXT    NOT NULL DEFAULT 'operator',
    name            TEXT    NOT NULL DEFAULT '',
    created         INTEGER NOT NULL DEFAULT 0,
    expires         INTEGER NOT NULL DEFAULT 0,
    last_used       INTEGER NOT NULL DEFAULT 0,
    revoked         INTEGER NOT NULL DEFAULT 0
);
