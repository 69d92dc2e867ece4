-- +goose Up

ALTER TABLE runs ADD COLUMN organization text COLLATE "C" NOT NULL DEFAULT 'default';

CREATE INDEX runs_by_organization ON runs (organization, created, id);
CREATE INDEX runs_by_organization_kind ON runs (organization, kind, status, created, id);

-- A row of rego's table of keys fits in with the columns that it has.
CREATE TABLE api_keys (
    id              text COLLATE "C" PRIMARY KEY,
    api_key         text COLLATE "C" NOT NULL UNIQUE, -- SHA-256 of the secret, lower-case hexadecimal
    api_key_hint    text   NOT NULL DEFAULT '',
    organization_id text COLLATE "C" NOT NULL,
    role            text   NOT NULL DEFAULT 'operator',
    name            text   NOT NULL DEFAULT '',
    created         bigint NOT NULL DEFAULT 0,
    expires         bigint NOT NULL DEFAULT 0,
    last_used       bigint NOT NULL DEFAULT 0,
    revoked         bigint NOT NULL DEFAULT 0
);
