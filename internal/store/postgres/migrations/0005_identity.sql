-- +goose Up

-- One row: what tells the containers and Jobs of this store from those of others,
-- by whatever name or address the database is reached.

CREATE TABLE store (
    identity text NOT NULL
);

INSERT INTO store VALUES (left(replace(gen_random_uuid()::text, '-', ''), 16));
