-- +goose Up

-- Times are nanoseconds since 1970, 0 for none. JSON documents are bytea: they
-- come back byte for byte, whereas text refuses bytes that are not UTF-8, and jsonb
-- also \u0000. What stands in an index is compared byte by byte (COLLATE "C"), as
-- everywhere else in the program; of what has no bound to its length the index
-- holds the beginning, because an entry has room for 2,704 bytes.

CREATE TABLE sessions (
    id      text COLLATE "C" PRIMARY KEY,
    expires timestamptz NOT NULL -- by this server's clock
);

CREATE TABLE flows (
    hash     text COLLATE "C" PRIMARY KEY,
    document bytea NOT NULL
);

CREATE TABLE runs (
    id            text COLLATE "C" PRIMARY KEY,
    kind          text COLLATE "C" NOT NULL,
    name          text COLLATE "C" NOT NULL,
    flow          text COLLATE "C" NOT NULL REFERENCES flows (hash),
    parent        text   NOT NULL,
    executor      text   NOT NULL,
    input         bytea  NOT NULL, -- empty for none; a large one is not written again when the row changes
    state         text   NOT NULL,
    outcome       text   NOT NULL,
    message       text   NOT NULL,
    created       bigint NOT NULL,
    started       bigint NOT NULL,
    ended         bigint NOT NULL,
    deadline      bigint NOT NULL,
    stop          text   NOT NULL,
    visits        bigint NOT NULL,
    owner         text COLLATE "C" NOT NULL,
    epoch         bigint NOT NULL,
    seq           bigint NOT NULL,
    last_change   text   NOT NULL,
    cancels       bigint NOT NULL DEFAULT 0,
    cancel_reason text   NOT NULL DEFAULT '',
    status        text COLLATE "C" NOT NULL GENERATED ALWAYS AS (CASE state WHEN 'ended' THEN outcome ELSE state END) STORED
) WITH (fillfactor = 80); -- room to change a row without touching the indexes

CREATE INDEX runs_by_created ON runs (created, id);
CREATE INDEX runs_by_status ON runs (status, created, id);
CREATE INDEX runs_by_kind ON runs (kind, status, created, id);
CREATE INDEX runs_by_name ON runs (left(name, 200), status, created, id);
CREATE INDEX runs_open ON runs (owner, created, id) WHERE state <> 'ended';

CREATE TABLE labels (
    run     text COLLATE "C" NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    key     text COLLATE "C" NOT NULL,
    value   text COLLATE "C" NOT NULL,
    created bigint NOT NULL -- the run's, so that a list by label needs no sorting
);

CREATE INDEX labels_by_run ON labels (run);
CREATE INDEX labels_by_value ON labels (left(key, 200), left(value, 200), created, run);

CREATE TABLE visits (
    run      text COLLATE "C" NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    no       bigint NOT NULL,
    step     text   NOT NULL,
    idx      bigint NOT NULL,
    nth      bigint NOT NULL,
    cause    bigint NOT NULL,
    state    text   NOT NULL,
    outcome  text   NOT NULL,
    code     bigint NOT NULL,
    message  text   NOT NULL,
    attempts bigint NOT NULL,
    broken   bigint NOT NULL,
    opened   bigint NOT NULL,
    settled  bigint NOT NULL,
    due      bigint NOT NULL,
    output   bytea  NOT NULL,
    PRIMARY KEY (run, no)
) WITH (fillfactor = 80);

CREATE TABLE attempts (
    run       text COLLATE "C" NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    visit     bigint NOT NULL,
    no        bigint NOT NULL,
    status    bigint NOT NULL,
    place     text   NOT NULL,
    stop      text   NOT NULL,
    exit_code bigint NOT NULL,
    message   text   NOT NULL,
    created   bigint NOT NULL,
    started   bigint NOT NULL,
    ended     bigint NOT NULL,
    infra     bigint NOT NULL, -- 0 or 1
    PRIMARY KEY (run, visit, no)
) WITH (fillfactor = 80);

CREATE TABLE notices (
    n       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in the order of the changes that they came with
    run     text COLLATE "C" NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    id      text COLLATE "C" NOT NULL,
    target  text   NOT NULL,
    event   text   NOT NULL,
    body    bytea  NOT NULL,
    created bigint NOT NULL,
    tries   bigint NOT NULL,
    due     bigint NOT NULL,
    UNIQUE (run, id)
);
