-- +goose Up

CREATE TABLE pools (
    name text COLLATE "C" PRIMARY KEY,
    size bigint NOT NULL
);

-- What runs have, or wait for, of concurrency keys (visit 0) and of pools. Only who
-- holds the advisory lock of a line grants its turns, and takes or gives them back.
CREATE TABLE turns (
    n       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in the order of asking
    pool    boolean NOT NULL, -- or a key
    name    text COLLATE "C" NOT NULL,
    run     text COLLATE "C" NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    visit   bigint NOT NULL,
    attempt bigint NOT NULL,
    weight  bigint NOT NULL,
    granted boolean NOT NULL DEFAULT false,
    UNIQUE (run, visit, attempt)
);

CREATE INDEX turns_by_line ON turns (pool, name, granted, n);
