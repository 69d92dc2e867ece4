-- +goose Up

ALTER TABLE runs ADD COLUMN definition text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN due bigint NOT NULL DEFAULT 0;
-- 1 until the end of a definition's run has been acted upon.
ALTER TABLE runs ADD COLUMN report bigint NOT NULL DEFAULT 0;

CREATE INDEX runs_by_definition ON runs (definition, status, created, id) WHERE definition <> '';
CREATE INDEX runs_to_report ON runs (ended, id) WHERE report = 1 AND state = 'ended';

CREATE TABLE definitions (
    id            text COLLATE "C" PRIMARY KEY,
    organization  text COLLATE "C" NOT NULL,
    name          text COLLATE "C" NOT NULL,
    kind          text   NOT NULL,
    document      bytea  NOT NULL,
    flow          bytea  NOT NULL,
    executor      text   NOT NULL,
    input         bytea  NOT NULL,
    labels        bytea  NOT NULL,
    schedule      bytea  NOT NULL,
    follows       text COLLATE "C" NOT NULL, -- the definition after whose runs this one runs, or ''
    enabled       bigint NOT NULL, -- 0 or 1
    reason        text   NOT NULL,
    next          bigint NOT NULL,
    last          bigint NOT NULL,
    wake          bigint NOT NULL, -- when the scheduler looks at it; 0 for never
    counter       bigint NOT NULL,
    failures      bigint NOT NULL,
    latest_run    text   NOT NULL,
    latest_status bigint NOT NULL,
    created       bigint NOT NULL,
    updated       bigint NOT NULL,
    deleted       bigint NOT NULL,
    version       bigint NOT NULL
) WITH (fillfactor = 80);

CREATE INDEX definitions_by_created ON definitions (left(organization, 200), created, id) WHERE deleted = 0;
CREATE INDEX definitions_by_name ON definitions (left(organization, 200), left(name, 200), created, id) WHERE deleted = 0;
CREATE INDEX definitions_to_wake ON definitions (wake, id) WHERE wake > 0;
CREATE INDEX definitions_that_follow ON definitions (follows, id) WHERE follows <> '' AND deleted = 0;
